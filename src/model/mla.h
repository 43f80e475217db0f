/* mla.h: multi-head latent attention (DeepSeek-V2 report, section 2.1), what its forms share.
 *
 * A token leaves one latent c [kv_lora_rank] and one rotated key kR [qk_rope_dim] shared by all
 * heads. There are two exact forms of the same attention:
 *
 * absorbed: k_up moves to the query's side and v_up to the output's; it runs on the latents.
 *
 * expanded: keys and values of every head are rebuilt; cheaper for long prompts and for training.
 *
 * They agree in real arithmetic, not in bits: a run uses one of them throughout, `fast` both. */
#ifndef MK_MODEL_MLA_H
#define MK_MODEL_MLA_H

#include "model/load.h"
#include "model/step.h"

/* transformers fixes the epsilon of the two inner norms, whatever rms_norm_eps says. */
#define MLA_NORM_EPS 1e-6f

struct mla_weights {
    struct packed q;                   /* [h (dn + dr), d_model]; without q_lora */
    struct packed q_a, q_b;            /* [q_lora, d_model], [h (dn + dr), q_lora] */
    struct packed kv_a;                /* [kv_lora + dr, d_model] */
    struct packed o;                   /* [d_model, h dv] */
    const float *q_a_norm, *kv_a_norm; /* [q_lora], [kv_lora] */
    struct packed *k_absorb;           /* [h] of [kv_lora, dn]: W_UK transposed, or NULL */
    struct packed *k_expand;           /* [h] of [dn, kv_lora]: W_UK, or NULL */
    struct packed *v_up;               /* [h] of [dv, kv_lora]: W_UV */
};

int mla_load(struct loader *ld, int32_t layer, void **weights, bool absorbed, bool expanded,
             struct mk_error *err);
/* x -> q [t, h (dn + dr)] rotated, latent [t, kv_lora + dr] = [c normed | kR rotated]. */
int mla_project(struct step *s, const struct mla_weights *w, const float *x, float **q,
                float **latent, struct mk_error *err);
/* All heads' keys and values out of the step's latents: rows [t, h (dn + dr) | h dv]. */
int mla_rebuild(struct step *s, const struct mla_weights *w, const float *latent, float *rows,
                struct mk_error *err);
/* Of rebuilt rows [keys of n_heads heads | values of n_heads heads], and of the latents. */
struct attend_shape mla_expanded_shape(const struct step *s, int32_t n_heads);
struct attend_shape mla_absorbed_shape(const struct step *s);
/* Values in a latent row. */
int32_t mla_latent_dim(const struct model *m);
/* q -> heads [t, h dv] on cached latents, which include the step's own. */
int mla_attend_absorbed(struct step *s, const struct mla_weights *w, int32_t layer, const float *q,
                        float *heads, struct mk_error *err);

#endif
