/* mla_absorbed.c: latent attention on the latents themselves (deepseek.md 2.5).
 *
 *   q'_h = W_UK_h^T qC_h;  scores of [q'_h | qR_h] with cached [c | kR];  u_h = sum p c;  o_h =
 * W_UV_h u_h One kv head of 576 numbers for all 128 query heads: the cache is read once for all of
 * them. */
#include <string.h>

#include "model/mla.h"

/* Per head products, one job each. x and out are [t, h, ..] with the given widths and offsets. */
static int heads_matmul(struct step *s, const struct packed *w, const float *x, int64_t x_width,
                        float *out, int64_t out_width, struct mk_error *err)
{
    int32_t n = s->m->arch.n_heads;
    struct matmul_job *jobs;

    if (arena_take(s->memory, &jobs, (size_t)n, sizeof *jobs, err))
        return err->code;
    for (int32_t h = 0; h < n; h++)
        jobs[h] = (struct matmul_job){.w = &w[h],
                                      .x = x + h * x_width,
                                      .x_stride = n * x_width,
                                      .n_rows = s->n_rows,
                                      .out = out + h * out_width,
                                      .out_stride = n * out_width};
    return s->c->k->matmul(s->c, jobs, n, err);
}

struct attend_shape mla_absorbed_shape(const struct step *s)
{
    const struct arch *a = &s->m->arch;

    return (struct attend_shape){.n_heads = a->n_heads,
                                 .n_kv_heads = 1,
                                 .d_k = a->kv_lora_rank + a->qk_rope_dim,
                                 .d_v = a->kv_lora_rank,
                                 .row_dtype = s->kv_dtype,
                                 .row_dim = a->kv_lora_rank + a->qk_rope_dim,
                                 .scale = rope_score_scale(a, a->qk_nope_dim + a->qk_rope_dim)};
}

int mla_attend_absorbed(struct step *s, const struct mla_weights *w, int32_t layer, const float *q,
                        float *heads, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    int32_t dn = a->qk_nope_dim, dr = a->qk_rope_dim, kv = a->kv_lora_rank, n = a->n_heads;
    struct attend_shape shape = mla_absorbed_shape(s);
    float *wide, *u; /* [t, h, kv + dr], [t, h, kv] */

    if (step_take(s, &wide, (int64_t)n * (kv + dr), err) ||
        step_take(s, &u, (int64_t)n * kv, err) ||
        heads_matmul(s, w->k_absorb, q, dn + dr, wide, kv + dr, err))
        return err->code;
    if (s->saved) {
        s->saved->attention.mla.wide = wide;
        s->saved->attention.mla.u = u;
    }
    for (int64_t i = 0; i < s->n_rows * n; i++)
        memcpy(wide + i * (kv + dr) + kv, q + i * (dn + dr) + dn, (size_t)dr * sizeof *q);
    if (step_attend(s, layer, &shape, wide, (int64_t)n * (kv + dr), u, (int64_t)n * kv, err))
        return err->code;
    return heads_matmul(s, w->v_up, u, kv, heads, a->v_head_dim, err);
}

static int absorbed_load(struct loader *ld, int32_t layer, void **weights, struct mk_error *err)
{
    return mla_load(ld, layer, weights, true, false, err);
}

static int absorbed_forward(struct step *s, const void *weights, int32_t layer, const float *x,
                            float *out, struct mk_error *err)
{
    const struct mla_weights *w = weights;
    const struct arch *a = &s->m->arch;
    int64_t n_v = (int64_t)a->n_heads * a->v_head_dim;
    float *q, *latent, *heads;

    if (mla_project(s, w, x, &q, &latent, err) || step_take(s, &heads, n_v, err))
        return err->code;
    if (s->saved)
        s->saved->attention.mla.heads = heads;
    step_store(s, layer, latent, mla_latent_dim(s->m));
    if (mla_attend_absorbed(s, w, layer, q, heads, err))
        return err->code;
    return step_matmul(s, out, a->d_model, heads, n_v, &w->o, err);
}

const struct attention_kind attention_mla_absorbed = {"mla absorbed", absorbed_load, mla_latent_dim,
                                                      absorbed_forward};
