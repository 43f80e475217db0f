/* moe.c: DeepSeekMoE: routed experts beside shared ones (Dai et al. 2024; deepseek.md 3).
 *
 *   y = shared(x) + sum over the chosen experts, in order of rank, of weight * expert(x)
 * Tokens are gathered by expert, so that each expert is one product over its rows; inside an expert
 * rows keep the order of the tokens. A row's result does not know its company: it is the same for
 * one token and for a thousand. */
#include <string.h>

#include "model/ffn.h"
#include "model/router.h"

struct moe_weights {
    struct packed router;        /* [e, d_model] f32 */
    const float *bias;           /* [e] or NULL: e_score_correction_bias */
    struct ffn_weights *experts; /* [e] */
    struct ffn_weights shared;   /* one network of n_shared * d_expert */
};

static int moe_load(struct loader *ld, int32_t layer, void **weights, struct mk_error *err)
{
    const struct arch *a = &ld->model->arch;
    struct matrix_part router = {W_ROUTER, layer, 0, a->n_experts, 0, a->n_experts, a->d_model};
    int64_t n_shared = (int64_t)a->n_shared_experts * a->d_expert;
    struct moe_weights *w;

    if (load_take(ld, &w, 1, sizeof *w, err) || load_matrix_f32(ld, &w->router, &router, err) ||
        load_take(ld, &w->experts, (size_t)a->n_experts, sizeof *w->experts, err))
        return err->code;
    if (a->router == ARCH_ROUTER_NOAUX && load_has(ld, W_ROUTER_BIAS, layer) &&
        load_vector(ld, &w->bias, W_ROUTER_BIAS, layer, a->n_experts, err))
        return err->code;
    if (n_shared && ffn_load(ld, &w->shared, W_SHARED_GATE, layer, 0, n_shared, err))
        return err->code;
    ld->active_share = (double)a->n_experts_used / a->n_experts;
    for (int32_t e = 0; e < a->n_experts; e++) {
        struct ffn_weights *expert = &w->experts[e];

        if (ffn_load(ld, expert, W_EXPERT_GATE, layer, e, a->d_expert, err))
            return err->code;
        expert->gate.sent = expert->up.sent = SENT_TO_EXPERTS;
        expert->down.sent = SENT_FROM_EXPERTS;
    }
    ld->active_share = 1;
    *weights = w;
    return 0;
}

/* Rows from one layer to the next in what a pass keeps of its routing. */
static int64_t layer_rows(const struct step *s)
{
    return s->keep->layer_rows ? s->keep->layer_rows : s->n_rows;
}

/* Experts of every row, chosen or given. logits [t, e]. */
static void choose_all(struct step *s, const struct moe_weights *w, int32_t layer,
                       const float *logits, float *scratch, struct routing *r)
{
    const struct arch *a = &s->m->arch;
    const int32_t *forced = s->keep ? s->keep->forced_experts : NULL;
    int64_t used = a->n_experts_used;
    router_fn *choose = router_for(a);

    if (!forced) {
        for (int64_t t = 0; t < s->n_rows; t++)
            choose(a, logits + t * a->n_experts, w->bias, scratch, r->index + t * used,
                   r->weight + t * used);
        return;
    }
    memcpy(r->index, forced + layer * layer_rows(s) * used,
           (size_t)(s->n_rows * used) * sizeof *forced);
    for (int64_t t = 0; t < s->n_rows; t++)
        router_weigh(a, logits + t * a->n_experts, scratch, r->index + t * used,
                     r->weight + t * used);
}

