/* answers.c: suites in which the model writes: batches of questions through the scheduler, answers
 * judged, a line each. */
#include <stdlib.h>
#include <string.h>

#include "eval/job.h"
#include "generate/exchange.h"
#include "verify/code.h"
#include "verify/math.h"

#define MAX_TEXT ((size_t)1 << 26)
#define MAX_STOP_IDS 16
#define TAIL 16    /* ids in which a stop of a raw prompt is looked for; the longest has fewer */
#define BATCHES 2  /* answers of a batch, in slots: kills cost little, and few slots stay empty */
static const char thought_begin[] = "<think>", thought_end[] = "</think>";

/* One answer, judged. */
struct judged {
    struct buf text;        /* as written, cut before a stop; behind "<think>" when the prompt ends
                               with it */
    size_t n_given;         /* bytes of the prompt's own at its begin */
    struct buf program;     /* that it stands for, of code */
    struct text_span found; /* in text or program */
    struct code_verdict code;
    struct task_verdict verdict;
    bool finished;
    int32_t n_tokens;
};

struct writer {
    struct job *j;
    struct scheduler *scheduler;
    struct arena memory; /* of a batch */
    int32_t stop_ids[MAX_STOP_IDS], n_stop_ids;
    bool has_stops;
    int64_t n_tokens;
};

/* ---- Where an answer ends -------------------------------------------------------------------- */

static const char *find_stop(const struct job *j, const char *text, size_t n)
{
    const char *first = NULL;

    for (int i = 0; i < SUITE_MAX_STOPS && j->suite->kind->stops[i]; i++) {
        const char *stop = j->suite->kind->stops[i], *at = memmem(text, n, stop, strlen(stop));

        if (at && (!first || at < first))
            first = at;
    }
    return first;
}

static bool ends_in_stop(void *user, const int32_t *ids, int32_t n)
{
    const struct writer *w = user;
    char text[1024];
    size_t n_text = 0;

    for (int32_t i = n > TAIL ? n - TAIL : 0; i < n; i++) {
        size_t n_bytes;
        const char *bytes = tokenizer_bytes(w->j->m->tokenizer, ids[i], true, &n_bytes);

        if (n_text + n_bytes > sizeof text)
            n_text = 0; /* no stop is that long */
        if (n_bytes > sizeof text)
            continue;
        memcpy(text + n_text, bytes, n_bytes);
        n_text += n_bytes;
    }
    return find_stop(w->j, text, n_text) != NULL;
}

static void take_stop_ids(struct writer *w)
{
    const struct mk_model *m = w->j->m;
    struct mk_error none;
    int32_t end;

    for (int32_t i = 0; i < m->model.arch.n_eos_ids && i < MAX_STOP_IDS - 1; i++)
        w->stop_ids[w->n_stop_ids++] = m->model.arch.eos_ids[i];
    if (m->chat && !chat_end_token(m->chat, m->tokenizer, &end, &none))
        w->stop_ids[w->n_stop_ids++] = end;
}

static int open_scheduler(struct writer *w, struct mk_error *err)
{
    const struct eval_options *o = w->j->o;
    int64_t n = (w->j->n - w->j->records.n) * w->j->n_samples;
    struct schedule_options s = {
        .n_slots = n < o->n_slots ? (int32_t)n : o->n_slots,
        .max_tokens = w->j->max_tokens,
        .max_prompt = (int32_t)w->j->longest,
        .kv = engine_kv_dtype(o->kv),
        .sampling = mk_sampling_default(),
        .stop_ids = w->stop_ids,
        .n_stop_ids = w->n_stop_ids,
        .ended = w->has_stops ? ends_in_stop : NULL,
        .ended_user = w,
    };

    s.sampling.temperature = o->temperature;
    s.sampling.top_p = o->top_p;
    s.sampling.seed = o->seed;
    return scheduler_create(&w->scheduler, &w->j->m->model, &w->j->m->compute, &s, err);
}

/* ---- Judging --------------------------------------------------------------------------------- */

/* A thought that never ends holds no answer. */
static bool is_all_thought(const struct buf *text)
{
    return memmem(text->data, text->n, thought_begin, strlen(thought_begin)) &&
           !memmem(text->data, text->n, thought_end, strlen(thought_end));
}

static int read_answer(const struct writer *w, const struct asked *a,
                       const struct schedule_answer *answer, struct judged *out,
                       struct mk_error *err)
{
    const char *stop;

