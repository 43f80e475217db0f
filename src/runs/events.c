/* events.c: the few protobuf fields of a scalar, by hand. */
#include "runs/events.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/part_file.h"

#define MAX_RECORD 1024
#define MAX_TAG 300

uint32_t events_crc32c(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* ---- Protobuf -------------------------------------------------------------------------------- */

struct record { unsigned char data[MAX_RECORD]; size_t n; };

static void put_little(struct record *r, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        r->data[r->n++] = (unsigned char)(value >> (8 * i));
}

static void put_varint(struct record *r, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        r->data[r->n++] = (unsigned char)(value | 0x80);
    r->data[r->n++] = (unsigned char)value;
}

enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void put_key(struct record *r, int field, enum wire wire)
{
    put_varint(r, (uint64_t)field << 3 | wire);
}

static void put_bytes(struct record *r, int field, const void *data, size_t n)
{
    put_key(r, field, BYTES);
    put_varint(r, n);
    memcpy(r->data + r->n, data, n);
    r->n += n;
}

/* Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; } */
static void begin_event(struct record *r, double seconds, int64_t step)
{
    uint64_t bits;

    r->n = 0;
    memcpy(&bits, &seconds, sizeof bits);
    put_key(r, 1, FIXED64);
    put_little(r, bits, 8);
    put_key(r, 2, VARINT);
    put_varint(r, (uint64_t)step);
}

/* Summary { repeated Value value = 1; }  Value { string tag = 1; float simple_value = 2; } */
static void put_scalar(struct record *event, const char *tag, double y)
{
    struct record value = {.n = 0}, summary = {.n = 0};
    float f = (float)y;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    put_bytes(&value, 1, tag, strlen(tag));
    put_key(&value, 2, FIXED32);
    put_little(&value, bits, 4);
    put_bytes(&summary, 1, value.data, value.n);
    put_bytes(event, 5, summary.data, summary.n);
}

/* ---- TFRecord -------------------------------------------------------------------------------- */

static uint32_t masked_crc(const void *data, size_t n)
{
    uint32_t crc = events_crc32c(data, n);

    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static int write_record(struct part_file *f, const struct record *r, struct mk_error *err)
{
    struct record frame = {.n = 0};

    put_little(&frame, r->n, 8);
    put_little(&frame, masked_crc(frame.data, 8), 4);
    memcpy(frame.data + frame.n, r->data, r->n);
    frame.n += r->n;
    put_little(&frame, masked_crc(r->data, r->n), 4);
    return part_file_write(f, frame.data, frame.n, err);
}

/* ---- The file -------------------------------------------------------------------------------- */

/* A name may be long: a tag is cut, never a character of it. */
static void format_tag(char tag[MAX_TAG], const char *group, const char *name)
{
    int n = snprintf(tag, MAX_TAG, "%s/%s", group, name);
    size_t end = MAX_TAG - 1;

    if (n < MAX_TAG)
        return;
    while (end > 0 && ((unsigned char)tag[end - 1] & 0xc0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)tag[end - 1] >= 0xc0)
        end--;
    tag[end] = '\0';
}

/* Points of one curve at this step; *at moves on. */
static int write_point(struct part_file *f, const struct history_series *s, const char *group,
                       size_t *at, int64_t step, double seconds, struct mk_error *err)
{
    struct record event;
    char tag[MAX_TAG];

    while (*at < s->n && s->points[*at].step < step) /* of a step without a loss */
        (*at)++;
    if (*at == s->n || s->points[*at].step != step)
        return 0;
    format_tag(tag, group, s->name);
    begin_event(&event, seconds, step);
    put_scalar(&event, tag, s->points[(*at)++].y);
    return write_record(f, &event, err);
}

/* Curves of sources, of layers and of tasks. */
enum { N_GROUPS = 11 };
struct group { const struct history_parts *parts; const char *name; };

/* Where each curve stands. */
struct places { size_t series[HISTORY_N], parts[N_GROUPS][HISTORY_MAX_PARTS]; };

static int write_step(struct part_file *f, const struct history *h, struct places *at,
                      int64_t step, double seconds, struct mk_error *err)
{
    const struct group groups[N_GROUPS] = {
        {&h->sources, "source_loss"},     {&h->source_valid, "source_valid_loss"},
        {&h->source_epochs, "epochs"},    {&h->layers, "busiest_expert"},
        {&h->entropy, "expert_entropy"},  {&h->information, "expert_information"},
        {&h->dropped, "experts_dropped"}, {&h->task_reward, "task_reward"},
        {&h->task_pass, "task_pass"},     {&h->task_level, "task_level"},
        {&h->task_test, "task_test"},
    };

    for (int i = 0; i < HISTORY_N; i++)
        if (write_point(f, &h->series[i], h->rl ? "rl" : "train", &at->series[i], step, seconds,
                        err))
            return err->code;
    for (int g = 0; g < N_GROUPS; g++)
        for (size_t i = 0; i < groups[g].parts->n; i++)
            if (write_point(f, &groups[g].parts->items[i], groups[g].name, &at->parts[g][i], step,
                            seconds, err))
                return err->code;
    return 0;
}

static int write_events(struct part_file *f, const struct history *h, struct mk_error *err)
{
    const struct history_series *loss = &h->series[HISTORY_LOSS];
    const struct history_series *ms = &h->series[HISTORY_MS];
    struct places at = {.series = {0}};
    struct record event;
    double seconds = 0;

    begin_event(&event, 0, 0);
    put_bytes(&event, 3, "brain.Event:2", 13);
    if (write_record(f, &event, err))
        return err->code;
    for (size_t i = 0; i < loss->n; i++) {
        size_t k = at.series[HISTORY_MS];

        if (k < ms->n && ms->points[k].step == loss->points[i].step)
            seconds += fmax(0, ms->points[k].y) / 1000;
        if (write_step(f, h, &at, loss->points[i].step, seconds, err))
            return err->code;
    }
    return 0;
}

int events_write(const char *path, const struct history *h, struct mk_error *err)
{
    struct part_file f;

    if (part_file_open(&f, path, err))
        return err->code;
    if (write_events(&f, h, err) || part_file_sync(&f, err) || part_file_rename(&f, err)) {
        part_file_discard(&f);
        return err->code;
    }
    part_file_keep(&f);
    return 0;
}
