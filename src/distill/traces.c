/* traces.c: ask a batch, judge it, write its lines, say how far it is. */
#include "distill/traces.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "distill/received.h"
#include "distill/traces_state.h"

#define HOLE "{question}"
#define THINK "<think>"
#define MAX_BATCH_BYTES ((size_t)1 << 32) /* of lines */

struct asked {
    struct blend_pick pick;
    struct task_item item;
};

struct traces {
    const struct traces_options *o;
    struct blend *blend;
    struct teacher *teacher;
    struct traces_state state;
    struct received received;
    struct arena memory; /* of a batch */
    struct buf lines;    /* the same */
    int fd;
    struct asked *asked; /* [n_asked] */
    int32_t n_asked;
};

/* ---- The file ------------------------------------------------------------------------------- */

static int begin_file(struct traces *t, int64_t bytes, bool found, struct mk_error *err)
{
    const char *path = t->o->path;

    if ((found || bytes > 0) && !t->o->resume)
        return mk_error_set(err, MK_EINVAL,
                            "%s: is there already: --resume goes on with it, or remove it and "
                            "%s.state",
                            path, path);
    if (!found && bytes > 0)
        return mk_error_set(err, MK_EINVAL, "%s: there is no %s.state that says how far it is",
                            path, path);
    if (t->state.bytes > bytes)
        return mk_error_set(err, MK_EFORMAT, "%s: has %" PRId64 " bytes, %s.state tells of %" PRId64
                            ": lines are missing",
                            path, bytes, path, t->state.bytes);
    if (ftruncate(t->fd, t->state.bytes) || lseek(t->fd, 0, SEEK_END) < 0)
        return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", path, strerror(errno));
    if (found)
        return 0;
    unlink(t->received.path); /* of a file that was removed */
    return traces_state_write(&t->state, err);
}

static int open_file(struct traces *t, struct mk_error *err)
{
    const char *path = t->o->path;
    struct stat st;
    bool found;

    t->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t->fd < 0 || fstat(t->fd, &st))
        return mk_error_set(err, MK_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    if (flock(t->fd, LOCK_EX | LOCK_NB))
        return mk_error_set(err, MK_EINVAL, "%s: another process is writing it", path);
    if (traces_state_init(&t->state, path, t->o->settings, t->teacher->name, err) ||
        received_init(&t->received, path, err) || traces_state_read(&t->state, &found, err))
        return err->code;
    return begin_file(t, st.st_size, found, err);
}

static int write_lines(struct traces *t, struct mk_error *err)
{
    const char *at = t->lines.data;
    size_t left = t->lines.n;

    while (left > 0) {
        ssize_t n = write(t->fd, at, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", t->o->path,
                                strerror(errno));
        at += n;
        left -= (size_t)n;
    }
    if (fsync(t->fd) && errno != EINVAL)
        return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", t->o->path, strerror(errno));
    t->state.bytes += (int64_t)t->lines.n;
    return 0;
}

/* ---- A line --------------------------------------------------------------------------------- */

static json_t *ids_json(const int32_t *ids, int32_t n)
{
    json_t *list = json_array();

    for (int32_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), n_end = strlen(end);

    return n >= n_end && !strcmp(text + n - n_end, end);
}

static json_t *document_json(const struct traces *t, const char *question,
                             const struct teacher_answer *a)
{
    const char *form = t->o->form, *hole, *behind, *text = a->text;

    if (t->blend->form == BLEND_MESSAGES)
        return json_pack("{s:[{s:s, s:s}, {s:s, s:s%}]}", "messages", "role", "user", "content",
                         question, "role", "assistant", "content", a->text, a->n);
    hole = strstr(form, HOLE);
    behind = hole + strlen(HOLE);
    if (ends_with(behind, THINK) && !strncmp(text, THINK, strlen(THINK)))
        text += strlen(THINK); /* the form began the thought */
    return json_pack("{s:s#+++}", "text", form, (int)(hole - form), question, behind, text);
}

static void add_tokens(json_t *line, const struct teacher_answer *a)
{
    json_t *list = a->logprobs ? json_array() : NULL;

    if (a->n_tokens > 0)
        json_object_set_new(line, "tokens", json_integer(a->n_tokens));
    for (int32_t i = 0; list && i < a->n_logprobs; i++)
        json_array_append_new(list, json_real((double)a->logprobs[i]));
    if (list)
        json_object_set_new(line, "logprobs", list);
    if (!a->ids)
        return;
    json_object_set_new(line, "ids", ids_json(a->ids, a->n_ids));
    json_object_set_new(line, "prompt_ids", ids_json(a->prompt, a->n_prompt));
}

