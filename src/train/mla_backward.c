/* mla_backward.c: the backward pass of latent attention, expanded and absorbed (model/mla*.c).
 *
 * Rows of kv_b [h (dn + dv), kv] are W_UK and W_UV of each head in turn. */
#include <string.h>

#include "model/mla.h"
#include "train/backward.h"

/* Widths of one layer. */
struct dims {
    int32_t h, dn, dr, dv, kv;
    int64_t n_q, n_latent, n_v; /* h (dn + dr), kv + dr, h dv */
};

static struct dims dims_of(const struct arch *a)
{
    struct dims n = {.h = a->n_heads,
                     .dn = a->qk_nope_dim,
                     .dr = a->qk_rope_dim,
                     .dv = a->v_head_dim,
                     .kv = a->kv_lora_rank};

    n.n_q = (int64_t)n.h * (n.dn + n.dr);
    n.n_latent = n.kv + n.dr;
    n.n_v = (int64_t)n.h * n.dv;
    return n;
}

/* ---- Expanded ------------------------------------------------------------------------------- */

/* Gradients of rebuilt rows as those of the product with kv_b: dup [t, h (dn + dv)]; the rotated
 * key is one for all heads: dlatent's tail is their sum. */
static void gather_rows(const struct step *s, const struct dims *n, const float *drows, float *dup,
                        float *dlatent)
{
    int64_t d_k = n->dn + n->dr, width = n->n_q + n->n_v, up = n->dn + n->dv;

    for (int64_t t = 0; t < s->n_rows; t++) {
        const float *keys = drows + t * width, *values = keys + n->n_q;
        float *rotated = dlatent + t * n->n_latent + n->kv;

        for (int32_t i = 0; i < n->dr; i++)
            rotated[i] = 0;
        for (int32_t h = 0; h < n->h; h++) {
            float *out = dup + (t * n->h + h) * up;

            memcpy(out, keys + h * d_k, (size_t)n->dn * sizeof *out);
            memcpy(out + n->dn, values + (int64_t)h * n->dv, (size_t)n->dv * sizeof *out);
            for (int32_t i = 0; i < n->dr; i++)
                rotated[i] += keys[h * d_k + n->dn + i];
        }
    }
}

/* Of a lean block: keys and values as the forward pass had them. */
static int rebuild(struct backward *b, int32_t layer, const struct mla_saved *saved,
                   const float **rows, struct mk_error *err)
{
    const struct model *m = b->s->m;
    int32_t n_layers = m->arch.n_layers;
    const struct layer *l = layer < n_layers ? &m->layers[layer] : &m->mtp[layer - n_layers].layer;
    float *again;

    if (step_take(b->s, &again, mla_expanded_shape(b->s, m->arch.n_heads).row_dim, err))
        return err->code;
    *rows = again;
    return mla_rebuild(b->s, l->attention_weights, saved->latent, again, err);
}

static int expanded(struct backward *b, int32_t layer, const struct block_saved *block,
                    const float *dheads, float *dq, float *dlatent, struct mk_error *err)
{
    const struct mla_saved *saved = &block->attention.mla;
    struct step *s = b->s;
    struct dims n = dims_of(&s->m->arch);
    struct attend_shape shape = mla_expanded_shape(s, n.h);
    int64_t n_up = (int64_t)n.h * (n.dn + n.dv);
    const float *rows = saved->rows;
    float *drows, *dup;
    struct linear up;

    if ((!rows && rebuild(b, layer, saved, &rows, err)) ||
        step_take(s, &drows, shape.row_dim, err) || step_take(s, &dup, n_up, err) ||
        attention_backward(b, &shape, saved->q, rows, block->lse, saved->heads, dheads, dq, drows,
                           err))
        return err->code;
    gather_rows(s, &n, drows, dup, dlatent);
    up = (struct linear){.p = params_get(b->p, W_KV_B, layer, 0),
                         .n_rows = s->n_rows,
                         .dy = dup,
                         .dy_stride = n_up,
                         .x = saved->latent,
                         .x_stride = n.n_latent,
                         .dx = dlatent,
                         .dx_stride = n.n_latent};
    return linear_backward(b, &up, 1, err);
}

/* ---- Absorbed ------------------------------------------------------------------------------- */

