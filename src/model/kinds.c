/* kinds.c: which part a configuration asks for. A new kind is one line here. */
#include "model/model.h"

const struct attention_kind *attention_kind_for(const struct arch *a, const struct model_options *o)
{
    if (a->attention == ARCH_GQA)
        return &attention_gqa;
    if (o->mla == MK_MLA_EXPANDED && o->numerics == MK_EXACT)
        return &attention_mla_expanded;
    if (o->numerics == MK_FAST)
        return &attention_mla_fast;
    return &attention_mla_absorbed;
}

const struct ffn_kind *ffn_kind_for(const struct arch *a, int32_t layer)
{
    bool moe = a->n_experts > 0 && layer >= a->first_k_dense &&
               (a->moe_layer_freq <= 1 || layer % a->moe_layer_freq == 0);

    return moe ? &ffn_moe : &ffn_dense;
}

const struct residual_kind *residual_kind_for(const struct arch *a)
{
    (void)a;
    return &residual_plain;
}
