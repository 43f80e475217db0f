/* trainer.c: the training step. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "kernels/low_precision.h"
#include "train/narrow.h"

#define OUTLIER_KEEP 0.98
#define OUTLIER_MIN_STEPS 50 /* before them nothing is known about what is usual */

int trainer_pack(struct trainer *t, struct mk_error *err)
{
    struct model_options o = {
        .mla = t->o.mla, .with_mtp = t->params->arch.n_mtp > 0, .refill = true};

    lora_merge(t->params, t->c->ex);
    narrow_round(t->params, t->c->ex);
    if (t->model.memory.first) {
        model_refill(&t->model, t->c->ex);
        return 0;
    }
    return params_pack(t->params, &t->model, &o, err);
}

static int take_ema(struct trainer *t, struct mk_error *err)
{
    struct arena *memory = &t->optim.memory;

    if (t->o.ema <= 0)
        return 0;
    if (arena_take(memory, &t->ema, (size_t)t->optim.n_items, sizeof *t->ema, err))
        return err->code;
    for (int64_t i = 0; i < t->optim.n_items; i++) {
        const struct param *p = t->optim.items[i].p;

        if (arena_take(memory, &t->ema[i], (size_t)p->n, sizeof **t->ema, err))
            return err->code;
        memcpy(t->ema[i], p->w, (size_t)p->n * sizeof *p->w);
    }
    return 0;
}

static int take_counts(struct trainer *t, struct mk_error *err)
{
    const struct arch *a = &t->params->arch;
    size_t n = (size_t)(a->n_layers + a->n_mtp) * (size_t)a->n_experts;

    if (n == 0)
        return 0;
    if (arena_take(&t->optim.memory, &t->balance_loss, (size_t)(a->n_layers + a->n_mtp),
                   sizeof *t->balance_loss, err))
        return err->code;
    if (arena_take(&t->optim.memory, &t->dropped, (size_t)(a->n_layers + a->n_mtp),
                   sizeof *t->dropped, err))
        return err->code;
    return arena_take(&t->optim.memory, &t->expert_tokens, n, sizeof *t->expert_tokens, err);
}

int trainer_init(struct trainer *t, struct params *p, struct compute *c,
                 const struct trainer_options *o, struct mk_error *err)
{
    *t = (struct trainer){.o = *o, .params = p, .c = c};
    arena_init(&t->pass_memory, SIZE_MAX / 4);
    arena_init(&t->batch_memory, SIZE_MAX / 4);
    if (o->compute != MK_F32) {
        if (o->mla == MK_MLA_ABSORBED)
            return mk_error_set(err, MK_EINVAL,
                                "absorbed attention is trained in f32: take model.mla expanded");
        compute_round_inputs(c);
    }
    if (narrow_init(p, o->compute, c->ex, err) || optim_init(&t->optim, p, &o->optim, err) ||
        take_ema(t, err) || take_counts(t, err) || trainer_pack(t, err)) {
        trainer_release(t);
        return err->code;
    }
    return 0;
}

void trainer_release(struct trainer *t)
{
    if (t->model.memory.first)
        model_release(&t->model);
    optim_release(&t->optim);
    arena_release(&t->pass_memory);
    arena_release(&t->batch_memory);
    memset(t, 0, sizeof *t);
}

/* ---- One step ------------------------------------------------------------------------------- */

static struct pass_options pass_options_of(const struct trainer *t, const struct batch *b,
                                           double scale)
{
    const struct trainer_options *o = &t->o;
    bool late = o->mtp_late_tokens > 0 && t->state.tokens >= o->mtp_late_tokens;
    struct pass_options p = {.scale = scale,
                             .trunk_only =
                                 b->pairs || (o->mtp_weight == 0 && o->mtp_late_weight == 0),
                             .mtp_weight = late ? o->mtp_late_weight : o->mtp_weight,
                             .balance = o->balance,
                             .capacity = o->capacity,
                             .distill = &o->distill,
                             .keep_bytes = o->keep_bytes};

    p.balance.token_scale = b->n_tokens ? 1 / (double)b->n_tokens : 0;
    return p;
}