/* Without a capacity r->dropped stays NULL. */
static int drop(struct step *s, const float *logits, struct routing *r, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    const struct capacity *c = s->keep ? &s->keep->capacity : NULL;
    int64_t used = a->n_experts_used;

    r->dropped = NULL;
    if (!c || c->factor <= 0)
        return 0;
    if (arena_take(s->memory, &r->dropped, (size_t)(s->n_rows * used), sizeof *r->dropped, err))
        return err->code;
    memset(r->dropped, 0, (size_t)(s->n_rows * used) * sizeof *r->dropped);
    for (int32_t i = 0; i < s->n_seqs; i++) {
        int64_t first = s->first_row[i];

        if (!s->seqs[i].keep_all &&
            capacity_drop(c, a, logits + first * a->n_experts, s->seqs[i].n_ids,
                          r->index + first * used, r->weight + first * used,
                          r->dropped + first * used, s->memory, err))
            return err->code;
    }
    return 0;
}

static int route(struct step *s, const struct moe_weights *w, int32_t layer, const float *x,
                 struct routing *r, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    size_t n = (size_t)s->n_rows * (size_t)a->n_experts_used;
    float *logits, *scratch;

    if (step_take(s, &logits, a->n_experts, err) ||
        arena_take(s->memory, &scratch, 2 * (size_t)a->n_experts, sizeof *scratch, err) ||
        arena_take(s->memory, &r->index, n, sizeof *r->index, err) ||
        arena_take(s->memory, &r->weight, n, sizeof *r->weight, err) ||
        arena_take(s->memory, &r->row, n, sizeof *r->row, err) ||
        arena_take(s->memory, &r->first, (size_t)a->n_experts + 1, sizeof *r->first, err) ||
        step_matmul(s, logits, a->n_experts, x, a->d_model, &w->router, err))
        return err->code;
    choose_all(s, w, layer, logits, scratch, r);
    if (drop(s, logits, r, err))
        return err->code;
    if (s->saved)
        s->saved->ffn.moe = (struct moe_saved){.routing = *r, .logits = logits};
    return 0;
}

/* Counting sort of the choices by expert; the rows of an expert stay in token order. */
static void group_by_expert(const struct arch *a, int64_t n, struct routing *r)
{
    int64_t sum = 0, count;

    memset(r->first, 0, ((size_t)a->n_experts + 1) * sizeof *r->first);
    for (int64_t i = 0; i < n; i++)
        r->first[r->index[i]]++;
    for (int32_t e = 0; e <= a->n_experts; e++) {
        count = r->first[e];
        r->first[e] = sum;
        sum += count;
    }
    for (int64_t i = 0; i < n; i++)
        r->row[i] = (int32_t)r->first[r->index[i]]++;
    for (int32_t e = a->n_experts; e > 0; e--) /* the walk moved each start to its end */
        r->first[e] = r->first[e - 1];
    r->first[0] = 0;
}

/* Rows of all experts, one expert after the other: [t * used, ..]. */
struct expert_rows {
    float *gate, *up, *act; /* f wide; act is gate unless gate is kept */
    float *x, *y;           /* d_model wide */
};

/* gate and up may be kept; what take_rest takes never is. */
static int take_inner(struct step *s, struct expert_rows *rows, int64_t n, struct mk_error *err)
{
    size_t values = (size_t)(n * s->m->arch.d_expert);

    if (arena_take(s->memory, &rows->gate, values, sizeof(float), err) ||
        arena_take(s->memory, &rows->up, values, sizeof(float), err))
        return err->code;
    if (s->saved)
        s->saved->ffn.moe.experts = (struct swiglu_saved){rows->gate, rows->up};
    return 0;
}

static int take_rest(struct step *s, struct expert_rows *rows, int64_t n, struct mk_error *err)
{
    size_t wide = (size_t)(n * s->m->arch.d_model), inner = (size_t)(n * s->m->arch.d_expert);

    if (arena_take(s->memory, &rows->x, wide, sizeof *rows->x, err) ||
        arena_take(s->memory, &rows->y, wide, sizeof *rows->y, err))
        return err->code;
    rows->act = rows->gate;
    return s->saved ? arena_take(s->memory, &rows->act, inner, sizeof *rows->act, err) : 0;
}

