/* gqa_backward.c: the backward pass of grouped-query attention (model/gqa.c). */
#include <string.h>

#include "model/gqa.h"
#include "train/backward.h"

/* Rotated gradients back, then through the norm of every head where there is one. dq [t, h d] and
 * drow [t, 2 kv d] in place. Keys are gathered, so that the norm's gain sums token by token. */
static int before_norms(struct backward *b, int32_t layer, const struct gqa_saved *saved, float *dq,
                        float *drow, struct mk_error *err)
{
    struct step *s = b->s;
    const struct arch *a = &s->m->arch;
    int32_t d = a->head_dim, n_kv = a->n_kv_heads * d;
    int64_t n_q = (int64_t)a->n_heads * d, n = s->n_rows;
    float *dq_in, *dk, *k_in, *dk_in;

    if (!saved->q_in)
        return 0;
    if (step_take(s, &dq_in, n_q, err) || step_take(s, &dk, n_kv, err) ||
        step_take(s, &k_in, n_kv, err) || step_take(s, &dk_in, n_kv, err))
        return err->code;
    memset(dq_in, 0, (size_t)(n * n_q) * sizeof *dq_in);
    memset(dk_in, 0, (size_t)(n * n_kv) * sizeof *dk_in);
    for (int64_t t = 0; t < n; t++) {
        memcpy(dk + t * n_kv, drow + t * 2 * n_kv, (size_t)n_kv * sizeof *dk);
        memcpy(k_in + t * n_kv, saved->row_in + t * 2 * n_kv, (size_t)n_kv * sizeof *k_in);
    }
    if (norm_backward(b, params_get(b->p, W_Q_NORM, layer, 0), dq_in, d, dq, d, saved->q_in, d,
                      n * a->n_heads, d, a->rms_norm_eps, err) ||
        norm_backward(b, params_get(b->p, W_K_NORM, layer, 0), dk_in, d, dk, d, k_in, d,
                      n * a->n_kv_heads, d, a->rms_norm_eps, err))
        return err->code;
    memcpy(dq, dq_in, (size_t)(n * n_q) * sizeof *dq);
    for (int64_t t = 0; t < n; t++)
        memcpy(drow + t * 2 * n_kv, dk_in + t * n_kv, (size_t)n_kv * sizeof *dk);
    return 0;
}

/* Into the three projections and their biases. */
static int projections(struct backward *b, int32_t layer, const float *x, const float *dq,
                       const float *drow, float *dx, struct mk_error *err)
{
    struct step *s = b->s;
    const struct arch *a = &s->m->arch;
    int64_t d = a->d_model, n_q = (int64_t)a->n_heads * a->head_dim, n = s->n_rows;
    int64_t n_kv = (int64_t)a->n_kv_heads * a->head_dim;
    struct linear q = {.p = params_get(b->p, W_Q, layer, 0),
                       .n_rows = n,
                       .dy = dq,
                       .dy_stride = n_q,
                       .x = x,
                       .x_stride = d,
                       .dx = dx,
                       .dx_stride = d};
    struct linear k = {.p = params_get(b->p, W_K, layer, 0),
                       .n_rows = n,
                       .dy = drow,
                       .dy_stride = 2 * n_kv,
                       .x = x,
                       .x_stride = d,
                       .dx = dx,
                       .dx_stride = d,
                       .add = true};
    struct linear v = k;

    v.p = params_get(b->p, W_V, layer, 0);
    v.dy = drow + n_kv;
    bias_backward(params_get(b->p, W_Q_BIAS, layer, 0), dq, n_q, n);
    bias_backward(params_get(b->p, W_K_BIAS, layer, 0), drow, 2 * n_kv, n);
    bias_backward(params_get(b->p, W_V_BIAS, layer, 0), drow + n_kv, 2 * n_kv, n);
    if (linear_backward(b, &q, 1, err) || linear_backward(b, &k, 1, err))
        return err->code;
    return linear_backward(b, &v, 1, err);
}

int gqa_backward(struct backward *b, int32_t layer, const struct block_saved *saved, const float *x,
                 const float *dout, float *dx, struct mk_error *err)
{
    struct step *s = b->s;
    const struct arch *a = &s->m->arch;
    const struct gqa_saved *g = &saved->attention.gqa;
    struct arena_mark mark = arena_mark(s->memory);
    int32_t d = a->head_dim, n_row = 2 * a->n_kv_heads * d;
    int64_t n_q = (int64_t)a->n_heads * d;
    enum rope_pairs pairs = a->rope == ARCH_ROPE_HALF ? ROPE_HALF : ROPE_INTERLEAVED;
    struct attend_shape shape = gqa_shape(s);
    float *dheads, *dq, *drow;
    struct linear o;

    if (step_take(s, &dheads, n_q, err) || step_take(s, &dq, n_q, err) ||
        step_take(s, &drow, n_row, err))
        return err->code;
    o = (struct linear){.p = params_get(b->p, W_O, layer, 0),
                        .n_rows = s->n_rows,
                        .dy = dout,
                        .dy_stride = a->d_model,
                        .x = g->heads,
                        .x_stride = n_q,
                        .dx = dheads,
                        .dx_stride = n_q};
    if (linear_backward(b, &o, 1, err) ||
        attention_backward(b, &shape, g->q, g->row, saved->lse, g->heads, dheads, dq, drow, err))
        return err->code;
    s->c->k->rope(s->c, dq, n_q, s->n_rows, a->n_heads, d, d, b->rope_back, pairs);
    s->c->k->rope(s->c, drow, n_row, s->n_rows, a->n_kv_heads, d, d, b->rope_back, pairs);
    if (before_norms(b, layer, g, dq, drow, err) ||
        projections(b, layer, x, dq, drow, dx, err))
        return err->code;
    arena_rewind(s->memory, mark);
    return 0;
}