static int put_line(struct traces *t, json_t *line, const struct asked *q, struct mk_error *err)
{
    /* 9 digits: the very floats. */
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    int code;

    json_decref(line);
    if (!text)
        return mk_error_set(err, MK_EFORMAT, "the answer to question %" PRId64 " is not UTF-8",
                            q->pick.number);
    code = buf_append_string(&t->lines, text, err);
    free(text);
    return code ? code : buf_append(&t->lines, "\n", 1, err);
}

static int add_line(struct traces *t, const struct asked *q, int32_t sample,
                    const struct teacher_answer *a, const struct keep_verdict *v,
                    struct mk_error *err)
{
    json_t *line = document_json(t, q->item.question, a);
    json_t *more = json_pack("{s:s, s:i, s:I, s:i, s:s?, s:b, s:b, s:b}", "task",
                             task_name(q->pick.part->task), "level", q->pick.level, "question",
                             (json_int_t)q->pick.number, "sample", sample, "reference",
                             q->item.answer, "correct", v->correct, "well_formed", v->well_formed,
                             "stopped", a->stopped);

    if (!line || !more || json_object_update(line, more)) {
        json_decref(line);
        line = NULL;
    } else {
        add_tokens(line, a);
    }
    json_decref(more);
    return put_line(t, line, q, err);
}

static int add_pair(struct traces *t, const struct asked *q, const struct teacher_answer *answers,
                    int32_t chosen, int32_t rejected, struct mk_error *err)
{
    const struct teacher_answer *a = &answers[chosen], *b = &answers[rejected];
    json_t *line = json_pack("{s:s, s:s%, s:s%, s:s, s:i, s:I, s:[i, i], s:s?}", "prompt",
                             q->item.question, "chosen", a->text, a->n, "rejected", b->text, b->n,
                             "task", task_name(q->pick.part->task), "level", q->pick.level,
                             "question", (json_int_t)q->pick.number, "sample", chosen, rejected,
                             "reference", q->item.answer);

    t->state.counts.n_kept++;
    return put_line(t, line, q, err);
}

/* ---- A batch -------------------------------------------------------------------------------- */

static void forget(struct traces *t)
{
    for (int32_t i = 0; i < t->n_asked; i++)
        task_item_release(&t->asked[i].item);
    t->n_asked = 0;
    arena_reset(&t->memory);
    buf_clear(&t->lines);
}

static int draw(struct traces *t, int32_t n, struct teacher_question *questions,
                struct mk_error *err)
{
    if (arena_take(&t->memory, &t->asked, (size_t)n, sizeof *t->asked, err))
        return err->code;
    for (int32_t i = 0; i < n; i++) {
        struct asked *q = &t->asked[i];

        q->pick = blend_pick(t->blend);
        if (task_draw(q->pick.part->task, TASK_TRAIN, q->pick.level, t->blend->seed, q->pick.index,
                      &q->item, err))
            return err->code;
        t->n_asked++;
        questions[i] = (struct teacher_question){
            .text = q->item.question,
            .number = q->pick.number,
            .sequence = (uint64_t)q->pick.number * (uint64_t)t->o->n_samples};
    }
    return 0;
}

static bool is_kept(enum traces_keep keep, const struct keep_verdict *v, bool best)
{
    if (v->fault == KEEP_NO_TEXT)
        return false;
    return keep == TRACES_ALL || (keep == TRACES_CORRECT ? v->fault == KEEP_GOOD : best);
}

/* Good answers meet those that are not, in their order. One that was cut is no answer that anybody
 * would give. */
static int settle_pairs(struct traces *t, const struct asked *q,
                        const struct teacher_answer *answers, const struct keep_verdict *v,
                        struct mk_error *err)
{
    int32_t n = t->o->n_samples, bad = 0;

    for (int32_t good = 0; good < n; good++) {
        if (v[good].fault != KEEP_GOOD)
            continue;
        while (bad < n && (v[bad].fault == KEEP_GOOD || v[bad].fault == KEEP_NO_TEXT ||
                           v[bad].fault == KEEP_CUT))
            bad++;
        if (bad == n)
            return 0;
        if (add_pair(t, q, answers, good, bad++, err))
            return err->code;
    }
    return 0;
}

