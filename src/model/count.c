/* count.c: sums over the weights that model/ loads (deepseek.md 1.1, 2.7, 11). */
#include "model/count.h"

static uint64_t gqa(const struct arch *a)
{
    uint64_t d = (uint64_t)a->d_model, q = (uint64_t)a->n_heads * (uint64_t)a->head_dim;
    uint64_t kv = (uint64_t)a->n_kv_heads * (uint64_t)a->head_dim;

    return 2 * d * q + 2 * d * kv + (a->attention_bias ? q + 2 * kv : 0) +
           (a->qk_norm ? 2 * (uint64_t)a->head_dim : 0);
}

static uint64_t mla(const struct arch *a)
{
    uint64_t d = (uint64_t)a->d_model, h = (uint64_t)a->n_heads, ql = (uint64_t)a->q_lora_rank;
    uint64_t dn = (uint64_t)a->qk_nope_dim, dr = (uint64_t)a->qk_rope_dim;
    uint64_t dv = (uint64_t)a->v_head_dim, kv = (uint64_t)a->kv_lora_rank;
    uint64_t q = ql ? d * ql + ql + ql * h * (dn + dr) : d * h * (dn + dr);

    return q + d * (kv + dr) + kv + kv * h * (dn + dv) + h * dv * d;
}

static uint64_t expert(const struct arch *a)
{
    return 3 * (uint64_t)a->d_model * (uint64_t)a->d_expert;
}

/* A layer without its routed experts. */
static uint64_t layer(const struct arch *a, bool moe)
{
    uint64_t d = (uint64_t)a->d_model, n = 2 * d + (a->attention == ARCH_MLA ? mla(a) : gqa(a));

    if (!moe)
        return n + 3 * d * (uint64_t)a->d_ff;
    n += (uint64_t)a->n_experts * d + (uint64_t)a->n_shared_experts * expert(a);
    return n + (a->router == ARCH_ROUTER_NOAUX ? (uint64_t)a->n_experts : 0);
}

void count_arch(struct count *c, const struct arch *a, enum mk_mla form)
{
    uint64_t d = (uint64_t)a->d_model, v = (uint64_t)a->n_vocab, h = (uint64_t)a->n_heads;
    uint64_t layers = (uint64_t)a->n_layers, n, width;

    *c = (struct count){0};
    c->total = c->active = v * d * (a->tie_word_embeddings ? 1 : 2) + d;
    for (int32_t l = 0; l < a->n_layers; l++) {
        bool moe = arch_layer_is_moe(a, l);

        n = layer(a, moe);
        c->total += n + (moe ? (uint64_t)a->n_experts * expert(a) : 0);
        c->active += n + (moe ? (uint64_t)a->n_experts_used * expert(a) : 0);
    }
    n = layer(a, a->n_experts > 0) + (uint64_t)a->n_experts * expert(a) + 2 * d * d + 3 * d;
    c->mtp = (uint64_t)a->n_mtp * n;
    width = a->attention == ARCH_MLA
                ? (uint64_t)a->qk_nope_dim + (uint64_t)a->qk_rope_dim + (uint64_t)a->v_head_dim
                : 2 * (uint64_t)a->head_dim;
    c->mha_values = layers * h * width;
    if (a->attention == ARCH_GQA)
        c->kv_values = layers * (uint64_t)a->n_kv_heads * width;
    else if (form == MK_MLA_EXPANDED)
        c->kv_values = c->mha_values;
    else
        c->kv_values = layers * ((uint64_t)a->kv_lora_rank + (uint64_t)a->qk_rope_dim);
}
