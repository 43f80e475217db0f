/* mla_expanded.c: latent attention with every head's keys and values rebuilt, and the `fast`
 * mixture.
 *
 * Expanded keeps the rebuilt rows [keys of all heads | values of all heads] in the cache, so that
 * prefill, decode and training do the same arithmetic; that costs the memory which MLA is there to
 * save. Fast caches latents, rebuilds them for long prompts and decodes absorbed: small and quick,
 * but a cached token no longer equals a recomputed one. */
#include <string.h>

#include "model/mla.h"

#define FAST_MIN_ROWS 16                    /* new tokens a sequence from which rebuilding pays */
#define FAST_GROUP_BYTES ((size_t)64 << 20) /* of rebuilt rows at a time */

/* Rebuilds n_heads heads from h0 on out of latents [n, latent_dim] into rows [n, heads (dn + dr) +
 * heads dv]. */
static int expand(struct step *s, const struct mla_weights *w, const float *latents, int64_t n,
                  int32_t h0, int32_t n_heads, float *rows, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    int32_t dn = a->qk_nope_dim, dr = a->qk_rope_dim, dv = a->v_head_dim, kv = a->kv_lora_rank;
    int64_t width = (int64_t)n_heads * (dn + dr + dv), d_latent = kv + dr;
    struct matmul_job *jobs;

    if (arena_take(s->memory, &jobs, (size_t)n_heads * 2, sizeof *jobs, err))
        return err->code;
    for (int32_t i = 0; i < n_heads; i++) {
        jobs[2 * i] = (struct matmul_job){&w->k_expand[h0 + i], NULL, latents, d_latent, n,
                                          rows + i * (dn + dr), width};
        jobs[2 * i + 1] = (struct matmul_job){&w->v_up[h0 + i],
                                              NULL,
                                              latents,
                                              d_latent,
                                              n,
                                              rows + (int64_t)n_heads * (dn + dr) + i * dv,
                                              width};
    }
    if (s->c->k->matmul(s->c, jobs, 2 * n_heads, err))
        return err->code;
    for (int64_t t = 0; t < n; t++)
        for (int32_t i = 0; i < n_heads; i++)
            memcpy(rows + t * width + i * (dn + dr) + dn, latents + t * d_latent + kv,
                   (size_t)dr * sizeof *rows);
    return 0;
}

int mla_rebuild(struct step *s, const struct mla_weights *w, const float *latent, float *rows,
                struct mk_error *err)
{
    return expand(s, w, latent, s->n_rows, 0, s->m->arch.n_heads, rows, err);
}

struct attend_shape mla_expanded_shape(const struct step *s, int32_t n_heads)
{
    const struct arch *a = &s->m->arch;
    int32_t d_k = a->qk_nope_dim + a->qk_rope_dim, d_v = a->v_head_dim;

    return (struct attend_shape){.n_heads = n_heads,
                                 .n_kv_heads = n_heads,
                                 .d_k = d_k,
                                 .d_v = d_v,
                                 .k_stride = d_k,
                                 .v_offset = n_heads * d_k,
                                 .v_stride = d_v,
                                 .row_dtype = s->kv_dtype,
                                 .row_dim = n_heads * (d_k + d_v),
                                 .scale = rope_score_scale(a, d_k)};
}

static int expanded_load(struct loader *ld, int32_t layer, void **weights, struct mk_error *err)
{
    return mla_load(ld, layer, weights, false, true, err);
}

static int32_t expanded_row_dim(const struct model *m)
{
    const struct arch *a = &m->arch;

    return a->n_heads * (a->qk_nope_dim + a->qk_rope_dim + a->v_head_dim);
}

