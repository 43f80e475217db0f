/* convert_plan.c: the tensors of a converted model, in the order in which they are written. */
#include "model/convert_plan.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/quant.h"

/* ---- Types ---------------------------------------------------------------------------------- */

static bool is_float(enum dtype t)
{
    return t == MK_F32 || t == MK_F16 || t == MK_BF16;
}

/* What decides rather than transforms stays exact. */
static bool is_delicate(const struct item *it)
{
    return it->n_dims == 1 || it->role == W_ROUTER || it->role == W_SCORE;
}

/* FP8 models keep these apart (deepseek.md 4.2). */
static bool stays_wide(enum weight_role role)
{
    return role == W_EMBED || role == W_HEAD || role == W_MTP_PROJ || role == W_MTP_EMBED ||
           role == W_MTP_HEAD;
}

static bool divides(enum dtype t, int64_t n)
{
    return n % dtype_info(t)->block == 0;
}

/* A head in four bits costs more than it saves: it gets six, as other programs have it. */
static enum dtype block_type(struct plan *p, const struct item *it)
{
    bool is_head = it->role == W_HEAD || (it->role == W_EMBED && p->arch.tie_word_embeddings);
    bool coarse = p->to == MK_Q4_0 || p->to == MK_Q4_1 || p->to == MK_Q4_K;
    enum dtype t = is_head && coarse ? MK_Q6_K : p->to;

    if (divides(t, it->n_in))
        return t;
    p->report->n_ragged++;
    p->report->ragged_block = dtype_info(t)->block;
    t = divides(MK_Q8_0, it->n_in) ? MK_Q8_0 : MK_F16;
    p->report->ragged_type = t;
    p->report->ragged_row = (int32_t)it->n_in;
    return t;
}

static enum dtype choose_type(struct plan *p, const struct item *it, enum dtype source)
{
    if (is_delicate(it))
        return p->gguf || p->to == MK_F32 || !is_float(source) ? MK_F32 : source;
    if (p->to == MK_F8_E4M3 && stays_wide(it->role))
        return MK_BF16;
    return dtype_is_quantised(p->to) ? block_type(p, it) : p->to;
}

/* ---- Sections ------------------------------------------------------------------------------- */

/* The part of the source that a section's rows, or its rows behind the turned ones, lie in. */
static struct matrix_part section_part(const struct plan *p, const struct item *it, int32_t index)
{
    const struct arch *a = &p->shell.arch;
    int64_t n = it->n_rows / it->n_sections, dn = a->qk_nope_dim, dv = a->v_head_dim;
    int64_t kv = a->kv_lora_rank, both = dn + dv;

    switch (it->rows) {
    case ROWS_STACK:
        return (struct matrix_part){it->role, it->layer, index, n, 0, n, it->n_in};
    case ROWS_K_UP:
        return (struct matrix_part){W_KV_B, it->layer, 0, a->n_heads * both, index * both, dn, kv};
    case ROWS_V_UP:
        return (struct matrix_part){W_KV_B, it->layer, 0, a->n_heads * both, index * both + dn,
                                    dv,     kv};
    case ROWS_JOIN:
        return (struct matrix_part){W_V_B, it->layer, 0, a->n_heads * dv, index * dv, dv, kv};
    default:
        return (struct matrix_part){it->role,  it->layer, it->expert, it->n_rows,
                                    index * n, n,         it->n_in};
    }
}

static int turn(const struct weight_src *src, struct arena *temp, struct section *s,
                struct mk_error *err)
{
    if (arena_take(temp, &s->turned, (size_t)(src->n_out * src->n_in), sizeof *s->turned, err))
        return err->code;
    for (int64_t r = 0; r < src->n_out; r++)
        load_row_f32(src, r, s->turned + r * src->n_in);
    s->n_turned = src->n_in;
    s->n_in = src->n_out;
    return 0;
}

int section_open(const struct plan *p, const struct item *it, int32_t index, struct arena *temp,
                 struct section *s, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;
    struct matrix_part part = section_part(p, it, index);
    struct matrix_part k_b = {W_K_B,
                              it->layer,
                              0,
                              (int64_t)a->n_heads * a->kv_lora_rank,
                              (int64_t)index * a->kv_lora_rank,
                              a->kv_lora_rank,
                              a->qk_nope_dim};
    const struct file_tensor *t;
    struct weight_src other;

    *s = (struct section){.rows = it->rows, .n_rows = it->n_rows / it->n_sections};
    if (load_describe(&p->loader, &part, &s->src, &t, err))
        return err->code;
    if (it->rows == ROWS_K_UP)
        return temp ? turn(&s->src, temp, s, err) : 0;
    if (it->rows != ROWS_JOIN)
        return 0;
    if (load_describe(&p->loader, &k_b, &other, &t, err))
        return err->code;
    return temp ? turn(&other, temp, s, err) : 0;
}