/* All samples of one question. */
static int settle(struct traces *t, const struct asked *q, const struct teacher_answer *answers,
                  struct mk_error *err)
{
    struct traces_counts *c = &t->state.counts;
    int32_t n = t->o->n_samples, best;
    struct keep_verdict *v;
    bool solved = false;

    if (arena_take(&t->memory, &v, (size_t)n, sizeof *v, err))
        return err->code;
    for (int32_t i = 0; i < n; i++) {
        if (keep_judge(&t->o->rules, q->pick.part->task, &q->item, &answers[i], &v[i], err))
            return err->code;
        solved |= v[i].correct;
        c->n_of_fault[v[i].fault]++;
        c->n_tokens += answers[i].n_tokens;
    }
    best = keep_best(answers, v, n);
    if (t->o->keep == TRACES_PAIRS && settle_pairs(t, q, answers, v, err))
        return err->code;
    for (int32_t i = 0; i < n && t->o->keep != TRACES_PAIRS; i++) {
        if (!is_kept(t->o->keep, &v[i], i == best))
            continue;
        if (add_line(t, q, i, &answers[i], &v[i], err))
            return err->code;
        c->n_kept++;
    }
    c->n_questions++;
    c->n_answers += n;
    c->n_solved += solved;
    return 0;
}

/* The batch that is asked, for what comes of it. */
struct batch {
    struct traces *t;
    int64_t first; /* number of its first question */
    const struct teacher_answer *answers;
};

static int keep_received(void *user, int32_t index, struct mk_error *err)
{
    const struct batch *b = user;
    int32_t n_samples = b->t->o->n_samples;

    return received_add(&b->t->received, b->first + index / n_samples, index % n_samples,
                        &b->answers[index], err);
}

static int one_batch(struct traces *t, struct mk_error *err)
{
    int64_t first = t->state.counts.n_questions, left = t->o->n_questions - first;
    int32_t n = left < t->teacher->n_batch ? (int32_t)left : t->teacher->n_batch;
    size_t n_answers = (size_t)n * (size_t)t->o->n_samples;
    struct teacher_question *questions;
    struct teacher_answer *answers;
    struct batch batch = {t, first, NULL};
    const struct teacher_watch watch = {t->o->stop, t->o->user, keep_received, &batch};

    forget(t);
    if (arena_take(&t->memory, &questions, (size_t)n, sizeof *questions, err) ||
        arena_take(&t->memory, &answers, n_answers, sizeof *answers, err))
        return err->code;
    memset(answers, 0, n_answers * sizeof *answers);
    batch.answers = answers;
    if (draw(t, n, questions, err) ||
        received_give(&t->received, first, n, t->o->n_samples, answers, &t->memory, err) ||
        t->teacher->answer(t->teacher->self, questions, n, t->o->n_samples, answers, &t->memory,
                           &watch, err))
        return err->code;
    for (int32_t i = 0; i < n; i++)
        if (settle(t, &t->asked[i], answers + (size_t)i * (size_t)t->o->n_samples, err))
            return err->code;
    if (write_lines(t, err) || traces_state_write(&t->state, err))
        return err->code;
    return received_settle(&t->received, first + n, err);
}

static int run(struct traces *t, struct mk_error *err)
{
    if (open_file(t, err))
        return err->code;
    for (int64_t i = 0; i < t->state.counts.n_questions; i++)
        blend_pick(t->blend);
    while (t->state.counts.n_questions < t->o->n_questions) {
        int64_t n_done = t->state.counts.n_questions;

        if (one_batch(t, err))
            return mk_error_wrap(err, "%s has the answers to %" PRId64 " of %" PRId64 " questions",
                                 t->o->path, n_done, t->o->n_questions);
        if (t->o->show)
            t->o->show(t->o->user, &t->state.counts);
    }
    return 0;
}

int traces_write(const struct traces_options *o, struct blend *blend, struct teacher *teacher,
                 struct traces_counts *counts, struct mk_error *err)
{
    struct traces t = {
        .o = o, .blend = blend, .teacher = teacher, .fd = -1, .received = {.fd = -1}};
    int code;

    arena_init(&t.memory, SIZE_MAX / 4);
    buf_init(&t.lines, MAX_BATCH_BYTES);
    code = run(&t, err);
    *counts = t.state.counts;
    forget(&t);
    traces_state_release(&t.state);
    received_release(&t.received);
    buf_release(&t.lines);
    arena_release(&t.memory);
    if (t.fd >= 0)
        close(t.fd);
    return code;
}
