/* received.c: see received.h. */
#include "distill/received.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/map_file.h"

static int failed(const struct received *r, struct mk_error *err)
{
    return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", r->path, strerror(errno));
}

int received_init(struct received *r, const char *path, struct mk_error *err)
{
    *r = (struct received){.fd = -1, .last = -1};
    if (snprintf(r->path, sizeof r->path, "%s.received", path) < (int)sizeof r->path)
        return 0;
    return mk_error_set(err, MK_ELIMIT, "%.200s...: the path is too long", path);
}

void received_release(struct received *r)
{
    if (r->fd < 0) /* it was not written: whatever lies there stays */
        return;
    if (r->last < 0)
        unlink(r->path);
    close(r->fd);
    r->fd = -1;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static int open_to_append(struct received *r, struct mk_error *err)
{
    if (r->fd < 0)
        r->fd = open(r->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return r->fd < 0 ? failed(r, err) : 0;
}

static json_t *to_json(int64_t question, int32_t sample, const struct teacher_answer *a)
{
    json_t *o = json_pack("{s:I, s:i, s:s%, s:b, s:i}", "question", (json_int_t)question, "sample",
                          sample, "text", a->text, a->n, "stopped", a->stopped, "tokens",
                          a->n_tokens);
    json_t *list = o && a->logprobs ? json_array() : NULL;

    for (int32_t i = 0; list && i < a->n_logprobs; i++)
        json_array_append_new(list, json_real((double)a->logprobs[i]));
    if (list)
        json_object_set_new(o, "logprobs", list);
    return o;
}

static int append(struct received *r, const char *text, size_t n, struct mk_error *err)
{
    while (n > 0) {
        ssize_t written = write(r->fd, text, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return failed(r, err);
        text += written;
        n -= (size_t)written;
    }
    return 0;
}

int received_add(struct received *r, int64_t question, int32_t sample,
                 const struct teacher_answer *a, struct mk_error *err)
{
    json_t *o = to_json(question, sample, a);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    int code;

    json_decref(o);
    if (!text)
        return mk_error_set(err, MK_EFORMAT, "the answer to question %lld is not UTF-8",
                            (long long)question);
    code = open_to_append(r, err);
    if (!code)
        code = append(r, text, strlen(text), err);
    if (!code)
        code = append(r, "\n", 1, err); /* a line is whole by its end */
    if (!code && question > r->last)
        r->last = question;
    free(text);
    return code;
}

int received_settle(struct received *r, int64_t end, struct mk_error *err)
{
    if (r->last < 0 || r->last >= end)
        return 0;
    if (open_to_append(r, err))
        return err->code;
    if (ftruncate(r->fd, 0))
        return failed(r, err);
    r->last = -1;
    return 0;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int take_logprobs(const json_t *list, struct teacher_answer *a, struct arena *memory,
                         struct mk_error *err)
{
    size_t n = json_array_size(list);
    float *to;

    if (!json_is_array(list))
        return 0;
    if (arena_take(memory, &to, n, sizeof *to, err))
        return err->code;
    for (size_t i = 0; i < n; i++)
        to[i] = (float)json_number_value(json_array_get(list, i));
    a->logprobs = to;
    a->n_logprobs = (int32_t)n;
    return 0;
}

static int take_answer(const json_t *o, struct teacher_answer *a, struct arena *memory,
                       struct mk_error *err)
{
    const json_t *text = json_object_get(o, "text");
    char *copy;

    a->n = json_string_length(text);
    if (arena_take(memory, &copy, a->n + 1, 1, err))
        return err->code;
    memcpy(copy, json_string_value(text), a->n + 1);
    a->stopped = json_is_true(json_object_get(o, "stopped"));
    a->n_tokens = (int32_t)json_integer_value(json_object_get(o, "tokens"));
    a->text = copy;
    return take_logprobs(json_object_get(o, "logprobs"), a, memory, err);
}

/* The answers that are wanted. */
struct wanted {
    int64_t first;
    int32_t n, n_samples;
    struct teacher_answer *answers;
    struct arena *memory;
};

static int take_line(struct received *r, const char *line, size_t n, const struct wanted *w,
                     struct mk_error *err)
{
    json_t *o = json_loadb(line, n, 0, NULL);
    const json_t *number = json_object_get(o, "question");
    int64_t question = json_integer_value(number);
    int64_t sample = json_integer_value(json_object_get(o, "sample"));
    int code = 0;

    if (json_is_integer(number) && json_is_string(json_object_get(o, "text")) && sample >= 0 &&
        sample < w->n_samples) {
        r->last = question > r->last ? question : r->last;
        if (question >= w->first && question < w->first + w->n)
            code = take_answer(o, &w->answers[(question - w->first) * w->n_samples + sample],
                               w->memory, err);
    }
    json_decref(o);
    return code;
}

int received_give(struct received *r, int64_t first, int32_t n, int32_t n_samples,
                  struct teacher_answer *answers, struct arena *memory, struct mk_error *err)
{
    const struct wanted w = {first, n, n_samples, answers, memory};
    struct map_file m;
    const char *at, *end, *feed;
    size_t whole;
    int code = 0;

    if (access(r->path, F_OK))
        return 0;
    if (map_file_open(&m, r->path, err))
        return err->code;
    at = (const char *)m.data;
    end = at + m.bytes;
    for (; !code && at < end && (feed = memchr(at, '\n', (size_t)(end - at))); at = feed + 1)
        code = take_line(r, at, (size_t)(feed - at), &w, err);
    whole = m.bytes - (size_t)(end - at);
    map_file_close(&m);
    if (!code && at < end && truncate(r->path, (off_t)whole))
        code = failed(r, err);
    return code;
}