/* rows->x -> rows->y. */
static int experts_swiglu(struct step *s, const struct moe_weights *w, const struct routing *r,
                          const struct expert_rows *b, int64_t n, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    int64_t d = a->d_model, f = a->d_expert;
    int32_t n_jobs = 0, n_down = 0;
    struct matmul_job *jobs;

    if (arena_take(s->memory, &jobs, 2 * (size_t)a->n_experts, sizeof *jobs, err))
        return err->code;
    for (int32_t e = 0; e < a->n_experts; e++) {
        int64_t first = r->first[e], rows = r->first[e + 1] - first;

        if (!rows)
            continue;
        jobs[n_jobs++] = (struct matmul_job){&w->experts[e].gate, NULL, b->x + first * d, d, rows,
                                             b->gate + first * f, f};
        jobs[n_jobs++] = (struct matmul_job){&w->experts[e].up, NULL, b->x + first * d, d, rows,
                                             b->up + first * f, f};
    }
    if (s->c->k->matmul(s->c, jobs, n_jobs, err))
        return err->code;
    s->c->k->silu_mul(s->c, b->act, f, b->gate, b->up, f, n, (int32_t)f);
    for (int32_t e = 0; e < a->n_experts; e++) {
        int64_t first = r->first[e], rows = r->first[e + 1] - first;

        if (rows)
            jobs[n_down++] = (struct matmul_job){
                &w->experts[e].down, NULL, b->act + first * f, f, rows, b->y + first * d, d};
    }
    return s->c->k->matmul(s->c, jobs, n_down, err);
}

static void keep_routing(struct step *s, int32_t layer, const struct routing *r)
{
    size_t used = (size_t)s->m->arch.n_experts_used, n = (size_t)s->n_rows * used, at;

    if (!s->keep)
        return;
    at = (size_t)(layer * layer_rows(s)) * used;
    if (s->keep->experts)
        memcpy(s->keep->experts + at, r->index, n * sizeof *r->index);
    if (s->keep->expert_weights)
        memcpy(s->keep->expert_weights + at, r->weight, n * sizeof *r->weight);
}

/* Shared experts, or zeros. */
static int shared_forward(struct step *s, const struct moe_weights *w, const float *x, float *out,
                          struct mk_error *err)
{
    const struct arch *a = &s->m->arch;

    if (a->n_shared_experts > 0)
        return ffn_swiglu(s, &w->shared, x, out, s->saved ? &s->saved->ffn.moe.shared : NULL, err);
    memset(out, 0, (size_t)s->n_rows * (size_t)a->d_model * sizeof *out);
    return 0;
}

static int moe_forward(struct step *s, const void *weights, int32_t layer, const float *x,
                       float *out, struct mk_error *err)
{
    const struct moe_weights *w = weights;
    const struct arch *a = &s->m->arch;
    int64_t d = a->d_model, n = s->n_rows * a->n_experts_used;
    struct expert_rows rows;
    struct arena_mark mark;
    struct routing r;

    if (route(s, w, layer, x, &r, err) || take_inner(s, &rows, n, err) ||
        shared_forward(s, w, x, out, err))
        return err->code;
    mark = arena_mark(s->memory);
    if (take_rest(s, &rows, n, err))
        return err->code;
    keep_routing(s, layer, &r);
    group_by_expert(a, n, &r);
    for (int64_t i = 0; i < n; i++)
        memcpy(rows.x + r.row[i] * d, x + i / a->n_experts_used * d, (size_t)d * sizeof *x);
    if (experts_swiglu(s, w, &r, &rows, n, err))
        return err->code;
    s->c->k->combine(s->c, out, d, rows.y, d, r.row, r.weight, s->n_rows, a->n_experts_used,
                     (int32_t)d);
    arena_rewind(s->memory, mark);
    return 0;
}

const struct ffn_kind ffn_moe = {"mixture of experts", moe_load, moe_forward};
