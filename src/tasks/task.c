/* task.c: opens tasks by name, draws questions of a split, checks, wraps traces in tags. */
#include "tasks/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "tasks/kind.h"
#include "tasks/response.h"
#include "tasks/task_file.h"
#include "verify/math.h"

#define MAX_TEXT ((size_t)16 << 20) /* bytes of a question or trace; far above any */
#define MAX_PATH 4096
#define MAX_ATTEMPTS 4096           /* for a question of the split: 1 in 8 is a test question */

struct task {
    const struct task_kind *kind; /* static; NULL: questions of the file */
    struct task_file file;
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

/* There is none of this name: the one that was meant, if that can be told. */
static int unknown(const char *name, struct mk_error *err)
{
    const char *names[64];
    char file[64];
    int n = 0, near;

    snprintf(file, sizeof file, "%.60s:", name);
    if (task_file_is(file))
        return mk_error_set(err, MK_ENOTFOUND, "task %s reads a file: say %sFILE", name, file);
    while (n < 64 && (names[n] = task_builtin(n)))
        n++;
    near = nearest_word(name, names, n);
    if (near >= 0)
        return mk_error_set(err, MK_ENOTFOUND,
                            "there is no task '%s', did you mean %s? minke tasks lists all", name,
                            names[near]);
    return mk_error_set(err, MK_ENOTFOUND, "there is no task '%s', minke tasks lists them", name);
}

int task_open(struct task **t, const char *name, struct mk_error *err)
{
    return task_open_skipping(t, name, false, err);
}

int task_open_skipping(struct task **t, const char *name, bool skip_bad, struct mk_error *err)
{
    const struct task_kind *kind = find_kind(name);
    struct task *opened;

    if (!kind && !task_file_is(name))
        return unknown(name, err);
    opened = calloc(1, sizeof *opened);
    if (!opened)
        return mk_error_memory(err, sizeof *opened);
    opened->kind = kind;
    if (!kind && task_file_open(&opened->file, name, skip_bad, err)) {
        free(opened);
        return err->code;
    }
    *t = opened;
    return 0;
}

int task_open_in(struct task **t, const char *base, const char *name, struct mk_error *err)
{
    const char *colon = strchr(name, ':');
    char path[MAX_PATH];

    if (!colon || colon[1] == '/' || !*base)
        return task_open(t, name, err);
    if (snprintf(path, sizeof path, "%.*s:%s/%s", (int)(colon - name), name, base, colon + 1) >=
        MAX_PATH)
        return mk_error_set(err, MK_ELIMIT, "task %s: the path is too long", name);
    return task_open(t, path, err);
}

int64_t task_n_skipped(const struct task *t)
{
    return t->file.n_skipped;
}

void task_close(struct task *t)
{
    if (!t)
        return;
    if (!t->kind)
        task_file_close(&t->file);
    free(t);
}

const char *task_name(const struct task *t)
{
    return t->kind ? t->kind->name : t->file.name;
}

const char *task_about(const struct task *t)
{
    return t->kind ? t->kind->about : task_file_about(&t->file);
}

int task_max_level(const struct task *t)
{
    return t->kind ? t->kind->max_level : 0;
}

int64_t task_count(const struct task *t, enum task_split split)
{
    return t->kind ? -1 : task_file_count(&t->file, split);
}

bool task_is_code(const struct task *t)
{
    return !t->kind && task_file_is_code(&t->file);
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

/* The dice of a draw: apart for every task, split and level. */
static struct dice dice_of(const struct task_kind *k, enum task_split split, int level,
                           uint64_t seed, int64_t index)
{
    static const char *const names[] = {"train", "test", "all"};
    struct dice d = {.seed = dice_seed(seed, k->name), .sequence = (uint64_t)index};

    d.seed = dice_seed(d.seed, names[split]) + (uint64_t)level;
    return d;
}

static int draw_built_in(const struct task_kind *k, enum task_split split, int level,
                         uint64_t seed, int64_t index, struct task_item *item,
                         struct mk_error *err)
{
    struct dice d = dice_of(k, split, level, seed, index);
    struct buf question, answer;
    int rc;

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

static char *copy_text(const char *text, int *rc)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        *rc = MK_EMEMORY;
    return copy;
}

static int draw_from_file(const struct task *t, enum task_split split, uint64_t seed,
                          int64_t index, struct task_item *item, struct mk_error *err)
{
    const struct task_item *from;
    int rc = 0;

    if (!task_count(t, split))
        return mk_error_set(err, MK_EINVAL, "%s: no question of this split", task_name(t));
    from = &task_file_row(&t->file, split, seed, index)->item;
    item->question = copy_text(from->question, &rc);
    item->answer = copy_text(from->answer, &rc);
    item->tests = copy_text(from->tests, &rc);
    item->choices = from->n_choices ? calloc(TASK_MAX_CHOICES, sizeof *item->choices) : NULL;
    if (from->n_choices && !item->choices)
        rc = MK_EMEMORY;
    for (int i = 0; !rc && i < from->n_choices; i++, item->n_choices++)
        item->choices[i] = copy_text(from->choices[i], &rc);
    if (!rc)
        return 0;
    task_item_release(item);
    return mk_error_memory(err, strlen(from->question));
}

int task_draw(const struct task *t, enum task_split split, int level, uint64_t seed,
              int64_t index, struct task_item *item, struct mk_error *err)
{
    *item = (struct task_item){.question = NULL};
    if (level < 0 || level > task_max_level(t))
        return mk_error_set(err, MK_EINVAL, "%s: level %d: levels are 0 to %d", task_name(t), level,
                            task_max_level(t));
    if (index < 0)
        return mk_error_set(err, MK_EINVAL, "%s: there is no question %" PRId64, task_name(t),
                            index);
    return t->kind ? draw_built_in(t->kind, split, level, seed, index, item, err)
                   : draw_from_file(t, split, seed, index, item, err);
}

void task_item_release(struct task_item *item)
{
    free(item->question);
    free(item->answer);
    free(item->tests);
    for (int i = 0; i < item->n_choices; i++)
        free(item->choices[i]);
    free(item->choices);
    *item = (struct task_item){.question = NULL};
}

/* ---- Checking ------------------------------------------------------------------------------- */

/* Mathematics and letters of choices: the same in meaning, not in spelling. */
static bool says_the_same(const char *reference, struct scan given, struct text_span *found)
{
    struct math_verdict v;
    bool same = verify_math(reference, strlen(reference), given.at,
                            (size_t)(given.end - given.at), &v);

    *found = v.answer;
    return same;
}

void task_check(const struct task *t, const struct task_item *item, const char *response, size_t n,
                struct task_verdict *v)
{
    const struct task_kind *k = t->kind;
    struct response r = response_read(response, n);

    *v = (struct task_verdict){.well_formed = r.well_formed, .has_answer = r.has_answer};
    if (!k) {
        v->has_answer = !scan_ended(&r.open);
        v->correct = v->has_answer && item->answer && !item->tests &&
                     says_the_same(item->answer, r.open, &v->found);
        return;
    }
    if (!r.has_answer)
        return;
    v->found = (struct text_span){r.answer.at, (size_t)(r.answer.end - r.answer.at)};
    if (k->accepts)
        v->correct = k->accepts(k, item->question, item->answer, r.answer);
    else
        v->correct = item->answer && scan_equals(r.answer, item->answer);
}

/* ---- Traces --------------------------------------------------------------------------------- */

bool task_has_trace(const struct task *t, enum task_trace kind)
{
    /* Whether a file has worked solutions shows in its first row. */
    unsigned of_file = t->file.n && t->file.rows[0].solution ? TASK_BITS_SCRATCHPAD
                                                             : TASK_BIT(TASK_TRACE_DIRECT);

    return (t->kind ? t->kind->traces : of_file) & TASK_BIT(kind);
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

static int not_its_own(const struct task *t, const struct task_item *item, struct mk_error *err)
{
    return mk_error_set(err, MK_EINVAL, "%s: not one of its questions: %.100s", task_name(t),
                        item->question);
}

/* The thought, and the answer where it is not the reference. */
static int think(const struct task *t, const struct task_item *item, enum task_trace kind,
                 uint64_t seed, struct buf *thought, struct buf *answer, struct mk_error *err)
{
    struct dice d = {.seed = dice_seed(seed, item->question), .sequence = kind};
    struct pen p = {thought, err, 0}, a = {answer, err, 0};
    const struct task_row *row;

    if (t->kind) {
        if (!t->kind->think(t->kind, item->question, kind, &d, &p, &a))
            return not_its_own(t, item, err);
        return p.rc ? p.rc : a.rc;
    }
    row = task_file_find(&t->file, item->question);
    if (!row)
        return not_its_own(t, item, err);
    return row->solution ? buf_append_string(thought, row->solution, err) : 0;
}

int task_write_trace(const struct task *t, const struct task_item *item, enum task_trace kind,
                     uint64_t seed, struct buf *out, struct mk_error *err)
{
    struct buf thought, answer;
    int rc = 0;

    if (!task_has_trace(t, kind))
        return mk_error_set(err, MK_EINVAL, "%s has no %s traces", task_name(t),
                            task_trace_name(kind));
    if (!item->answer)
        return mk_error_set(err, MK_EINVAL, "%s: a question without a reference has no trace",
                            task_name(t));
    buf_init(&thought, MAX_TEXT);
    buf_init(&answer, MAX_TEXT);
    if (kind != TASK_TRACE_DIRECT)
        rc = think(t, item, kind, seed, &thought, &answer, err);
    if (!rc)
        rc = compose(&thought, &answer, item->answer, out, err);
    buf_release(&thought);
    buf_release(&answer);
    return rc;
}

const char *task_worked(const struct task *t, const struct task_item *item)
{
    const struct task_row *row = t->kind ? NULL : task_file_find(&t->file, item->question);

    if (row && row->worked)
        return row->worked;
    return row && row->solution ? row->solution : item->answer;
}