/* o_h = W_UV_h u_h of every head: du [t, h, kv] from dheads [t, h, dv]. */
static int absorbed_values(struct backward *b, struct param *kv_b, const struct mla_saved *saved,
                           const float *dheads, float *du, struct mk_error *err)
{
    struct step *s = b->s;
    struct dims n = dims_of(&s->m->arch);
    struct linear *jobs;

    if (arena_take(s->memory, &jobs, (size_t)n.h, sizeof *jobs, err))
        return err->code;
    for (int32_t h = 0; h < n.h; h++)
        jobs[h] = (struct linear){.p = kv_b,
                                  .row0 = (int64_t)h * (n.dn + n.dv) + n.dn,
                                  .n_out = n.dv,
                                  .n_rows = s->n_rows,
                                  .dy = dheads + (int64_t)h * n.dv,
                                  .dy_stride = n.n_v,
                                  .x = saved->u + (int64_t)h * n.kv,
                                  .x_stride = (int64_t)n.h * n.kv,
                                  .dx = du + (int64_t)h * n.kv,
                                  .dx_stride = (int64_t)n.h * n.kv};
    return linear_backward(b, jobs, n.h, err);
}

/* W_UK of every head turned: [h, kv, dn]. */
static void turn_keys(const struct dims *n, const float *kv_b, float *turned)
{
    for (int32_t h = 0; h < n->h; h++)
        for (int64_t i = 0; i < n->dn; i++)
            for (int64_t j = 0; j < n->kv; j++)
                turned[((int64_t)h * n->kv + j) * n->dn + i] =
                    kv_b[((int64_t)h * (n->dn + n->dv) + i) * n->kv + j];
}

/* q'_h = W_UK_h^T qC_h: dq from dwide [t, h, kv + dr], and dW_UK += qC^T dwide. */
static int absorbed_keys(struct backward *b, struct param *kv_b, const struct mla_saved *saved,
                         const float *dwide, float *dq, struct mk_error *err)
{
    struct step *s = b->s;
    struct compute *c = s->c;
    struct dims n = dims_of(&s->m->arch);
    int64_t d_k = n.dn + n.dr, wide = (int64_t)n.h * n.n_latent;
    struct gemm_job *dw, *dx;
    float *turned;

    if (arena_take(s->memory, &turned, (size_t)n.h * (size_t)n.kv * (size_t)n.dn, sizeof *turned,
                   err) ||
        arena_take(s->memory, &dw, (size_t)n.h, sizeof *dw, err) ||
        arena_take(s->memory, &dx, (size_t)n.h, sizeof *dx, err))
        return err->code;
    turn_keys(&n, param_used(kv_b), turned);
    for (int32_t h = 0; h < n.h; h++) {
        int64_t row = (int64_t)h * (n.dn + n.dv);

        dx[h] = (struct gemm_job){.a = dwide + h * n.n_latent,
                                  .a_stride = wide,
                                  .b = turned + (int64_t)h * n.kv * n.dn,
                                  .b_stride = n.dn,
                                  .out = dq + h * d_k,
                                  .out_stride = n.n_q,
                                  .n_rows = s->n_rows,
                                  .n_out = n.kv,
                                  .n_in = n.dn};
        dw[h] = (struct gemm_job){.a = saved->q + h * d_k,
                                  .a_stride = n.n_q,
                                  .b = dwide + h * n.n_latent,
                                  .b_stride = wide,
                                  .out = kv_b->grad ? kv_b->grad + row * n.kv : NULL,
                                  .out_stride = n.kv,
                                  .n_rows = s->n_rows,
                                  .n_out = n.dn,
                                  .n_in = n.kv};
    }
    if ((kv_b->grad && c->k->gemm_tn(c, dw, n.h, err)) || c->k->gemm_nn(c, dx, n.h, err))
        return err->code;
    for (int64_t i = 0; i < s->n_rows * n.h; i++)
        memcpy(dq + i * d_k + n.dn, dwide + i * n.n_latent + n.kv, (size_t)n.dr * sizeof *dq);
    return 0;
}

static int absorbed(struct backward *b, int32_t layer, const struct block_saved *block,
                    const float *dheads, float *dq, float *dlatent, struct mk_error *err)
{
    const struct mla_saved *saved = &block->attention.mla;
    struct step *s = b->s;
    struct dims n = dims_of(&s->m->arch);
    struct param *kv_b = params_get(b->p, W_KV_B, layer, 0);
    struct attend_shape shape = mla_absorbed_shape(s);
    float *du, *dwide;

    if (step_take(s, &du, (int64_t)n.h * n.kv, err) ||
        step_take(s, &dwide, (int64_t)n.h * n.n_latent, err) ||
        absorbed_values(b, kv_b, saved, dheads, du, err) ||
        attention_backward(b, &shape, saved->wide, saved->latent, block->lse, saved->u, du, dwide,
                           dlatent, err))
        return err->code;
    return absorbed_keys(b, kv_b, saved, dwide, dq, err);
}

/* ---- Projections ---------------------------------------------------------------------------- */

