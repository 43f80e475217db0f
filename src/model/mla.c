/* mla.c: loading of latent attention, and the projections that both forms begin with
 * (deepseek.md 2.1, 6.1, 6.3).
 *
 * The up-projection of the latent comes in three layouts: kv_b with k and v rows of each head in
 * turn (HF, older GGUF), or split k_b and v_b, k_b already transposed (GGUF since April 2025).
 * Either gives one small matrix a head and side. */
#include "model/mla.h"

static int load_projections(struct loader *ld, int32_t layer, struct mla_weights *w,
                            struct mk_error *err)
{
    const struct arch *a = &ld->model->arch;
    int64_t n_q = (int64_t)a->n_heads * (a->qk_nope_dim + a->qk_rope_dim);
    int64_t n_kv = a->kv_lora_rank + a->qk_rope_dim, n_v = (int64_t)a->n_heads * a->v_head_dim;
    int64_t ql = a->q_lora_rank;
    struct matrix_part q = {W_Q, layer, 0, n_q, 0, n_q, a->d_model};
    struct matrix_part q_a = {W_Q_A, layer, 0, ql, 0, ql, a->d_model};
    struct matrix_part q_b = {W_Q_B, layer, 0, n_q, 0, n_q, ql};
    struct matrix_part kv_a = {W_KV_A, layer, 0, n_kv, 0, n_kv, a->d_model};
    struct matrix_part o = {W_O, layer, 0, a->d_model, 0, a->d_model, n_v};

    if (ql == 0 && load_matrix(ld, &w->q, &q, err))
        return err->code;
    if (ql > 0 && (load_matrix(ld, &w->q_a, &q_a, err) || load_matrix(ld, &w->q_b, &q_b, err) ||
                   load_vector(ld, &w->q_a_norm, W_Q_A_NORM, layer, ql, err)))
        return err->code;
    if (load_matrix(ld, &w->kv_a, &kv_a, err) || load_matrix(ld, &w->o, &o, err))
        return err->code;
    return load_vector(ld, &w->kv_a_norm, W_KV_A_NORM, layer, a->kv_lora_rank, err);
}

/* The k side of one head: [kv_lora, dn] for the absorbed form, [dn, kv_lora] for the expanded one.
 */
static int load_k_up(struct loader *ld, int32_t layer, int32_t h, struct mla_weights *w, bool split,
                     struct mk_error *err)
{
    const struct arch *a = &ld->model->arch;
    int64_t dn = a->qk_nope_dim, kv = a->kv_lora_rank, both = dn + a->v_head_dim;
    struct matrix_part joint = {W_KV_B, layer, 0, a->n_heads * both, h * both, dn, kv};
    struct matrix_part turned = {W_K_B, layer, 0, a->n_heads * kv, h * kv, kv, dn};
    uint64_t n_params = ld->model->n_params;
    double n_active = ld->n_active;

    if (w->k_absorb && (split ? load_matrix(ld, &w->k_absorb[h], &turned, err)
                              : load_transposed(ld, &w->k_absorb[h], &joint, err)))
        return err->code;
    if (!w->k_expand)
        return 0;
    if (w->k_absorb) { /* the same parameters once more */
        ld->model->n_params = n_params;
        ld->n_active = n_active;
    }
    return split ? load_transposed(ld, &w->k_expand[h], &turned, err)
                 : load_matrix(ld, &w->k_expand[h], &joint, err);
}

int mla_load(struct loader *ld, int32_t layer, void **weights, bool absorbed, bool expanded,
             struct mk_error *err)
{
    const struct arch *a = &ld->model->arch;
    int64_t dn = a->qk_nope_dim, dv = a->v_head_dim, both = dn + dv;
    bool split = !load_has(ld, W_KV_B, layer) && load_has(ld, W_K_B, layer);
    size_t n = (size_t)a->n_heads;
    struct mla_weights *w;

    if (load_take(ld, &w, 1, sizeof *w, err) || load_projections(ld, layer, w, err) ||
        load_take(ld, &w->v_up, n, sizeof *w->v_up, err))
        return err->code;
    if (absorbed && load_take(ld, &w->k_absorb, n, sizeof *w->k_absorb, err))
        return err->code;
    if (expanded && load_take(ld, &w->k_expand, n, sizeof *w->k_expand, err))
        return err->code;
    for (int32_t h = 0; h < a->n_heads; h++) {
        struct matrix_part joint = {W_KV_B, layer,          0, a->n_heads * both, h * both + dn,
                                    dv,     a->kv_lora_rank};
        struct matrix_part alone = {W_V_B, layer, 0, a->n_heads * dv, h * dv, dv, a->kv_lora_rank};

        if (load_k_up(ld, layer, h, w, split, err) ||
            load_matrix(ld, &w->v_up[h], split ? &alone : &joint, err))
            return err->code;
    }
    *weights = w;
    return 0;
}

int32_t mla_latent_dim(const struct model *m)
{
    return m->arch.kv_lora_rank + m->arch.qk_rope_dim;
}

static int project_q(struct step *s, const struct mla_weights *w, const float *x, float *q,
                     int64_t n_q, float *q_latent, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    int32_t ql = a->q_lora_rank;

    if (ql == 0)
        return step_matmul(s, q, n_q, x, a->d_model, &w->q, err);
    if (s->saved) {
        s->saved->attention.mla.q_latent = q_latent;
        if (step_copy(s, &s->saved->attention.mla.q_latent_in, q_latent, ql, ql, err))
            return err->code;
    }
    s->c->k->rmsnorm(s->c, q_latent, ql, q_latent, ql, w->q_a_norm, s->n_rows, ql, MLA_NORM_EPS);
    return step_matmul(s, q, n_q, q_latent, ql, &w->q_b, err);
}

int mla_project(struct step *s, const struct mla_weights *w, const float *x, float **q,
                float **latent, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    const struct kernels *k = s->c->k;
    int32_t dn = a->qk_nope_dim, dr = a->qk_rope_dim, kv = a->kv_lora_rank, n_row = kv + dr;
    int64_t n_q = (int64_t)a->n_heads * (dn + dr), ql = a->q_lora_rank;
    enum rope_pairs pairs = a->rope == ARCH_ROPE_HALF ? ROPE_HALF : ROPE_INTERLEAVED;
    struct matmul_job jobs[2];
    float *q_latent = NULL;

    if (step_take(s, q, n_q, err) || step_take(s, latent, n_row, err) ||
        (ql && step_take(s, &q_latent, ql, err)))
        return err->code;
    if (s->saved)
        s->saved->attention.mla = (struct mla_saved){.q = *q, .latent = *latent};
    jobs[0] = (struct matmul_job){&w->kv_a, NULL, x, a->d_model, s->n_rows, *latent, n_row};
    jobs[1] = (struct matmul_job){&w->q_a, NULL, x, a->d_model, s->n_rows, q_latent, ql};
    if (k->matmul(s->c, jobs, ql ? 2 : 1, err) || project_q(s, w, x, *q, n_q, q_latent, err))
        return err->code;
    if (s->saved && step_copy(s, &s->saved->attention.mla.latent_in, *latent, n_row, n_row, err))
        return err->code;
    k->rmsnorm(s->c, *latent, n_row, *latent, n_row, w->kv_a_norm, s->n_rows, kv, MLA_NORM_EPS);
    k->rope(s->c, *q + dn, n_q, s->n_rows, a->n_heads, dn + dr, dr, s->rope, pairs);
    k->rope(s->c, *latent + kv, n_row, s->n_rows, 1, dr, dr, s->rope, pairs);
    return 0;
}
