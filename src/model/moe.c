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

/* Which rows go to which expert. */
struct routing {
    int32_t *index; /* [t, used] expert */
    float *weight;  /* [t, used] */
    int64_t *first; /* [e + 1] first gathered row of each expert */
    int32_t *row;   /* [t, used] gathered row of each choice */
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
    for (int32_t e = 0; e < a->n_experts; e++)
        if (ffn_load(ld, &w->experts[e], W_EXPERT_GATE, layer, e, a->d_expert, err))
            return err->code;
    ld->active_share = 1;
    *weights = w;
    return 0;
}

static int route(struct step *s, const struct moe_weights *w, const float *x, struct routing *r,
                 struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    router_fn *choose = router_for(a);
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
    for (int64_t t = 0; t < s->n_rows; t++)
        choose(a, logits + t * a->n_experts, w->bias, scratch, r->index + t * a->n_experts_used,
               r->weight + t * a->n_experts_used);
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

static int experts_swiglu(struct step *s, const struct moe_weights *w, const struct routing *r,
                          const float *x, float *y, int64_t n, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    int64_t d = a->d_model, f = a->d_expert;
    int32_t n_jobs = 0, n_down = 0;
    struct matmul_job *jobs;
    float *gate, *up; /* [t * used, f] */

    if (arena_take(s->memory, &gate, (size_t)(n * f), sizeof *gate, err) ||
        arena_take(s->memory, &up, (size_t)(n * f), sizeof *up, err) ||
        arena_take(s->memory, &jobs, 2 * (size_t)a->n_experts, sizeof *jobs, err))
        return err->code;
    for (int32_t e = 0; e < a->n_experts; e++) {
        int64_t first = r->first[e], rows = r->first[e + 1] - first;

        if (!rows)
            continue;
        jobs[n_jobs++] = (struct matmul_job){&w->experts[e].gate, NULL, x + first * d, d, rows,
                                             gate + first * f,    f};
        jobs[n_jobs++] =
            (struct matmul_job){&w->experts[e].up, NULL, x + first * d, d, rows, up + first * f, f};
    }
    if (s->c->k->matmul(s->c, jobs, n_jobs, err))
        return err->code;
    s->c->k->silu_mul(s->c, gate, f, gate, up, f, n, (int32_t)f);
    for (int32_t e = 0; e < a->n_experts; e++) {
        int64_t first = r->first[e], rows = r->first[e + 1] - first;

        if (rows)
            jobs[n_down++] = (struct matmul_job){
                &w->experts[e].down, NULL, gate + first * f, f, rows, y + first * d, d};
    }
    return s->c->k->matmul(s->c, jobs, n_down, err);
}

static void keep_routing(struct step *s, int32_t layer, const struct routing *r)
{
    size_t n = (size_t)s->n_rows * (size_t)s->m->arch.n_experts_used;

    if (s->keep && s->keep->experts)
        memcpy(s->keep->experts + (size_t)layer * n, r->index, n * sizeof *r->index);
    if (s->keep && s->keep->expert_weights)
        memcpy(s->keep->expert_weights + (size_t)layer * n, r->weight, n * sizeof *r->weight);
}

static int moe_forward(struct step *s, const void *weights, int32_t layer, const float *x,
                       float *out, struct mk_error *err)
{
    const struct moe_weights *w = weights;
    const struct arch *a = &s->m->arch;
    int64_t d = a->d_model, n = s->n_rows * a->n_experts_used;
    struct routing r;
    float *gathered, *y; /* [t * used, d_model] */

    if (route(s, w, x, &r, err) ||
        arena_take(s->memory, &gathered, (size_t)(n * d), sizeof *gathered, err) ||
        arena_take(s->memory, &y, (size_t)(n * d), sizeof *y, err))
        return err->code;
    keep_routing(s, layer, &r);
    group_by_expert(a, n, &r);
    for (int64_t i = 0; i < n; i++)
        memcpy(gathered + r.row[i] * d, x + i / a->n_experts_used * d, (size_t)d * sizeof *x);
    if (experts_swiglu(s, w, &r, gathered, y, n, err))
        return err->code;
    if (a->n_shared_experts > 0) {
        if (ffn_swiglu(s, &w->shared, x, out, err))
            return err->code;
    } else {
        memset(out, 0, (size_t)(s->n_rows * d) * sizeof *out);
    }
    s->c->k->combine(s->c, out, d, y, d, r.row, r.weight, s->n_rows, a->n_experts_used, (int32_t)d);
    return 0;
}

const struct ffn_kind ffn_moe = {"mixture of experts", moe_load, moe_forward};
