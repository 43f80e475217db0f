/* blend.c: parts of a mixture, and documents drawn from them. */
#include "tasks/blend.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/dice.h"
#include "tasks/scan.h"

#define MAX_DOCUMENT ((size_t)64 << 20)

/* ---- specs ----------------------------------------------------------------------------------- */

static bool read_number(const char *text, double *value)
{
    char *end;

    errno = 0;
    *value = strtod(text, &end);
    return end != text && !*end && !errno && *value >= 0 && *value <= 1e9;
}

static bool read_levels(const char *text, int max, struct blend_part *p)
{
    struct scan s = scan_text(text);
    int64_t low, high;

    if (!scan_uint(&s, max, &low))
        return false;
    high = low;
    if (scan_char(&s, '-') && !scan_uint(&s, max, &high))
        return false;
    p->level_low = (int)low;
    p->level_high = (int)high;
    return scan_ended(&s) && low <= high;
}

static int set_share(struct blend_part *p, int trace, const char *text, struct mk_error *err)
{
    if (!task_has_trace(p->task, trace))
        return mk_error_set(err, MK_EINVAL, "%s has no %s traces", task_name(p->task),
                            task_trace_name(trace));
    if (!read_number(text, &p->share[trace]) || p->share[trace] > 1)
        return mk_error_set(err, MK_EINVAL, "%s: %s=%s: a share is 0 to 1", task_name(p->task),
                            task_trace_name(trace), text);
    return 0;
}

/* One "key=value" behind the task's name. */
static int set_key(struct blend_part *p, const char *key, const char *value, struct mk_error *err)
{
    if (!strcmp(key, "weight")) {
        if (read_number(value, &p->weight) && p->weight > 0)
            return 0;
        return mk_error_set(err, MK_EINVAL, "%s: weight=%s: a weight is above 0",
                            task_name(p->task), value);
    }
    if (!strcmp(key, "level")) {
        if (read_levels(value, task_max_level(p->task), p))
            return 0;
        return mk_error_set(err, MK_EINVAL, "%s: level=%s: levels are 0 to %d, or LOW-HIGH",
                            task_name(p->task), value, task_max_level(p->task));
    }
    for (int trace = TASK_TRACE_SCRATCHPAD; trace < TASK_N_TRACES; trace++)
        if (!strcmp(key, task_trace_name(trace)))
            return set_share(p, trace, value, err);
    return mk_error_set(err, MK_EINVAL, "%s: '%s' is none of level, weight, scratchpad, search, "
                        "impatient", task_name(p->task), key);
}

static int set_keys(struct blend_part *p, char *keys, struct mk_error *err)
{
    double rest = 1;
    char *next = keys;

    while (next) {
        char *key = next, *value;
        int rc;

        next = strchr(key, ',');
        if (next)
            *next++ = 0;
        value = strchr(key, '=');
        if (!value)
            return mk_error_set(err, MK_EINVAL, "%s: '%s' is not KEY=VALUE", task_name(p->task),
                                key);
        *value++ = 0;
        rc = set_key(p, key, value, err);
        if (rc)
            return rc;
    }
    for (int trace = TASK_TRACE_SCRATCHPAD; trace < TASK_N_TRACES; trace++)
        rest -= p->share[trace];
    if (rest < -1e-9)
        return mk_error_set(err, MK_EINVAL, "%s: shares of traces sum to more than 1",
                            task_name(p->task));
    p->share[TASK_TRACE_DIRECT] = rest > 0 ? rest : 0;
    return 0;
}

int blend_part_open(struct blend_part *p, const char *spec, struct mk_error *err)
{
    char *copy = strdup(spec), *keys;
    int rc;

    if (!copy)
        return mk_error_memory(err, strlen(spec) + 1);
    *p = (struct blend_part){.weight = 1};
    keys = strchr(copy, ',');
    if (keys)
        *keys++ = 0;
    rc = task_open(&p->task, copy, err);
    if (!rc) {
        p->level_high = task_max_level(p->task);
        rc = set_keys(p, keys, err);
        if (rc)
            blend_part_close(p);
    }
    free(copy);
    return rc;
}

void blend_part_close(struct blend_part *p)
{
    task_close(p->task);
    p->task = NULL;
}

/* ---- documents ------------------------------------------------------------------------------- */

static struct blend_part *pick_part(const struct blend *b, struct dice *d)
{
    double sum = 0, at;
    int i = 0;

    for (int j = 0; j < b->n_parts; j++)
        sum += b->parts[j].weight;
    at = dice_uniform(d) * sum;
    while (i < b->n_parts - 1 && at >= b->parts[i].weight)
        at -= b->parts[i++].weight;
    return &b->parts[i];
}

static enum task_trace pick_trace(const struct blend_part *p, struct dice *d)
{
    double at = dice_uniform(d);
    int i = 0;

    while (i < TASK_N_TRACES - 1 && at >= p->share[i])
        at -= p->share[i++];
    while (i > 0 && p->share[i] == 0) /* rounding must not find a trace that nobody asked for */
        i--;
    return i;
}

static json_t *document(enum blend_form form, const char *question, const char *response)
{
    if (form == BLEND_TEXT)
        return json_pack("{s:s+++}", "text", "<｜User｜>", question, "<｜Assistant｜>", response);
    return json_pack("{s:[{s:s,s:s},{s:s,s:s}]}", "messages", "role", "user", "content", question,
                     "role", "assistant", "content", response);
}

static int append_json(const json_t *json, struct buf *out, struct mk_error *err)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    int rc;

    if (!text)
        return mk_error_set(err, MK_EFORMAT, "a question or answer is not UTF-8");
    rc = buf_append_string(out, text, err);
    free(text);
    return rc ? rc : buf_append(out, "\n", 1, err);
}

struct blend_pick blend_pick(struct blend *b)
{
    struct dice d = {.seed = dice_seed(b->seed, "corpus"), .sequence = (uint64_t)b->n_written};
    struct blend_pick pick = {.part = pick_part(b, &d)};

    pick.level = dice_between(&d, pick.part->level_low, pick.part->level_high);
    pick.trace = pick_trace(pick.part, &d);
    pick.index = pick.part->n_drawn++;
    pick.number = b->n_written++;
    return pick;
}

int blend_next(struct blend *b, struct buf *out, struct mk_error *err)
{
    struct blend_pick pick = blend_pick(b);
    struct task *task = pick.part->task;
    struct task_item item;
    struct buf response;
    json_t *json;
    int rc = task_draw(task, TASK_TRAIN, pick.level, b->seed, pick.index, &item, err);

    if (rc)
        return rc;
    buf_init(&response, MAX_DOCUMENT);
    rc = task_write_trace(task, &item, pick.trace, (uint64_t)pick.number, &response, err);
    if (!rc) {
        json = document(b->form, item.question, response.data);
        rc = append_json(json, out, err);
        json_decref(json);
    }
    buf_release(&response);
    task_item_release(&item);
    b->n_of_trace[pick.trace] += !rc;
    return rc;
}