    buf_init(&out->text, MAX_TEXT);
    buf_init(&out->program, MAX_TEXT);
    out->finished = answer->stopped;
    out->n_tokens = answer->n;
    if (a->prompt.in_thought && buf_append_string(&out->text, thought_begin, err))
        return err->code;
    out->n_given = out->text.n;
    if (exchange_text(w->j->m->tokenizer, answer, &out->text, err) ||
        buf_append(&out->text, "", 0, err))
        return err->code;
    stop = w->has_stops ? find_stop(w->j, out->text.data + out->n_given,
                                    out->text.n - out->n_given) : NULL;
    if (stop) {
        out->text.n = (size_t)(stop - out->text.data);
        out->text.data[out->text.n] = '\0';
        out->finished = true;
    }
    return 0;
}

static int run_program(const struct asked *a, struct judged *out, struct mk_error *err)
{
    const struct code_limits limits = code_limits_default();

    if (task_program(&a->item, out->text.data, out->text.n, &out->program, err) ||
        verify_code(out->program.data, out->program.n, a->item.tests, strlen(a->item.tests),
                    &limits, &out->code, err))
        return err->code;
    out->found = (struct text_span){out->program.data, out->program.n};
    out->verdict.correct = out->code.passed;
    return 0;
}

static int judge(const struct writer *w, const struct asked *a,
                 const struct schedule_answer *answer, struct judged *out, struct mk_error *err)
{
    if (read_answer(w, a, answer, out, err))
        return err->code;
    if (task_is_code(w->j->task))
        return run_program(a, out, err);
    if (is_all_thought(&out->text))
        return 0;
    task_check(w->j->task, &a->item, out->text.data, out->text.n, &out->verdict);
    out->found = out->verdict.found;
    return 0;
}

static void release_judged(struct judged *all, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        buf_release(&all[i].text);
        buf_release(&all[i].program);
    }
}

/* ---- Scores of a question -------------------------------------------------------------------- */

static bool same_bytes(struct text_span a, struct text_span b)
{
    return a.n == b.n && !memcmp(a.at, b.at, a.n);
}

static int vote(const struct writer *w, const struct judged *all, json_t *scores,
                struct mk_error *err)
{
    int32_t n = w->j->n_samples, winner;
    struct text_span *found = malloc((size_t)n * sizeof *found);
    char name[32];

    if (!found)
        return mk_error_memory(err, (size_t)n * sizeof *found);
    for (int32_t i = 0; i < n; i++)
        found[i] = all[i].found;
    winner = score_majority(found, n, suite_is_built_in(w->j->suite) ? same_bytes
                                                                    : verify_math_equal);
    free(found);
    snprintf(name, sizeof name, "majority@%d", n);
    json_object_set_new(scores, name,
                        json_real(winner >= 0 && all[winner].verdict.correct ? 1 : 0));
    return 0;
}

static void set_pass(json_t *scores, int32_t n, int32_t c, int32_t k)
{
    char name[32];

    snprintf(name, sizeof name, "pass@%d", k);
    json_object_set_new(scores, name, json_real(score_pass(n, c, k)));
}

static int score(const struct writer *w, const struct judged *all, json_t *scores,
                 struct mk_error *err)
{
    int32_t n = w->j->n_samples, correct = 0, formed = 0, cut = 0;
    double n_tokens = 0;

    for (int32_t i = 0; i < n; i++) {
        correct += all[i].verdict.correct;
        formed += all[i].verdict.well_formed;
        cut += !all[i].finished;
        n_tokens += all[i].n_tokens;
    }
    set_pass(scores, n, correct, 1);
    if (w->j->o->k > 1 && w->j->o->k < n)
        set_pass(scores, n, correct, w->j->o->k);
    if (n > 1)
        set_pass(scores, n, correct, n);
    if (n > 1 && !task_is_code(w->j->task) && vote(w, all, scores, err))
        return err->code;
    if (suite_is_built_in(w->j->suite))
        json_object_set_new(scores, "well_formed", json_real((double)formed / n));
    json_object_set_new(scores, "truncated", json_real((double)cut / n));
    json_object_set_new(scores, "tokens", json_real(n_tokens / n));
    return 0;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static json_t *describe(const struct writer *w, const struct judged *a)
{
    json_t *out = json_object();

    json_object_set_new(out, "text", records_text(a->text.data + a->n_given,
                                                  a->text.n - a->n_given));
    json_object_set_new(out, "answer", records_text(a->found.at, a->found.n));
    json_object_set_new(out, "correct", json_boolean(a->verdict.correct));
    json_object_set_new(out, "finished", json_boolean(a->finished));
    json_object_set_new(out, "tokens", json_integer(a->n_tokens));
    if (task_is_code(w->j->task)) {
        json_object_set_new(out, "reason", json_string(code_reason_name(a->code.reason)));
        json_object_set_new(out, "last_line", records_text(a->code.last_line,
                                                           strlen(a->code.last_line)));
    }
    return out;
}

static int write_line(struct writer *w, const struct asked *a, const struct judged *all,
                      struct mk_error *err)
{
    json_t *scores = json_object(), *answers = json_array(), *line = json_object();

