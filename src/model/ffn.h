/* ffn.h: SwiGLU, the feed-forward of dense layers, of shared experts and of each routed expert
 * (Shazeer 2020). */
#ifndef MK_MODEL_FFN_H
#define MK_MODEL_FFN_H

#include "model/load.h"
#include "model/step.h"

struct ffn_weights {
    struct packed gate, up, down; /* [f, d_model], [f, d_model], [d_model, f] */
};

/* roles: of gate, up, down, in this order in the enum. */
int ffn_load(struct loader *ld, struct ffn_weights *w, enum weight_role gate, int32_t layer,
             int32_t expert, int64_t width, struct mk_error *err);
/* out [t, d_model] = down(silu(gate(x)) * up(x)). `saved` is filled while a block is kept. */
int ffn_swiglu(struct step *s, const struct ffn_weights *w, const float *x, float *out,
               struct swiglu_saved *saved, struct mk_error *err);

#endif
