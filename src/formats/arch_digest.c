/* arch_digest.c: see arch_digest.h. */
#include "formats/arch_digest.h"

bool arch_digest(EVP_MD_CTX *ctx, const struct arch *a)
{
    const int32_t whole[] = {a->n_heads,
                             a->n_kv_heads,
                             a->qk_norm,
                             a->sliding_window,
                             a->n_experts_used,
                             (int32_t)a->router,
                             a->n_group,
                             a->topk_group,
                             a->norm_topk_prob,
                             (int32_t)a->rope,
                             (int32_t)a->scaling,
                             a->original_context,
                             a->n_rope_freq_factors};
    const double real[] = {a->routed_scaling_factor,
                           a->rms_norm_eps,
                           a->rope_theta,
                           a->scaling_factor,
                           a->beta_fast,
                           a->beta_slow,
                           a->mscale,
                           a->mscale_all_dim,
                           a->low_freq_factor,
                           a->high_freq_factor,
                           a->attention_factor};

    return EVP_DigestUpdate(ctx, whole, sizeof whole) && EVP_DigestUpdate(ctx, real, sizeof real) &&
           EVP_DigestUpdate(ctx, a->rope_freq_factors, sizeof a->rope_freq_factors);
}
