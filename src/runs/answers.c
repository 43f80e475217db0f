/* answers.c: chooses steps, then answers of each. */
#include "runs/answers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/map_file.h"
#include "runs/samples.h"

#define PATH 4096

static char *text_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    const char *text = json_string_value(v);

    return samples_beginning(text ? text : "", text ? json_string_length(v) : 0);
}

static void answer_release(struct answer *a)
{
    free(a->task);
    free(a->question);
    free(a->reference);
    free(a->response);
}

static int add(struct answers *a, int64_t step, int64_t line, const json_t *o, struct mk_error *err)
{
    struct answer one = {.step = step,
                         .line = line,
                         .level = json_integer_value(json_object_get(o, "level")),
                         .tokens = json_integer_value(json_object_get(o, "tokens")),
                         .task = text_of(o, "task"),
                         .question = text_of(o, "question"),
                         .reference = text_of(o, "reference"),
                         .response = text_of(o, "response"),
                         .reward = json_number_value(json_object_get(o, "reward")),
                         .correct = json_is_true(json_object_get(o, "correct")),
                         .truncated = json_is_true(json_object_get(o, "truncated"))};

    if (!one.task || !one.question || !one.reference || !one.response) {
        answer_release(&one);
        return mk_error_memory(err, SAMPLE_MAX_BYTES);
    }
    a->items[a->n++] = one;
    return 0;
}

/* How many of the step's answers are of this task; -1: this line is one of them. */
static int n_of_task(const struct answers *a, size_t first, const char *task, int64_t line)
{
    int n = 0;

    for (size_t i = first; i < a->n; i++) {
        if (a->items[i].line == line)
            return -1;
        n += !strcmp(a->items[i].task, task);
    }
    return n;
}

/* One round over a file: the first answer to each question whose task has been taken `round` times.
 * The answers to a question stand together. */
static int take_round(struct answers *a, size_t first, int round, int64_t step,
                      const struct map_file *m, struct mk_error *err)
{
    char *before = NULL;
    int64_t line = 1;
    size_t at = 0;
    int code = 0;

    while (at < m->bytes && !code && a->n < first + ANSWERS_EACH) {
        const char *text = (const char *)m->data + at;
        const char *end = memchr(text, '\n', m->bytes - at);
        size_t n = end ? (size_t)(end - text) : m->bytes - at;
        json_t *o = json_loadb(text, n, 0, NULL);
        const char *question = json_string_value(json_object_get(o, "question"));
        const char *task = json_string_value(json_object_get(o, "task"));

        if (!json_is_object(o))
            code = mk_error_set(err, MK_EFORMAT, "line %" PRId64 " is no object", line);
        else if (question && task && (!before || strcmp(before, question))) {
            free(before);
            before = strdup(question);
            code = before ? 0 : mk_error_memory(err, strlen(question) + 1);
            if (!code && n_of_task(a, first, task, line) == round)
                code = add(a, step, line, o, err);
        }
        json_decref(o);
        at += n + 1;
        line++;
    }
    free(before);
    return code;
}

static int read_step(struct answers *a, const char *folder, int64_t step, struct mk_error *err)
{
    size_t first = a->n, before;
    struct map_file m;
    char path[PATH];
    int code = 0;

    if (snprintf(path, sizeof path, "%s/samples/step-%06" PRId64 ".jsonl", folder, step) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    if (map_file_open(&m, path, err))
        return err->code;
    for (int round = 0; round < ANSWERS_EACH && !code; round++) {
        before = a->n;
        code = take_round(a, first, round, step, &m, err);
        if (a->n == before || a->n == first + ANSWERS_EACH)
            break;
    }
    map_file_close(&m);
    return code ? mk_error_wrap(err, "%s", path) : 0;
}

int answers_read(struct answers *a, const char *folder, struct mk_error *err)
{
    int64_t *steps;
    size_t n, n_read;
    int code = 0;

    *a = (struct answers){0};
    if (samples_steps(&steps, &n, folder, ".jsonl", err))
        return err->code;
    n_read = n < ANSWERS_STEPS ? n : ANSWERS_STEPS;
    if (n) {
        a->items = calloc(n_read * ANSWERS_EACH, sizeof *a->items);
        code = a->items ? 0 : mk_error_memory(err, n_read * ANSWERS_EACH * sizeof *a->items);
    }
    for (size_t i = 0; i < n_read && !code; i++)
        code = read_step(a, folder, steps[n_read > 1 ? i * (n - 1) / (n_read - 1) : 0], err);
    free(steps);
    if (code)
        answers_release(a);
    return code;
}

void answers_release(struct answers *a)
{
    for (size_t i = 0; i < a->n; i++)
        answer_release(&a->items[i]);
    free(a->items);
    *a = (struct answers){0};
}
