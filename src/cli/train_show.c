/* train_show.c: how a run is doing: its metrics and the line that a person watches. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "cli/progress.h"
#include "cli/train_run.h"

/* ---- metrics.jsonl -------------------------------------------------------------------------- */

/* What each source gave in this step. */
static json_t *sources_json(const struct train_run *run, const struct mixture_state *before)
{
    struct mixture *m = corpus_mixture(run->data.train);
    json_t *all = json_object();

    for (int i = 0; i < m->n_sources; i++) {
        const struct mixture_counter *now = &m->state.sources[i], *then = &before->sources[i];
        int64_t n = now->n_loss - then->n_loss;
        json_t *one = json_pack("{s:I, s:f}", "tokens", (json_int_t)now->n_tokens, "epochs",
                                mixture_epochs(m, i));

        if (n > 0)
            json_object_set_new(one, "loss",
                                json_real((now->loss_sum - then->loss_sum) / (double)n));
        json_object_set_new(all, m->sources[i].name, one);
    }
    return all;
}

static json_t *load_json(const int64_t *n, int32_t n_experts)
{
    json_t *all = json_array();

    for (int32_t e = 0; e < n_experts; e++)
        json_array_append_new(all, json_integer(n[e]));
    return all;
}

/* Of every layer with experts: entropy of the load as a share of its largest, and the busiest
 * expert's load in multiples of the mean; with_load: the tokens of each expert too. */
static json_t *experts_json(const struct trainer *t, bool with_load)
{
    const struct arch *a = &t->params->arch;
    json_t *all = json_array();

    for (int32_t l = 0; l < a->n_layers + a->n_mtp; l++) {
        const int64_t *n = t->expert_tokens + (int64_t)l * a->n_experts;
        double sum = 0, entropy = 0, most = 0;

        for (int32_t e = 0; e < a->n_experts; e++)
            sum += (double)n[e];
        for (int32_t e = 0; e < a->n_experts && sum > 0; e++) {
            double p = (double)n[e] / sum;

            entropy -= p > 0 ? p * log(p) : 0;
            most = fmax(most, p * a->n_experts);
        }
        if (sum <= 0)
            continue;
        json_array_append_new(
            all, json_pack("{s:i, s:f, s:f}", "layer", l, "entropy",
                           a->n_experts > 1 ? entropy / log(a->n_experts) : 1.0, "most", most));
        if (with_load)
            json_object_set_new(json_array_get(all, json_array_size(all) - 1), "load",
                                load_json(n, a->n_experts));
    }
    return all;
}

static char *metrics_json(const struct train_run *run, const struct step_report *r,
                          const struct mixture_state *before, bool has_valid)
{
    json_t *o = json_pack("{s:I, s:I, s:f, s:f, s:f, s:b}", "step", (json_int_t)r->step, "tokens",
                          (json_int_t)r->tokens, "loss", r->loss, "lr", r->lr, "norm", r->norm,
                          "skipped", r->skipped);
    char *text;

    if (run->data.params.arch.n_mtp)
        json_object_set_new(o, "mtp_loss", json_real(r->mtp_loss));
    if (run->trainer.expert_tokens) {
        json_object_set_new(o, "balance_loss", json_real(r->balance_loss));
        json_object_set_new(o, "experts", experts_json(&run->trainer, has_valid));
    }
    if (has_valid)
        json_object_set_new(o, "valid_loss", json_real(run->valid));
    json_object_set_new(o, "sources", sources_json(run, before));
    text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(o);
    return text;
}

int train_write_metrics(struct train_run *run, const struct step_report *r,
                        const struct mixture_state *before, bool has_valid, double step_ms,
                        struct mk_error *err)
{
    char *text = metrics_json(run, r, before, has_valid), timing[160];
    int code;

    if (!text)
        return mk_error_memory(err, 0);
    code = metrics_append(&run->folder.metrics, text, err);
    free(text);
    snprintf(timing, sizeof timing, "{\"step\":%" PRId64 ",\"ms\":%.1f,\"tokens_per_s\":%.1f}",
             r->step, step_ms, (double)r->n_tokens * 1000 / step_ms);
    return code ? code : metrics_append(&run->folder.timing, timing, err);
}

/* ---- The line ------------------------------------------------------------------------------- */

static void format_time(char text[32], double seconds)
{
    long s = (long)(seconds + 0.5);

    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

static void format_line(char line[PROGRESS_COLUMNS + 1], const struct train_run *run,
                        const struct step_report *r)
{
    double seconds = (clock_ms() - run->begun_ms) / 1000, total = (double)run->recipe->train.tokens;
    double speed = (double)(r->tokens - run->begun_tokens) / (seconds > 0 ? seconds : 1);
    double left = speed > 0 && r->tokens < total ? (total - (double)r->tokens) / speed : 0;
    char time[32], valid[32] = "", body[256];

    format_time(time, left > 0 ? left : seconds);
    if (run->valid > 0)
        snprintf(valid, sizeof valid, "  valid %.3f", run->valid);
    snprintf(body, sizeof body,
             "step %" PRId64 "  %3.0f %%  loss %.3f%s  lr %.1e  %.0f tok/s  %s %s", r->step,
             fmin(100, 100 * (double)r->tokens / total), r->loss, valid, r->lr, speed,
             left > 0 ? "ETA" : "took", time);
    snprintf(line, PROGRESS_COLUMNS + 1, "%.*s", PROGRESS_COLUMNS, body);
}

void train_show(struct train_run *run, const struct step_report *r, bool last)
{
    char line[PROGRESS_COLUMNS + 1];
    double now = clock_ms(), every = run->terminal ? 100 : 10000;

    if (run->quiet || (!last && r->step > 1 && now - run->shown_ms < every))
        return;
    run->shown_ms = now;
    format_line(line, run, r);
    if (run->terminal)
        fprintf(stderr, "\r%-*s%s", PROGRESS_COLUMNS, line, last ? "\n" : "");
    else
        fprintf(stderr, "%s\n", line);
}