/* What a pass with pairs asks about its losses; lives as long as the pass. */
struct pair_loss {
    struct dpo_pass dpo;
    struct reward_pass reward;
};

static void set_pair_loss(const struct trainer *t, const struct batch *b, struct dpo_sums *sums,
                          struct pair_loss *pairs, struct pass_options *o)
{
    pairs->dpo = (struct dpo_pass){&t->o.dpo, b, sums};
    pairs->reward = (struct reward_pass){&t->o.reward, b, sums};
    if (!b->pairs)
        return;
    o->score = t->o.reward.on;
    o->weigh = o->score ? reward_weigh : dpo_weigh;
    o->weigh_user = o->score ? (void *)&pairs->reward : (void *)&pairs->dpo;
}

/* Gradients of the whole batch, and its losses. */
static int run_passes(struct trainer *t, const struct batch *b, double scale,
                      struct step_report *r, struct mk_error *err)
{
    const struct arch *a = &t->params->arch;
    struct pass_options o = pass_options_of(t, b, scale);
    struct pair_loss pairs;
    struct pass_result pr = {.balance_loss = t->balance_loss,
                             .expert_tokens = t->expert_tokens,
                             .dropped = t->dropped};
    int32_t layers = a->n_layers + a->n_mtp;

    set_pair_loss(t, b, &r->dpo, &pairs, &o);
    params_zero_gradients(t->params, t->c->ex);
    if (t->expert_tokens) {
        memset(t->expert_tokens, 0, (size_t)layers * (size_t)a->n_experts * sizeof(int64_t));
        memset(t->balance_loss, 0, (size_t)layers * sizeof *t->balance_loss);
        memset(t->dropped, 0, (size_t)layers * sizeof *t->dropped);
    }
    for (int32_t i = 0, n; i < b->n_seqs; i += n) {
        n = batch_cut(b, i, t->o.pass_tokens);
        if (pass_run(&t->model, t->params, t->c, &t->pass_memory, b->seqs + i, n, &o, &pr, err))
            return err->code;
        r->n_passes++;
    }
    r->loss = (b->pairs ? r->dpo.loss : pr.loss) * o.scale;
    r->divergence = pr.divergence * o.scale;
    for (int32_t k = 0; k < a->n_mtp; k++)
        r->mtp_loss += pr.mtp_loss[k] * o.scale / a->n_mtp;
    for (int32_t l = 0; t->balance_loss && l < layers; l++)
        r->balance_loss += t->balance_loss[l];
    params_join(t->params);
    return 0;
}

/* Whether x is unusual. What is known follows x, an unusual one as far as the limit: a change that
 * lasts becomes usual. */
static bool is_outlier(struct outlier *o, double x, double z)
{
    double difference = x - o->mean, limit = z * sqrt(o->variance);
    bool unusual = z > 0 && o->n >= OUTLIER_MIN_STEPS && o->variance > 0 && difference > limit;

    if (unusual)
        difference = limit;
    if (o->n == 0)
        o->mean = x;
    else
        o->mean += (1 - OUTLIER_KEEP) * difference;
    o->variance = OUTLIER_KEEP * (o->variance + (1 - OUTLIER_KEEP) * difference * difference);
    if (o->n == 0)
        o->variance = 0;
    o->n++;
    return unusual;
}

/* Loss-free balancing: the bias follows the load of the step. */
static void move_bias(struct trainer *t)
{
    const struct arch *a = &t->params->arch;
    bool over = t->o.bias_until_tokens > 0 && t->state.tokens >= t->o.bias_until_tokens;

    for (int32_t l = 0; t->expert_tokens && !over && l < a->n_layers + a->n_mtp; l++) {
        struct param *bias = params_get(t->params, W_ROUTER_BIAS, l, 0);

        if (bias && !bias->frozen && t->o.bias_gamma > 0)
            balance_bias(bias->w, t->expert_tokens + (int64_t)l * a->n_experts, a->n_experts,
                         t->o.bias_gamma);
    }
}