static int query_projections(struct backward *b, int32_t layer, const struct mla_saved *m,
                             const float *x, const float *dq, float *dx, struct mk_error *err)
{
    struct step *s = b->s;
    int64_t d = s->m->arch.d_model, ql = s->m->arch.q_lora_rank, n_q = dims_of(&s->m->arch).n_q;
    struct linear direct = {.p = params_get(b->p, ql ? W_Q_B : W_Q, layer, 0),
                            .n_rows = s->n_rows,
                            .dy = dq,
                            .dy_stride = n_q,
                            .x = x,
                            .x_stride = d,
                            .dx = dx,
                            .dx_stride = d};
    struct linear second = direct, first = direct;
    float *dnormed, *dq_latent; /* [t, q_lora] */

    if (!ql)
        return linear_backward(b, &direct, 1, err);
    if (step_take(s, &dnormed, ql, err) || step_take(s, &dq_latent, ql, err))
        return err->code;
    second.x = m->q_latent;
    second.x_stride = second.dx_stride = ql;
    second.dx = dnormed;
    memset(dq_latent, 0, (size_t)(s->n_rows * ql) * sizeof *dq_latent);
    if (linear_backward(b, &second, 1, err) ||
        norm_backward(b, params_get(b->p, W_Q_A_NORM, layer, 0), dq_latent, ql, dnormed, ql,
                      m->q_latent_in, ql, s->n_rows, (int32_t)ql, MLA_NORM_EPS, err))
        return err->code;
    first.p = params_get(b->p, W_Q_A, layer, 0);
    first.dy = dq_latent;
    first.dy_stride = ql;
    return linear_backward(b, &first, 1, err);
}

/* dlatent [t, kv + dr] of the normed and rotated latent -> added to dx. */
static int latent_projection(struct backward *b, int32_t layer, const struct mla_saved *m,
                             const float *x, const float *dlatent, float *dx, struct mk_error *err)
{
    struct step *s = b->s;
    struct dims n = dims_of(&s->m->arch);
    int64_t d = s->m->arch.d_model;
    float *draw; /* [t, kv + dr] of the product */
    struct linear kv_a;

    if (step_take(s, &draw, n.n_latent, err))
        return err->code;
    for (int64_t t = 0; t < s->n_rows; t++) {
        memset(draw + t * n.n_latent, 0, (size_t)n.kv * sizeof *draw);
        memcpy(draw + t * n.n_latent + n.kv, dlatent + t * n.n_latent + n.kv,
               (size_t)n.dr * sizeof *draw);
    }
    if (norm_backward(b, params_get(b->p, W_KV_A_NORM, layer, 0), draw, n.n_latent, dlatent,
                      n.n_latent, m->latent_in, n.n_latent, s->n_rows, n.kv,
                      MLA_NORM_EPS, err))
        return err->code;
    kv_a = (struct linear){.p = params_get(b->p, W_KV_A, layer, 0),
                           .n_rows = s->n_rows,
                           .dy = draw,
                           .dy_stride = n.n_latent,
                           .x = x,
                           .x_stride = d,
                           .dx = dx,
                           .dx_stride = d,
                           .add = true};
    return linear_backward(b, &kv_a, 1, err);
}

int mla_backward(struct backward *b, int32_t layer, const struct block_saved *saved, const float *x,
                 const float *dout, float *dx, struct mk_error *err)
{
    struct step *s = b->s;
    const struct arch *a = &s->m->arch;
    const struct mla_saved *m = &saved->attention.mla;
    struct arena_mark mark = arena_mark(s->memory);
    struct dims n = dims_of(a);
    enum rope_pairs pairs = a->rope == ARCH_ROPE_HALF ? ROPE_HALF : ROPE_INTERLEAVED;
    float *dheads, *dq, *dlatent;
    struct linear o;

    if (step_take(s, &dheads, n.n_v, err) || step_take(s, &dq, n.n_q, err) ||
        step_take(s, &dlatent, n.n_latent, err))
        return err->code;
    o = (struct linear){.p = params_get(b->p, W_O, layer, 0),
                        .n_rows = s->n_rows,
                        .dy = dout,
                        .dy_stride = a->d_model,
                        .x = m->heads,
                        .x_stride = n.n_v,
                        .dx = dheads,
                        .dx_stride = n.n_v};
    if (linear_backward(b, &o, 1, err) ||
        (m->wide ? absorbed(b, layer, saved, dheads, dq, dlatent, err)
                 : expanded(b, layer, saved, dheads, dq, dlatent, err)))
        return err->code;
    s->c->k->rope(s->c, dq + n.dn, n.n_q, s->n_rows, n.h, n.dn + n.dr, n.dr, b->rope_back, pairs);
    s->c->k->rope(s->c, dlatent + n.kv, n.n_latent, s->n_rows, 1, n.dr, n.dr, b->rope_back, pairs);
    if (query_projections(b, layer, m, x, dq, dx, err) ||
        latent_projection(b, layer, m, x, dlatent, dx, err))
        return err->code;
    arena_rewind(s->memory, mark);
    return 0;
}