static int64_t source_row(const struct section *s, int64_t r)
{
    int64_t half = s->n_rows / 2;

    if (s->rows == ROWS_TO_PAIRS)
        return r % 2 * half + r / 2;
    if (s->rows == ROWS_TO_HALVES)
        return r % half * 2 + r / half;
    return r;
}

void section_row(const struct section *s, int64_t r, float *out)
{
    if (r >= s->n_turned) {
        load_row_f32(&s->src, source_row(s, r - s->n_turned), out);
        return;
    }
    for (int64_t k = 0; k < s->n_in; k++)
        out[k] = s->turned[k * s->n_turned + r];
}

const unsigned char *section_bytes(const struct section *s, int64_t r)
{
    return (const unsigned char *)s->src.data + source_row(s, r) * s->src.row_bytes;
}

/* ---- The list ------------------------------------------------------------------------------- */

/* Whether every section's bytes can be copied, and the type they have. */
static int look_at_source(struct plan *p, struct item *it, enum dtype *source, struct mk_error *err)
{
    it->raw = it->rows != ROWS_K_UP && it->rows != ROWS_JOIN;
    for (int32_t i = 0; i < it->n_sections; i++) {
        struct section s;

        if (section_open(p, it, i, NULL, &s, err))
            return err->code;
        it->raw = it->raw && (i == 0 || s.src.dtype == *source);
        *source = s.src.dtype;
    }
    return 0;
}

static bool same_scales(const struct plan *p, const struct item *it)
{
    const struct arch *a = &p->shell.arch;

    return it->dtype != MK_F8_E4M3 ||
           (it->rows == ROWS_SAME && a->fp8_block[0] == p->arch.fp8_block[0] &&
            a->fp8_block[1] == p->arch.fp8_block[1]);
}

static int grow(struct plan *p, struct mk_error *err)
{
    int64_t n = p->capacity ? 2 * p->capacity : 64;
    struct item *items;

    if (p->n_items < p->capacity)
        return 0;
    items = realloc(p->items, (size_t)n * sizeof *items);
    if (!items)
        return mk_error_memory(err, (size_t)n * sizeof *items);
    p->items = items;
    p->capacity = n;
    return 0;
}

/* Completes an item whose role, place, rows and shape are set, and appends it. */
static int add(struct plan *p, struct item it, struct mk_error *err)
{
    enum dtype source = MK_F32;

    weight_name(it.name, p->gguf ? NAME_GGUF : NAME_HF, it.role, it.layer, it.expert);
    it.n_in = it.shape[it.n_dims - 1];
    it.n_rows = 1;
    for (int32_t i = 0; i < it.n_dims - 1; i++)
        it.n_rows *= it.shape[i];
    if (!it.n_sections)
        it.n_sections = 1;
    if (grow(p, err) || look_at_source(p, &it, &source, err))
        return err->code;
    it.dtype = choose_type(p, &it, source);
    it.raw = it.raw && it.dtype == source && same_scales(p, &it);
    p->items[p->n_items++] = it;
    return 0;
}

static int add_vector(struct plan *p, enum weight_role role, int32_t layer, int64_t n,
                      struct mk_error *err)
{
    return add(p, (struct item){.role = role, .layer = layer, .n_dims = 1, .shape = {n}}, err);
}

static int add_matrix(struct plan *p, enum weight_role role, int32_t layer, int64_t n_out,
                      int64_t n_in, struct mk_error *err)
{
    return add(p, (struct item){.role = role, .layer = layer, .n_dims = 2, .shape = {n_out, n_in}},
               err);
}

/* q or k: n_heads heads, whose rows the two formats order differently for llama. */
static int add_rotated(struct plan *p, enum weight_role role, int32_t layer, int32_t n_heads,
                       struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;
    struct item it = {.role = role,
                      .layer = layer,
                      .n_dims = 2,
                      .shape = {(int64_t)n_heads * a->head_dim, a->d_model}};

    if (a->rope != p->arch.rope) {
        it.rows = p->arch.rope == ARCH_ROPE_INTERLEAVED ? ROWS_TO_PAIRS : ROWS_TO_HALVES;
        it.n_sections = n_heads;
    }
    return add(p, it, err);
}

