/* train_metrics.c: the lines that a run writes about itself: metrics.jsonl and timing.jsonl. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/clock.h"
#include "cli/train_run.h"

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

/* The loss of each source's share of the validation text. */
static json_t *valid_json(const struct train_run *run)
{
    const struct mixture *m = corpus_mixture(run->data.train);
    json_t *all = json_object();

    for (int i = 0; i < m->n_sources; i++) {
        const struct mixture_counter *c = &run->valid.sources[i];

        if (c->n_loss)
            json_object_set_new(all, m->sources[i].name,
                                json_real(c->loss_sum / (double)c->n_loss));
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

/* Of the validation text: the tokens of each source that every expert got, and in one number how
 * much the sources' experts differ. */
static void add_sources(json_t *layer, const struct train_run *run, int32_t l)
{
    const struct arch *a = &run->trainer.params->arch;
    const struct mixture *m = corpus_mixture(run->data.train);
    int64_t stride = (int64_t)(a->n_layers + a->n_mtp) * a->n_experts;
    const int64_t *counts = run->valid.experts + (int64_t)l * a->n_experts;
    double information = balance_information(counts, m->n_sources, stride, a->n_experts);
    json_t *all = json_object();

    for (int i = 0; i < m->n_sources; i++)
        if (run->valid.sources[i].n_tokens)
            json_object_set_new(all, m->sources[i].name,
                                load_json(counts + i * stride, a->n_experts));
    json_object_set_new(layer, "sources", all);
    if (isfinite(information))
        json_object_set_new(layer, "information", json_real(information));
}

/* Of every layer with experts: entropy of the load as a share of its largest, the busiest expert's
 * load in multiples of the mean, and choices dropped. In detail: the tokens of each expert too, of
 * the step and of the validation text. */
static json_t *experts_json(const struct train_run *run, bool in_detail)
{
    const struct trainer *t = &run->trainer;
    const struct arch *a = &t->params->arch;
    json_t *all = json_array(), *one;

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
            all, json_pack("{s:i, s:f, s:f, s:I}", "layer", l, "entropy",
                           a->n_experts > 1 ? entropy / log(a->n_experts) : 1.0, "most", most,
                           "dropped", (json_int_t)t->dropped[l]));
        if (!in_detail)
            continue;
        one = json_array_get(all, json_array_size(all) - 1);
        json_object_set_new(one, "load", load_json(n, a->n_experts));
        if (run->data.valid)
            add_sources(one, run, l);
    }
    return all;
}

/* Means over pairs: margin is what sigmoid is taken of, chosen and rejected are log-probabilities,
 * or a reward model's scores. */
static json_t *dpo_json(const struct dpo_sums *d)
{
    double n = (double)d->n_pairs;

    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "pairs", (json_int_t)d->n_pairs, "margin",
                     d->margin / n, "accuracy", (double)d->n_right / n, "chosen", d->chosen / n,
                     "rejected", d->rejected / n);
}

static char *metrics_json(const struct train_run *run, const struct step_report *r,
                          const struct mixture_state *before, bool in_detail)
{
    json_t *o = json_pack("{s:I, s:I, s:f, s:f, s:f, s:b}", "step", (json_int_t)r->step, "tokens",
                          (json_int_t)r->tokens, "loss", r->loss, "lr", r->lr, "norm", r->norm,
                          "skipped", r->skipped);
    bool reward = run->recipe->reward.head;
    char *text;

    if (run->data.params.arch.n_mtp)
        json_object_set_new(o, "mtp_loss", json_real(r->mtp_loss));
    if (run->trainer.teachers)
        json_object_set_new(o, "divergence", json_real(r->divergence));
    if (run->trainer.expert_tokens) {
        json_object_set_new(o, "balance_loss", json_real(r->balance_loss));
        json_object_set_new(o, "experts", experts_json(run, in_detail));
    }
    if (in_detail && run->data.valid) {
        json_object_set_new(o, "valid_loss", json_real(run->valid.loss));
        if (run->trainer.ema)
            json_object_set_new(o, "valid_loss_ema", json_real(run->valid_ema));
        json_object_set_new(o, "valid_sources", valid_json(run));
    }
    if (r->dpo.n_pairs)
        json_object_set_new(o, reward ? "reward" : "dpo", dpo_json(&r->dpo));
    if (in_detail && run->data.valid && run->valid.dpo.n_pairs)
        json_object_set_new(o, reward ? "valid_reward" : "valid_dpo", dpo_json(&run->valid.dpo));
    json_object_set_new(o, "sources", sources_json(run, before));
    text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(o);
    return text;
}

int train_write_metrics(struct train_run *run, const struct step_report *r,
                        const struct mixture_state *before, bool in_detail, double step_ms,
                        struct mk_error *err)
{
    char *text = metrics_json(run, r, before, in_detail), timing[160];
    double speed;
    int code;

    if (!text)
        return mk_error_memory(err, 0);
    code = metrics_append(&run->folder.metrics, text, err);
    free(text);
    speed = (double)r->n_tokens * 1000 / (step_ms > 0 ? step_ms : 1e-3);
    if (!code)
        code = train_correct_peak(run, speed, err);
    snprintf(timing, sizeof timing,
             "{\"step\":%" PRId64
             ",\"ms\":%.1f,\"tokens_per_s\":%.1f,\"utilisation\":%.4f,\"cpu_ms\":%.0f}",
             r->step, step_ms, speed, speed * run->token_ops / run->peak_ops,
             clock_cpu_ms());
    return code ? code : metrics_append(&run->folder.timing, timing, err);
}
