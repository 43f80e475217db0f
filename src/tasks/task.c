/* task.c: opens tasks by name, draws questions of a split, checks, wraps traces in tags. */
#include "tasks/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/kind.h"
#include "tasks/response.h"

#define MAX_TEXT ((size_t)1 << 20) /* bytes of a built-in question or trace; far above any */
#define MAX_ATTEMPTS 4096          /* for a question of the split: 1 in 8 is a test question */

struct task {
    const struct task_kind *kind; /* borrowed, static */
};

/* In the order of `minke tasks`: easy ones first. */
static const struct task_kind *const families[] = {
    running_tasks, arithmetic_tasks, order_tasks,  letter_tasks, base_tasks, equation_tasks,
    graph_tasks,   maze_tasks,       sudoku_tasks, knight_tasks, countdown_tasks, step_tasks,
    unknown_tasks};
enum { N_FAMILIES = sizeof families / sizeof *families };

static const struct task_kind *find_kind(const char *name)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct task_kind *k = families[f]; k->name; k++)
            if (!strcmp(k->name, name))
                return k;
    return NULL;
}

const char *task_builtin(int i)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct task_kind *k = families[f]; k->name; k++)
            if (!i--)
                return k->name;
    return NULL;
}

int task_open(struct task **t, const char *name, struct mk_error *err)
{
    const struct task_kind *kind = find_kind(name);

    if (!kind)
        return mk_error_set(err, MK_ENOTFOUND, "there is no task '%s', minke tasks lists them",
                            name);
    *t = malloc(sizeof **t);
    if (!*t)
        return mk_error_memory(err, sizeof **t);
    **t = (struct task){.kind = kind};
    return 0;
}

void task_close(struct task *t)
{
    free(t);
}

const char *task_name(const struct task *t)
{
    return t->kind->name;
}

const char *task_about(const struct task *t)
{
    return t->kind->about;
}

int task_max_level(const struct task *t)
{
    return t->kind->max_level;
}

int64_t task_count(const struct task *t, enum task_split split)
{
    (void)t, (void)split;
    return -1;
}

/* ---- Drawing -------------------------------------------------------------------------------- */

enum task_split task_split_of(const char *question)
{
    /* Philox over the FNV hash: the low bits of FNV alone are no good. */
    struct dice d = {.seed = dice_seed(0, question)};

    return dice_below(&d, 8) ? TASK_TRAIN : TASK_TEST;
}

static int ask_once(const struct task_kind *k, struct dice *d, int level, struct buf *question,
                    struct buf *answer, struct mk_error *err)
{
    struct pen q = {question, err, 0}, a = {answer, err, 0};

    buf_clear(question);
    buf_clear(answer);
    k->ask(k, d, level, &q, &a);
    return q.rc ? q.rc : a.rc;
}

/* Rolls questions until one belongs to the split. */
static int ask_of_split(const struct task_kind *k, enum task_split split, int level,
                        struct dice *d, struct buf *question, struct buf *answer,
                        struct mk_error *err)
{
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        int rc = ask_once(k, d, level, question, answer, err);

        if (rc || split == TASK_ALL || task_split_of(question->data) == split)
            return rc;
    }
    return mk_error_set(err, MK_EINVAL, "%s: level %d has no question of this split", k->name,
                        level);
}

int task_draw(const struct task *t, enum task_split split, int level, uint64_t seed,
              int64_t index, struct task_item *item, struct mk_error *err)
{
    const struct task_kind *k = t->kind;
    struct dice d = {.seed = dice_seed(seed, k->name), .sequence = (uint64_t)index};
    struct buf question, answer;
    int rc;

    *item = (struct task_item){0};
    if (level < 0 || level > k->max_level || index < 0)
        return mk_error_set(err, MK_EINVAL, "%s: level %d, index %" PRId64 ": levels are 0 to %d",
                            k->name, level, index, k->max_level);
    d.seed = dice_seed(d.seed, split == TASK_TRAIN ? "train" : split == TASK_TEST ? "test" : "all");
    d.seed += (uint64_t)level;
    buf_init(&question, MAX_TEXT);
    buf_init(&answer, MAX_TEXT);
    rc = ask_of_split(k, split, level, &d, &question, &answer, err);
    if (rc) {
        buf_release(&question);
        buf_release(&answer);
        return rc;
    }
    *item = (struct task_item){.question = question.data, .answer = answer.data};
    return 0;
}

void task_item_release(struct task_item *item)
{
    free(item->question);
    free(item->answer);
    *item = (struct task_item){0};
}

/* ---- Checking ------------------------------------------------------------------------------- */

void task_check(const struct task *t, const struct task_item *item, const char *response, size_t n,
                struct task_verdict *v)
{
    const struct task_kind *k = t->kind;
    struct response r = response_read(response, n);

    *v = (struct task_verdict){.well_formed = r.well_formed, .has_answer = r.has_answer};
    if (!r.has_answer)
        return;
    if (k->accepts)
        v->correct = k->accepts(k, item->question, item->answer, r.answer);
    else
        v->correct = item->answer && scan_equals(r.answer, item->answer);
}

/* ---- Traces --------------------------------------------------------------------------------- */

bool task_has_trace(const struct task *t, enum task_trace kind)
{
    return t->kind->traces & TASK_BIT(kind);
}

const char *task_trace_name(enum task_trace kind)
{
    static const char *const names[TASK_N_TRACES] = {"direct", "scratchpad", "search", "impatient"};

    return names[kind];
}

/* The two parts between tags; an answer that think left empty is the reference. */
static int compose(const struct buf *thought, const struct buf *answer, const char *reference,
                   struct buf *out, struct mk_error *err)
{
    int rc = 0;

    if (thought->n) {
        rc = buf_append_string(out, "<think>", err);
        rc = rc ? rc : buf_append(out, thought->data, thought->n, err);
        rc = rc ? rc : buf_append_string(out, "</think>", err);
    }
    rc = rc ? rc : buf_append_string(out, "<answer>", err);
    rc = rc ? rc : buf_append_string(out, answer->n ? answer->data : reference, err);
    return rc ? rc : buf_append_string(out, "</answer>", err);
}

int task_write_trace(const struct task *t, const struct task_item *item, enum task_trace kind,
                     uint64_t seed, struct buf *out, struct mk_error *err)
{
    const struct task_kind *k = t->kind;
    struct dice d = {.seed = dice_seed(seed, item->question), .sequence = kind};
    struct buf thought, answer;
    struct pen p = {&thought, err, 0}, a = {&answer, err, 0};
    int rc = 0;

    if (!task_has_trace(t, kind))
        return mk_error_set(err, MK_EINVAL, "%s has no %s traces", k->name, task_trace_name(kind));
    if (!item->answer)
        return mk_error_set(err, MK_EINVAL, "%s: a question without a reference has no trace",
                            k->name);
    buf_init(&thought, MAX_TEXT);
    buf_init(&answer, MAX_TEXT);
    if (kind != TASK_TRACE_DIRECT && !k->think(k, item->question, kind, &d, &p, &a))
        rc = mk_error_set(err, MK_EINVAL, "%s: not one of its questions: %.100s", k->name,
                          item->question);
    rc = rc ? rc : p.rc ? p.rc : a.rc;
    if (!rc)
        rc = compose(&thought, &answer, item->answer, out, err);
    buf_release(&thought);
    buf_release(&answer);
    return rc;
}