    for (int32_t i = 0; i < w->j->n_samples; i++)
        json_array_append_new(answers, describe(w, &all[i]));
    json_object_set_new(line, "question", records_text(a->item.question,
                                                       strlen(a->item.question)));
    if (suite_is_built_in(w->j->suite))
        json_object_set_new(line, "level", json_integer(job_level(w->j, w->j->records.n)));
    json_object_set_new(line, "prompt", records_text(a->prompt.text.data, a->prompt.text.n));
    json_object_set_new(line, "reference", a->item.answer ? json_string(a->item.answer)
                                                          : json_null());
    json_object_set_new(line, "answers", answers);
    if (score(w, all, scores, err)) {
        json_decref(scores);
        json_decref(line);
        return err->code;
    }
    json_object_set_new(line, "scores", scores);
    return job_append(w->j, line, err);
}

static int finish_question(struct writer *w, const struct asked *a,
                           const struct schedule_answer *answers, struct mk_error *err)
{
    int32_t n = w->j->n_samples;
    struct judged *all = calloc((size_t)n, sizeof *all);
    int rc = all ? 0 : mk_error_memory(err, (size_t)n * sizeof *all);

    for (int32_t i = 0; !rc && i < n; i++)
        rc = judge(w, a, &answers[i], &all[i], err);
    if (!rc)
        rc = write_line(w, a, all, err);
    if (all)
        release_judged(all, n);
    free(all);
    return rc;
}

/* ---- Batches --------------------------------------------------------------------------------- */

static int run_batch(struct writer *w, int64_t first, int32_t n, struct mk_error *err)
{
    struct job *j = w->j;
    size_t n_answers = (size_t)n * (size_t)j->n_samples;
    struct schedule_group *groups;
    struct schedule_answer *answers;

    arena_reset(&w->memory);
    if (arena_take(&w->memory, &groups, (size_t)n, sizeof *groups, err) ||
        arena_take(&w->memory, &answers, n_answers, sizeof *answers, err))
        return err->code;
    for (int32_t i = 0; i < n; i++)
        groups[i] = (struct schedule_group){
            .prompt = j->asked[first + i].prompt.ids.data,
            .n_prompt = (int32_t)j->asked[first + i].prompt.ids.n,
            .n_samples = j->n_samples,
            .sequence = (uint64_t)(first + i) * (uint64_t)j->n_samples};
    if (scheduler_run(w->scheduler, groups, n, answers, &w->memory, j->o->stop, j->o->user, err))
        return err->code;
    w->n_tokens += scheduler_counts(w->scheduler).n_tokens;
    for (int32_t i = 0; i < n; i++)
        if (finish_question(w, &j->asked[first + i], answers + (int64_t)i * j->n_samples, err))
            return err->code;
    return records_sync(&j->records, err);
}

static int run_batches(struct writer *w, struct mk_error *err)
{
    struct job *j = w->j;
    int64_t batch = (int64_t)BATCHES * j->o->n_slots / j->n_samples;
    int rc = 0;

    batch = batch > 1 ? batch : 1;
    while (!rc && j->records.n < j->n) {
        int64_t left = j->n - j->records.n;

        job_tell(j, w->n_tokens);
        rc = run_batch(w, j->records.n, (int32_t)(left < batch ? left : batch), err);
    }
    return rc;
}

int answers_run(struct job *j, struct mk_error *err)
{
    struct writer w = {.j = j, .has_stops = j->style == PROMPT_RAW};
    int rc;

    if (j->records.n >= j->n)
        return 0;
    arena_init(&w.memory, SIZE_MAX / 4);
    take_stop_ids(&w);
    rc = open_scheduler(&w, err);
    if (!rc)
        rc = run_batches(&w, err);
    scheduler_free(w.scheduler);
    arena_release(&w.memory);
    return rc;
}
