/* rl_metrics.c: the lines that a run of reinforcement learning writes about itself: metrics.jsonl,
 * timing.jsonl, and some answers of a step. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/map_file.h"
#include "cli/rl_run.h"

#define N_SAMPLES 64 /* answers of a step that are kept */

/* ---- metrics.jsonl -------------------------------------------------------------------------- */

static json_t *tasks_json(const struct rl_run *run, const struct learner_task *tasks,
                          bool with_level)
{
    json_t *all = json_object();

    for (int32_t i = 0; i < run->learner.questions.n_tasks; i++) {
        const struct learner_task *t = &tasks[i];
        json_t *one;

        if (t->n_answers == 0)
            continue;
        one = json_pack("{s:f}", "pass", rl_share(t->n_correct, t->n_answers));
        if (with_level) {
            json_object_set_new(one, "reward", json_real(t->reward / (double)t->n_answers));
            json_object_set_new(one, "level",
                                json_integer(run->learner.questions.places[i].level));
        }
        json_object_set_new(all, run->recipe->tasks[i].name, one);
    }
    return all;
}

static json_t *step_json(const struct rl_run *run, const struct learner_report *r)
{
    json_t *o = json_pack("{s:I, s:I, s:f, s:f, s:i, s:i, s:f, s:f, s:f, s:f}", "step",
                          (json_int_t)r->step, "tokens", (json_int_t)run->trainer.state.tokens,
                          "reward", r->reward, "pass", rl_share(r->n_correct, r->n_answers),
                          "asked", r->n_asked, "live", r->n_live, "length", r->length,
                          "truncated", rl_share(r->n_truncated, r->n_answers), "formed",
                          rl_share(r->n_formed, r->n_answers), "entropy", r->entropy);

    json_object_set_new(o, "updates", json_integer(r->n_updates));
    json_object_set_new(o, "loss", json_real(r->loss));
    json_object_set_new(o, "norm", json_real(r->norm));
    json_object_set_new(o, "lr", json_real(r->lr));
    json_object_set_new(o, "clipped", json_real(rl_share(r->n_clipped, r->n_trained)));
    if (run->learner.teachers.n)
        json_object_set_new(o, "divergence", json_real(r->divergence));
    if (r->judged)
        json_object_set_new(o, "score", json_real(r->score));
    if (run->learner.has_reference)
        json_object_set_new(o, "kl", json_real(r->kl));
    if (!run->learner.exact) {
        json_object_set_new(o, "mismatch", json_real(r->mismatch));
        json_object_set_new(o, "mean_mismatch", json_real(r->mean_mismatch));
        json_object_set_new(o, "masked", json_integer(r->n_masked));
    }
    if (run->learner.questions.has_code)
        json_object_set_new(o, "timed_out", json_integer(r->n_timed_out));
    json_object_set_new(o, "tasks", tasks_json(run, r->tasks, true));
    return o;
}

int rl_write_metrics(struct rl_run *run, const struct learner_report *r, bool tested,
                     struct mk_error *err)
{
    json_t *o = step_json(run, r);
    const struct learner_test *t = &run->test;
    char *text, timing[400];
    int code;

    if (tested)
        json_object_set_new(o, "test",
                            json_pack("{s:f, s:f, s:I, s:o}", "pass",
                                      rl_share(t->n_correct, t->n_answers), "length", t->length,
                                      "questions", (json_int_t)t->n_answers, "tasks",
                                      tasks_json(run, t->tasks, false)));
    text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(o);
    if (!text)
        return mk_error_memory(err, 0);
    code = metrics_append(&run->folder.metrics, text, err);
    free(text);
    snprintf(timing, sizeof timing,
             "{\"step\":%" PRId64 ",\"ms\":%.1f,\"rollout_ms\":%.1f,\"update_ms\":%.1f,"
             "\"rollout_cpu_ms\":%.1f,\"update_cpu_ms\":%.1f,\"decodes\":%" PRId64
             ",\"prompt_tokens\":%" PRId64 ",\"tokens_per_s\":%.1f}",
             r->step, r->rollout_ms + r->update_ms, r->rollout_ms, r->update_ms, r->rollout_cpu_ms,
             r->update_cpu_ms, r->n_decodes, r->n_prompt_tokens,
             (double)r->n_tokens * 1000 / fmax(1, r->rollout_ms + r->update_ms));
    return code ? code : metrics_append(&run->folder.timing, timing, err);
}

/* ---- Answers -------------------------------------------------------------------------------- */

/* What another program needs to compute the same step (tests/peers/rl_peers.py). */
static void put_tokens(json_t *o, const struct question *q, const struct rollout *ro)
{
    json_t *prompt = json_array(), *ids = json_array(), *logprobs = json_array();

    for (size_t i = 0; i < q->prompt.n; i++)
        json_array_append_new(prompt, json_integer(q->prompt.data[i]));
    for (int32_t t = 0; t < ro->answer.n; t++) {
        json_array_append_new(ids, json_integer(ro->answer.ids[t]));
        json_array_append_new(logprobs, json_real((double)ro->answer.logprobs[t]));
    }
    json_object_set_new(o, "prompt_ids", prompt);
    json_object_set_new(o, "ids", ids);
    json_object_set_new(o, "logprobs", logprobs);
}

/* One line; text that is no UTF-8 cannot be, since the decoder gives none. */
static int put_sample(const struct rl_run *run, const struct rollout *ro, struct buf *b,
                      struct mk_error *err)
{
    const struct question *q = &run->learner.asked[ro->question];
    json_t *o = json_pack("{s:s, s:i, s:s, s:s*, s:s, s:f, s:f, s:b, s:b, s:i}", "task",
                          run->recipe->tasks[q->task].name, "level", q->level, "question",
                          q->item.question, "reference", q->item.answer, "response", ro->text,
                          "reward", ro->reward.total, "advantage", ro->advantage, "correct",
                          ro->reward.correct, "truncated", ro->reward.truncated, "tokens",
                          ro->answer.n);
    char *text;
    int code;

    if (o && run->learner.has_judge)
        json_object_set_new(o, "score", json_real(ro->reward.score));
    if (o)
        put_tokens(o, q, ro);
    text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    code = text ? buf_printf(b, err, "%s\n", text) : mk_error_memory(err, 0);

    free(text);
    json_decref(o);
    return code;
}

int rl_write_samples(struct rl_run *run, struct mk_error *err)
{
    const struct learner *l = &run->learner;
    int32_t samples = (int32_t)run->recipe->rl.samples, n = l->n_asked * samples;
    char name[64], path[RUN_PATH];
    struct buf b;
    int code = 0;

    snprintf(name, sizeof name, "samples/step-%06" PRId64 ".jsonl", l->step);
    if (run_folder_path(&run->folder, path, name, err))
        return err->code;
    buf_init(&b, (size_t)1 << 28);
    for (int32_t i = 0; i < n && i < N_SAMPLES && !code; i++)
        code = put_sample(run, &l->rollouts[i], &b, err);
    if (!code)
        code = write_file(path, b.data, b.n, err);
    buf_release(&b);
    return code;
}