static void move_ema(struct trainer *t)
{
    float rest = (float)(1 - t->o.ema);

    for (int64_t i = 0; t->ema && i < t->optim.n_items; i++) {
        const struct param *p = t->optim.items[i].p;

        for (int64_t j = 0; j < p->n; j++)
            t->ema[i][j] += rest * (p->w[j] - t->ema[i][j]);
    }
}

static int update(struct trainer *t, struct step_report *r, struct mk_error *err)
{
    bool loss_out = is_outlier(&t->state.loss, r->loss, t->o.outlier_z);
    bool norm_out = is_outlier(&t->state.norm, r->norm, t->o.outlier_z);

    r->skipped = loss_out || norm_out;
    t->state.n_skipped += r->skipped;
    if (r->skipped)
        return 0;
    if (optim_step(&t->optim, t->c, r->lr, r->norm, err))
        return err->code;
    move_bias(t);
    move_ema(t);
    return trainer_pack(t, err);
}

int trainer_update(struct trainer *t, const struct batch *b, double scale, int64_t progress,
                   struct step_report *r, struct mk_error *err)
{
    *r = (struct step_report){.step = t->state.step + 1,
                              .tokens = t->state.tokens + b->n_tokens,
                              .n_tokens = b->n_tokens,
                              .n_targets = b->n_targets,
                              .lr = schedule_lr(&t->o.schedule, progress)};
    if (run_passes(t, b, scale, r, err))
        return err->code;
    r->norm = optim_norm(&t->optim, t->c->ex);
    if (!isfinite(r->loss) || !isfinite(r->norm))
        return mk_error_set(err, MK_EINVAL,
                            "step %lld: %s is not a number: lower the learning rate",
                            (long long)r->step, isfinite(r->loss) ? "a gradient" : "the loss");
    if (update(t, r, err))
        return err->code;
    t->state.step = r->step;
    t->state.tokens = r->tokens;
    return 0;
}

int trainer_step(struct trainer *t, struct corpus *corpus, struct step_report *r,
                 struct mk_error *err)
{
    int32_t n = batch_ramp(t->o.batch_first, t->o.batch, t->o.ramp_tokens, t->state.tokens);
    int64_t n_losses;
    struct batch b;

    arena_reset(&t->batch_memory);
    if (batch_draw(&b, corpus, n, &t->batch_memory, err))
        return err->code;
    n_losses = b.pairs ? b.n_seqs / 2 : b.n_targets;
    if (t->teachers && teachers_grade(t->teachers, b.seqs, b.n_seqs, &t->batch_memory, err))
        return err->code;
    if (trainer_update(t, &b, n_losses ? 1 / (double)n_losses : 0, t->state.tokens + b.n_tokens, r,
                       err))
        return err->code;
    batch_count(&b, corpus);
    return 0;
}

int trainer_losses(struct trainer *t, const struct model *m, const struct batch *b,
                   struct mk_error *err)
{
    struct pass_options o = {.forward_only = true, .trunk_only = true};
    struct pass_result r = {0};

    for (int32_t i = 0, n; i < b->n_seqs; i += n) {
        n = batch_cut(b, i, t->o.pass_tokens);
        if (pass_run(m, t->params, t->c, &t->pass_memory, b->seqs + i, n, &o, &r, err))
            return err->code;
    }
    return 0;
}

/* ---- Evaluation ----------------------------------------------------------------------------- */

/* Choices of one pass, told apart by source. chosen [n_layers + n_mtp, n_rows, used]; an MTP block
 * has one row less of each sequence than the place before it. */
static void count_choices(const struct arch *a, const struct batch *b, int32_t first, int32_t n,
                          int64_t n_rows, const int32_t *chosen, struct evaluation *e)
{
    int32_t layers = a->n_layers + a->n_mtp, used = a->n_experts_used;

    for (int32_t l = 0; l < layers; l++) {
        int32_t ahead = l < a->n_layers ? 0 : 1 + l - a->n_layers;
        const int32_t *row = chosen + (int64_t)l * n_rows * used;

        for (int32_t i = first; i < first + n && arch_layer_is_moe(a, l); i++) {
            int64_t *to = e->experts + ((int64_t)b->origins[i].source * layers + l) * a->n_experts;

            for (int64_t j = (int64_t)(b->seqs[i].n_ids - ahead) * used; j > 0; j--)
                to[*row++]++;
        }
    }
}