static int add_gqa(struct plan *p, int32_t layer, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;
    int64_t n_q = (int64_t)a->n_heads * a->head_dim, n_kv = (int64_t)a->n_kv_heads * a->head_dim;

    if (add_rotated(p, W_Q, layer, a->n_heads, err) ||
        add_rotated(p, W_K, layer, a->n_kv_heads, err) ||
        add_matrix(p, W_V, layer, n_kv, a->d_model, err) ||
        add_matrix(p, W_O, layer, a->d_model, n_q, err))
        return err->code;
    if (a->attention_bias &&
        (add_vector(p, W_Q_BIAS, layer, n_q, err) || add_vector(p, W_K_BIAS, layer, n_kv, err) ||
         add_vector(p, W_V_BIAS, layer, n_kv, err)))
        return err->code;
    if (a->qk_norm && (add_vector(p, W_Q_NORM, layer, a->head_dim, err) ||
                       add_vector(p, W_K_NORM, layer, a->head_dim, err)))
        return err->code;
    return 0;
}

/* The latent's up-projection: one matrix in Hugging Face's files, two in GGUF. */
static int add_kv_up(struct plan *p, int32_t layer, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;
    int64_t h = a->n_heads, dn = a->qk_nope_dim, dv = a->v_head_dim, kv = a->kv_lora_rank;
    bool joint = load_has(&p->loader, W_KV_B, layer);
    struct item kv_b = {.role = W_KV_B,
                        .layer = layer,
                        .rows = joint ? ROWS_SAME : ROWS_JOIN,
                        .n_sections = joint ? 1 : a->n_heads,
                        .n_dims = 2,
                        .shape = {h * (dn + dv), kv}};
    struct item k_b = {.role = W_K_B,
                       .layer = layer,
                       .rows = joint ? ROWS_K_UP : ROWS_SAME,
                       .n_sections = a->n_heads,
                       .n_dims = 3,
                       .shape = {h, kv, dn}};
    struct item v_b = {.role = W_V_B,
                       .layer = layer,
                       .rows = joint ? ROWS_V_UP : ROWS_SAME,
                       .n_sections = a->n_heads,
                       .n_dims = 3,
                       .shape = {h, dv, kv}};

    if (!p->gguf)
        return add(p, kv_b, err);
    return add(p, k_b, err) || add(p, v_b, err) ? err->code : 0;
}

static int add_mla(struct plan *p, int32_t layer, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;
    int64_t n_q = (int64_t)a->n_heads * (a->qk_nope_dim + a->qk_rope_dim), ql = a->q_lora_rank;

    if (!ql && add_matrix(p, W_Q, layer, n_q, a->d_model, err))
        return err->code;
    if (ql &&
        (add_matrix(p, W_Q_A, layer, ql, a->d_model, err) ||
         add_vector(p, W_Q_A_NORM, layer, ql, err) || add_matrix(p, W_Q_B, layer, n_q, ql, err)))
        return err->code;
    if (add_matrix(p, W_KV_A, layer, a->kv_lora_rank + a->qk_rope_dim, a->d_model, err) ||
        add_vector(p, W_KV_A_NORM, layer, a->kv_lora_rank, err) || add_kv_up(p, layer, err))
        return err->code;
    return add_matrix(p, W_O, layer, a->d_model, (int64_t)a->n_heads * a->v_head_dim, err);
}

/* gate, up and down of any width; `gate` is the first of three roles. */
static int add_swiglu(struct plan *p, enum weight_role gate, int32_t layer, int64_t width,
                      struct mk_error *err)
{
    int64_t d = p->shell.arch.d_model;

    if (add_matrix(p, gate, layer, width, d, err) || add_matrix(p, gate + 1, layer, width, d, err))
        return err->code;
    return add_matrix(p, gate + 2, layer, d, width, err);
}

static int add_experts(struct plan *p, int32_t layer, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;
    int64_t d = a->d_model, w = a->d_expert;

    for (int32_t e = 0; e < (p->gguf ? 1 : a->n_experts); e++)
        for (int i = 0; i < 3; i++) {
            int64_t rows = i == 2 ? d : w, in = i == 2 ? w : d;
            struct item it = {.role = W_EXPERT_GATE + i,
                              .layer = layer,
                              .expert = e,
                              .n_dims = 2,
                              .shape = {rows, in}};

            if (p->gguf) {
                it.rows = ROWS_STACK;
                it.n_sections = a->n_experts;
                it.n_dims = 3;
                it.shape[0] = a->n_experts;
                it.shape[1] = rows;
                it.shape[2] = in;
            }
            if (add(p, it, err))
                return err->code;
        }
    return 0;
}