static int expanded_forward(struct step *s, const void *weights, int32_t layer, const float *x,
                            float *out, struct mk_error *err)
{
    const struct mla_weights *w = weights;
    const struct arch *a = &s->m->arch;
    struct attend_shape shape = mla_expanded_shape(s, a->n_heads);
    int64_t n_v = (int64_t)a->n_heads * a->v_head_dim, n_q = (int64_t)a->n_heads * shape.d_k;
    struct arena_mark mark;
    float *q, *latent, *rows, *heads;

    if (mla_project(s, w, x, &q, &latent, err) || step_take(s, &heads, n_v, err))
        return err->code;
    mark = arena_mark(s->memory);
    if (step_take(s, &rows, shape.row_dim, err) || mla_rebuild(s, w, latent, rows, err))
        return err->code;
    if (s->saved)
        s->saved->attention.mla.heads = heads;
    step_store(s, layer, rows, shape.row_dim);
    if (step_attend(s, layer, &shape, q, n_q, heads, n_v, err))
        return err->code;
    if (s->saved && s->saved->keep == KEEP_WHOLE)
        s->saved->attention.mla.rows = rows;
    else
        arena_rewind(s->memory, mark);
    return step_matmul(s, out, a->d_model, heads, n_v, &w->o, err);
}

static int fast_load(struct loader *ld, int32_t layer, void **weights, struct mk_error *err)
{
    return mla_load(ld, layer, weights, true, true, err);
}

/* One sequence's attention over rebuilt rows, a group of heads at a time so that they fit a bounded
 * memory. */
static int attend_rebuilt(struct step *s, const struct mla_weights *w, int32_t layer, int32_t seq,
                          const float *q, float *heads, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    const struct forward_seq *f = &s->seqs[seq];
    int64_t n = f->position + f->n_ids, d_latent = mla_latent_dim(s->m);
    int32_t d_k = a->qk_nope_dim + a->qk_rope_dim, d_v = a->v_head_dim, group;
    struct arena_mark mark = arena_mark(s->memory);
    float *latents, *rows;

    if (arena_take(s->memory, &latents, (size_t)(n * d_latent), sizeof *latents, err))
        return err->code;
    s->c->k->load_rows(s->c, s->kv_dtype, f->kv[layer], latents, d_latent, n, (int32_t)d_latent);
    group = (int32_t)(FAST_GROUP_BYTES / ((size_t)n * (size_t)(d_k + d_v) * sizeof *rows));
    group = group < 1 ? 1 : group > a->n_heads ? a->n_heads : group;
    if (arena_take(s->memory, &rows, (size_t)(n * group * (d_k + d_v)), sizeof *rows, err))
        return err->code;
    for (int32_t h = 0; h < a->n_heads; h += group) {
        int32_t n_heads = a->n_heads - h < group ? a->n_heads - h : group;
        struct attend_shape shape = mla_expanded_shape(s, n_heads);
        int64_t q_stride = (int64_t)a->n_heads * d_k, out_stride = (int64_t)a->n_heads * d_v;
        struct attend_seq one = {.q = q + s->first_row[seq] * q_stride + h * d_k,
                                 .q_stride = q_stride,
                                 .n_rows = f->n_ids,
                                 .position = f->position,
                                 .rows = rows,
                                 .out = heads + s->first_row[seq] * out_stride + h * d_v,
                                 .out_stride = out_stride};

        shape.row_dtype = MK_F32;
        if (expand(s, w, latents, n, h, n_heads, rows, err) ||
            s->c->k->attend(s->c, &shape, &one, 1, err))
            return err->code;
    }
    arena_rewind(s->memory, mark);
    return 0;
}

static int fast_forward(struct step *s, const void *weights, int32_t layer, const float *x,
                        float *out, struct mk_error *err)
{
    const struct mla_weights *w = weights;
    const struct arch *a = &s->m->arch;
    int64_t n_v = (int64_t)a->n_heads * a->v_head_dim;
    float *q, *latent, *heads;

    if (mla_project(s, w, x, &q, &latent, err) || step_take(s, &heads, n_v, err))
        return err->code;
    step_store(s, layer, latent, mla_latent_dim(s->m));
    if (s->n_rows < (int64_t)s->n_seqs * FAST_MIN_ROWS) {
        if (mla_attend_absorbed(s, w, layer, q, heads, err))
            return err->code;
    } else {
        for (int32_t i = 0; i < s->n_seqs; i++)
            if (attend_rebuilt(s, w, layer, i, q, heads, err))
                return err->code;
    }
    return step_matmul(s, out, a->d_model, heads, n_v, &w->o, err);
}

const struct attention_kind attention_mla_expanded = {"mla expanded", expanded_load,
                                                      expanded_row_dim, expanded_forward};
const struct attention_kind attention_mla_fast = {"mla fast", fast_load, mla_latent_dim,
                                                  fast_forward};