static int evaluate_pass(struct trainer *t, const struct batch *b, int32_t first, int32_t n,
                         struct evaluation *e, struct pass_result *r, struct mk_error *err)
{
    const struct arch *a = &t->params->arch;
    struct arena_mark mark = arena_mark(&t->batch_memory);
    struct pass_options o = {.scale = 1, .forward_only = true};
    struct pair_loss pairs;
    int64_t n_rows = 0;

    set_pair_loss(t, b, &e->dpo, &pairs, &o);
    for (int32_t i = first; i < first + n; i++)
        n_rows += b->seqs[i].n_ids;
    if (e->experts &&
        arena_take(&t->batch_memory, &o.experts,
                   (size_t)((a->n_layers + a->n_mtp) * n_rows * a->n_experts_used),
                   sizeof *o.experts, err))
        return err->code;
    if (pass_run(&t->model, t->params, t->c, &t->pass_memory, b->seqs + first, n, &o, r, err))
        return err->code;
    if (e->experts)
        count_choices(a, b, first, n, n_rows, o.experts, e);
    arena_rewind(&t->batch_memory, mark);
    return 0;
}

/* Losses of each source, from those of each token. */
static void count_losses(const struct batch *b, struct evaluation *e)
{
    for (int32_t i = 0; i < b->n_seqs; i++) {
        struct mixture_counter *c = &e->sources[b->origins[i].source];
        int64_t n;

        c->loss_sum += batch_loss(b, i, &n);
        c->n_loss += n;
        c->n_tokens += b->seqs[i].n_ids;
    }
}

int trainer_evaluate(struct trainer *t, struct corpus *corpus, int32_t n_sequences,
                     struct evaluation *e, struct mk_error *err)
{
    const struct arch *a = &t->params->arch;
    struct mixture *m = corpus_mixture(corpus);
    struct pass_result r = {0};
    struct batch b;
    size_t n_counts;

    *e = (struct evaluation){.n_sources = m->n_sources};
    m->state = (struct mixture_state){0};
    arena_reset(&t->batch_memory);
    if (batch_draw(&b, corpus, n_sequences, &t->batch_memory, err))
        return err->code;
    n_counts = (size_t)m->n_sources * (size_t)(a->n_layers + a->n_mtp) * (size_t)a->n_experts;
    if (n_counts) {
        if (arena_take(&t->batch_memory, &e->experts, n_counts, sizeof *e->experts, err))
            return err->code;
        memset(e->experts, 0, n_counts * sizeof *e->experts);
    }
    for (int32_t i = 0, n; i < b.n_seqs; i += n) {
        n = batch_cut(&b, i, t->o.pass_tokens);
        if (evaluate_pass(t, &b, i, n, e, &r, err))
            return err->code;
    }
    e->loss = b.pairs ? e->dpo.loss / (double)(e->dpo.n_pairs > 0 ? e->dpo.n_pairs : 1)
                      : r.loss / (r.n_targets > 0 ? (double)r.n_targets : 1);
    count_losses(&b, e);
    return 0;
}

void trainer_swap_ema(struct trainer *t)
{
    for (int64_t i = 0; t->ema && i < t->optim.n_items; i++) {
        float *w = t->optim.items[i].p->w;

        for (int64_t j = 0; j < t->optim.items[i].p->n; j++) {
            float mean = t->ema[i][j];

            t->ema[i][j] = w[j];
            w[j] = mean;
        }
    }
    lora_merge(t->params, t->c->ex);
}

int trainer_evaluate_ema(struct trainer *t, struct corpus *corpus, int32_t n_sequences,
                         double *loss, struct mk_error *err)
{
    struct evaluation e = {0};
    int code;

    if (!t->ema)
        return mk_error_set(err, MK_EINVAL, "no mean of weights is kept");
    trainer_swap_ema(t);
    code = trainer_pack(t, err);
    if (!code)
        code = trainer_evaluate(t, corpus, n_sequences, &e, err);
    trainer_swap_ema(t);
    *loss = e.loss;
    return code ? code : trainer_pack(t, err);
}