static int add_moe(struct plan *p, int32_t layer, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;

    if (add_matrix(p, W_ROUTER, layer, a->n_experts, a->d_model, err) ||
        (a->router == ARCH_ROUTER_NOAUX &&
         add_vector(p, W_ROUTER_BIAS, layer, a->n_experts, err)) ||
        add_experts(p, layer, err))
        return err->code;
    if (!a->n_shared_experts)
        return 0;
    return add_swiglu(p, W_SHARED_GATE, layer, (int64_t)a->n_shared_experts * a->d_expert, err);
}

static int add_layer(struct plan *p, int32_t layer, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;

    if (add_vector(p, W_ATTN_NORM, layer, a->d_model, err) ||
        (a->attention == ARCH_MLA ? add_mla(p, layer, err) : add_gqa(p, layer, err)) ||
        add_vector(p, W_FFN_NORM, layer, a->d_model, err))
        return err->code;
    return arch_layer_is_moe(a, layer) ? add_moe(p, layer, err)
                                       : add_swiglu(p, W_GATE, layer, a->d_ff, err);
}

static int add_mtp(struct plan *p, int32_t layer, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;
    int64_t d = a->d_model;

    if (add_vector(p, W_MTP_EMBED_NORM, layer, d, err) ||
        add_vector(p, W_MTP_HIDDEN_NORM, layer, d, err) ||
        add_matrix(p, W_MTP_PROJ, layer, d, 2 * d, err) || add_layer(p, layer, err) ||
        add_vector(p, W_MTP_NORM, layer, d, err))
        return err->code;
    if (load_has(&p->loader, W_MTP_EMBED, layer) &&
        add_matrix(p, W_MTP_EMBED, layer, a->n_vocab, d, err))
        return err->code;
    return load_has(&p->loader, W_MTP_HEAD, layer)
               ? add_matrix(p, W_MTP_HEAD, layer, a->n_vocab, d, err)
               : 0;
}

static int add_all(struct plan *p, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;

    if (add_matrix(p, W_EMBED, 0, a->n_vocab, a->d_model, err))
        return err->code;
    for (int32_t i = 0; i < a->n_layers; i++)
        if (add_layer(p, i, err))
            return err->code;
    for (int32_t i = 0; i < p->arch.n_mtp; i++)
        if (add_mtp(p, a->n_layers + i, err))
            return err->code;
    if (add_vector(p, W_FINAL_NORM, 0, a->d_model, err))
        return err->code;
    if (!a->tie_word_embeddings && add_matrix(p, W_HEAD, 0, a->n_vocab, a->d_model, err))
        return err->code;
    return a->scored ? add_matrix(p, W_SCORE, 0, 1, a->d_model, err) : 0;
}

/* What the result is, as far as it differs from the source. */
static int describe_result(struct plan *p, struct mk_error *err)
{
    const struct arch *a = &p->shell.arch;
    struct arch *out = &p->arch;
    bool has_mtp = a->n_mtp && load_has(&p->loader, W_MTP_PROJ, a->n_layers);

    *out = *a;
    if (p->gguf && a->scored)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "a reward model has a head that GGUF has no name for: convert it to a "
                            "folder");
    if (a->attention == ARCH_MLA && a->rope != ARCH_ROPE_INTERLEAVED)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "rope_interleave is false: minke cannot convert such a model");
    if (a->attention == ARCH_GQA)
        out->rope =
            p->gguf && !strcmp(arch_gguf_name(a), "llama") ? ARCH_ROPE_INTERLEAVED : ARCH_ROPE_HALF;
    out->n_mtp = p->gguf || !has_mtp ? 0 : a->n_mtp;
    p->report->left_mtp = has_mtp && p->gguf;
    if (p->to != MK_F8_E4M3)
        out->fp8_block[0] = out->fp8_block[1] = 0;
    else if (!out->fp8_block[0])
        out->fp8_block[0] = out->fp8_block[1] = 128;
    return 0;
}

int plan_init(struct plan *p, const struct model_file *file, enum dtype to, bool gguf,
              struct convert_report *report, struct mk_error *err)
{
    *p = (struct plan){.to = to, .gguf = gguf, .report = report};
    p->shell.arch = file->arch;
    loader_init(&p->loader, &p->shell, &file->gguf.tensors, file->is_gguf ? NAME_GGUF : NAME_HF);
    if (describe_result(p, err) || add_all(p, err)) {
        plan_release(p);
        return err->code;
    }
    return 0;
}

void plan_release(struct plan *p)
{
    loader_release(&p->loader);
    free(p->items);
    p->items = NULL;
    p->n_items = 0;
}
