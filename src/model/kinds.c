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
    return arch_layer_is_moe(a, layer) ? &ffn_moe : &ffn_dense;
}

const struct residual_kind *residual_kind_for(const struct arch *a)
{
    (void)a;
    return &residual_plain;
}
