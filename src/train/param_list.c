/* param_list.c: names and shapes of all weights that an architecture asks for. */
#include "train/param_list.h"

#include "model/names.h"

/* Walked twice: counting, then filling. */
struct list {
    const struct arch *a;
    struct param *items; /* NULL while counting */
    int64_t n;
};

static void add(struct list *l, enum weight_role role, int32_t layer, int32_t expert, int64_t n_out,
                int64_t n_in)
{
    struct param *q;

    if (l->items) {
        q = &l->items[l->n];
        *q = (struct param){.role = role,
                            .layer = layer,
                            .expert = expert,
                            .n_dims = n_in ? 2 : 1,
                            .shape = {n_out, n_in},
                            .n = n_in ? n_out * n_in : n_out,
                            .n_streams = 1,
                            .compute = MK_F32,
                            .buffer = role == W_ROUTER_BIAS};
        weight_name(q->name, NAME_HF, role, layer, expert);
    }
    l->n++;
}

static void vector(struct list *l, enum weight_role role, int32_t layer, int64_t n)
{
    add(l, role, layer, 0, n, 0);
}

static void matrix(struct list *l, enum weight_role role, int32_t layer, int64_t n_out,
                   int64_t n_in)
{
    add(l, role, layer, 0, n_out, n_in);
}

static void gqa(struct list *l, int32_t layer)
{
    const struct arch *a = l->a;
    int64_t n_q = (int64_t)a->n_heads * a->head_dim, n_kv = (int64_t)a->n_kv_heads * a->head_dim;

    matrix(l, W_Q, layer, n_q, a->d_model);
    matrix(l, W_K, layer, n_kv, a->d_model);
    matrix(l, W_V, layer, n_kv, a->d_model);
    matrix(l, W_O, layer, a->d_model, n_q);
    if (a->attention_bias) {
        vector(l, W_Q_BIAS, layer, n_q);
        vector(l, W_K_BIAS, layer, n_kv);
        vector(l, W_V_BIAS, layer, n_kv);
    }
    if (a->qk_norm) {
        vector(l, W_Q_NORM, layer, a->head_dim);
        vector(l, W_K_NORM, layer, a->head_dim);
    }
}

static void mla(struct list *l, int32_t layer)
{
    const struct arch *a = l->a;
    int64_t h = a->n_heads, n_q = h * (a->qk_nope_dim + a->qk_rope_dim), ql = a->q_lora_rank;

    if (ql) {
        matrix(l, W_Q_A, layer, ql, a->d_model);
        vector(l, W_Q_A_NORM, layer, ql);
        matrix(l, W_Q_B, layer, n_q, ql);
    } else {
        matrix(l, W_Q, layer, n_q, a->d_model);
    }
    matrix(l, W_KV_A, layer, a->kv_lora_rank + a->qk_rope_dim, a->d_model);
    vector(l, W_KV_A_NORM, layer, a->kv_lora_rank);
    matrix(l, W_KV_B, layer, h * (a->qk_nope_dim + a->v_head_dim), a->kv_lora_rank);
    matrix(l, W_O, layer, a->d_model, h * a->v_head_dim);
}

/* gate, up, down: roles that follow one another. */
static void swiglu(struct list *l, enum weight_role gate, int32_t layer, int32_t expert,
                   int64_t width)
{
    add(l, gate, layer, expert, width, l->a->d_model);
    add(l, gate + 1, layer, expert, width, l->a->d_model);
    add(l, gate + 2, layer, expert, l->a->d_model, width);
}

static void moe(struct list *l, int32_t layer)
{
    const struct arch *a = l->a;

    matrix(l, W_ROUTER, layer, a->n_experts, a->d_model);
    if (a->router == ARCH_ROUTER_NOAUX)
        vector(l, W_ROUTER_BIAS, layer, a->n_experts);
    for (int32_t e = 0; e < a->n_experts; e++)
        swiglu(l, W_EXPERT_GATE, layer, e, a->d_expert);
    if (a->n_shared_experts)
        swiglu(l, W_SHARED_GATE, layer, 0, (int64_t)a->n_shared_experts * a->d_expert);
}

static void block(struct list *l, int32_t layer)
{
    vector(l, W_ATTN_NORM, layer, l->a->d_model);
    if (l->a->attention == ARCH_MLA)
        mla(l, layer);
    else
        gqa(l, layer);
    vector(l, W_FFN_NORM, layer, l->a->d_model);
    if (arch_layer_is_moe(l->a, layer))
        moe(l, layer);
    else
        swiglu(l, W_GATE, layer, 0, l->a->d_ff);
}

static void mtp(struct list *l, int32_t layer)
{
    int64_t d = l->a->d_model;

    vector(l, W_MTP_EMBED_NORM, layer, d);
    vector(l, W_MTP_HIDDEN_NORM, layer, d);
    matrix(l, W_MTP_PROJ, layer, d, 2 * d);
    block(l, layer);
    vector(l, W_MTP_NORM, layer, d);
}

static void walk(struct list *l)
{
    const struct arch *a = l->a;

    l->n = 0;
    matrix(l, W_EMBED, 0, a->n_vocab, a->d_model);
    for (int32_t i = 0; i < a->n_layers; i++)
        block(l, i);
    for (int32_t i = 0; i < a->n_mtp; i++)
        mtp(l, a->n_layers + i);
    vector(l, W_FINAL_NORM, 0, a->d_model);
    if (!a->tie_word_embeddings)
        matrix(l, W_HEAD, 0, a->n_vocab, a->d_model);
    if (a->scored)
        matrix(l, W_SCORE, 0, 1, a->d_model);
}

int param_list(struct params *p, struct mk_error *err)
{
    struct list l = {.a = &p->arch};

    walk(&l);
    p->n_items = l.n;
    if (arena_take(&p->memory, &p->items, (size_t)l.n, sizeof *p->items, err))
        return err->code;
    l.items = p->items;
    walk(&l);
    for (int64_t i = 0; i < l.n; i++)
        p->n_values += (uint64_t)l.items[i].n;
    return 0;
}
