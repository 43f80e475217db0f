/* gguf_config.c: the shape of a model from a GGUF file's keys, or its tensors where no key says.
 *
 * deepseek2 files come from three converters: the first stores kv_b and the head widths, mainline
 * since April 2025 stores split k_b and v_b and the widths of the absorbed form (the plain ones
 * then end in _mla), ik_llama.cpp stores both tensors and the plain widths. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/arch.h"
#include "formats/gguf.h"

struct reader {
    const struct gguf *g;
    const char *path, *family; /* family: general.architecture, the prefix of most keys */
    struct mk_error *err;
};

#define MAX_KEY 96

static const char *key_of(const struct reader *r, const char *name, char key[MAX_KEY])
{
    snprintf(key, MAX_KEY, "%s.%s", r->family, name);
    return key;
}

/* Absent: what is there stays, unless it is required. */
static int read_int(const struct reader *r, const char *key, bool required, int32_t *out)
{
    int64_t v;

    if (!gguf_find(r->g, key))
        return required ? mk_error_set(r->err, MK_EFORMAT, "%s: %s is missing", r->path, key) : 0;
    if (!gguf_int(r->g, key, &v))
        return mk_error_set(r->err, MK_EFORMAT, "%s: %s is not one whole number", r->path, key);
    if (v < INT32_MIN || v > INT32_MAX)
        return mk_error_set(r->err, MK_EFORMAT, "%s: %s is %lld, expected a number of 32 bits",
                            r->path, key, (long long)v);
    *out = (int32_t)v;
    return 0;
}

static int need_int(const struct reader *r, const char *name, int32_t *out)
{
    char key[MAX_KEY];

    return read_int(r, key_of(r, name, key), true, out);
}

static int may_int(const struct reader *r, const char *name, int32_t *out)
{
    char key[MAX_KEY];

    return read_int(r, key_of(r, name, key), false, out);
}

static int may_float(const struct reader *r, const char *name, double *out)
{
    char key[MAX_KEY];

    key_of(r, name, key);
    if (gguf_find(r->g, key) && !gguf_float(r->g, key, out))
        return mk_error_set(r->err, MK_EFORMAT, "%s: %s is not one number", r->path, key);
    return 0;
}

static int may_bool(const struct reader *r, const char *name, bool *out)
{
    char key[MAX_KEY];

    key_of(r, name, key);
    if (gguf_find(r->g, key) && !gguf_bool(r->g, key, out))
        return mk_error_set(r->err, MK_EFORMAT, "%s: %s is not true or false", r->path, key);
    return 0;
}

static bool has_tensor(const struct reader *r, const char *name)
{
    return tensors_find(&r->g->tensors, name) != NULL;
}

static int unsupported(const struct reader *r, const char *name, int32_t v, const char *expected)
{
    return mk_error_set(r->err, MK_EUNSUPPORTED, "%s: %s.%s is %d, expected %s", r->path, r->family,
                        name, v, expected);
}

/* ---- RoPE ----------------------------------------------------------------------------------- */

static int read_yarn(const struct reader *r, struct arch *a)
{
    double log_multiplier = 0;

    a->scaling = ARCH_SCALING_YARN;
    a->original_context = a->max_context;
    if (may_float(r, "rope.scaling.factor", &a->scaling_factor) ||
        may_int(r, "rope.scaling.original_context_length", &a->original_context) ||
        may_float(r, "rope.scaling.yarn_beta_fast", &a->beta_fast) ||
        may_float(r, "rope.scaling.yarn_beta_slow", &a->beta_slow) ||
        may_float(r, "rope.scaling.yarn_log_multiplier", &log_multiplier))
        return r->err->code;
    if (a->attention != ARCH_MLA)
        return may_float(r, "rope.scaling.yarn_attn_factor", &a->attention_factor);
    /* The key holds a tenth of mscale_all_dim in single precision: back to config.json's digits.
     * mscale is the same in every release, so cos and sin keep their size, key or no key. */
    a->mscale_all_dim = a->mscale = rint(log_multiplier * 1e7) / 1e6;
    if (a->mscale == 0)
        a->attention_factor = 1;
    return 0;
}

static int read_scaling(const struct reader *r, struct arch *a)
{
    char key[MAX_KEY];
    struct gguf_string type = {"none", 4};

    key_of(r, "rope.scaling.type", key);
    if (gguf_find(r->g, key) && !gguf_text(r->g, key, &type))
        return mk_error_set(r->err, MK_EFORMAT, "%s: %s is not text", r->path, key);
    if (type.n == 4 && !memcmp(type.data, "none", 4))
        return 0;
    if (type.n == 4 && !memcmp(type.data, "yarn", 4))
        return read_yarn(r, a);
    if (type.n != 6 || memcmp(type.data, "linear", 6))
        return mk_error_set(r->err, MK_EUNSUPPORTED,
                            "%s: %s is '%.*s', expected none, linear or yarn", r->path, key,
                            type.n > 40 ? 40 : (int)type.n, type.data);
    a->scaling = ARCH_SCALING_LINEAR;
    return may_float(r, "rope.scaling.factor", &a->scaling_factor);
}

/* Llama 3 files hold the factors computed from its scaling keys. */
static int read_rope_factors(const struct reader *r, struct arch *a)
{
    const struct file_tensor *t = tensors_find(&r->g->tensors, "rope_freqs.weight");

    if (!t)
        return 0;
    if (t->dtype != MK_F32 || t->n_dims != 1 || t->shape[0] < 1 ||
        t->shape[0] > ARCH_MAX_ROPE_FACTORS)
        return mk_error_set(r->err, MK_EUNSUPPORTED,
                            "%s: rope_freqs.weight is not a row of at most %d f32 values", r->path,
                            ARCH_MAX_ROPE_FACTORS);
    a->n_rope_freq_factors = (int32_t)t->shape[0];
    memcpy(a->rope_freq_factors, t->data, (size_t)t->shape[0] * sizeof(float));
    return 0;
}

/* ---- Families ------------------------------------------------------------------------------- */

static int read_gqa(const struct reader *r, struct arch *a)
{
    int32_t width, rotated, experts = 0;

    a->attention = ARCH_GQA;
    if (may_int(r, "attention.head_count_kv", &a->n_kv_heads) ||
        may_int(r, "expert_count", &experts) ||
        may_int(r, "attention.sliding_window", &a->sliding_window))
        return r->err->code;
    if (experts)
        return unsupported(r, "expert_count", experts, "none: only deepseek2 has experts");
    a->head_dim = a->n_heads > 0 ? a->d_model / a->n_heads : 0;
    if (may_int(r, "attention.key_length", &a->head_dim))
        return r->err->code;
    width = rotated = a->head_dim;
    if (may_int(r, "attention.value_length", &width) ||
        may_int(r, "rope.dimension_count", &rotated))
        return r->err->code;
    if (width != a->head_dim)
        return unsupported(r, "attention.value_length", width, "the same as attention.key_length");
    if (rotated != a->head_dim)
        return unsupported(r, "rope.dimension_count", rotated, "the width of a head");
    if (has_tensor(r, "blk.0.attn_output.bias"))
        return mk_error_set(r->err, MK_EUNSUPPORTED, "%s: attn_output has a bias", r->path);
    a->attention_bias = has_tensor(r, "blk.0.attn_q.bias");
    return read_rope_factors(r, a);
}

/* Its converter reorders the rows of q and k from halves to pairs. */
static int read_llama(const struct reader *r, struct arch *a)
{
    a->rope = ARCH_ROPE_INTERLEAVED;
    return read_gqa(r, a);
}

static int read_qwen2(const struct reader *r, struct arch *a)
{
    a->rope = ARCH_ROPE_HALF;
    return read_gqa(r, a);
}

static int read_qwen3(const struct reader *r, struct arch *a)
{
    a->rope = ARCH_ROPE_HALF;
    a->qk_norm = true;
    return read_gqa(r, a);
}

/* Old files of V2 have no expert_gating_func, or 0; only V3's have the bias of the choice. */
static int read_router(const struct reader *r, struct arch *a)
{
    int32_t gating = 0;
    double scale = 1;
    char bias[64];

    if (need_int(r, "expert_used_count", &a->n_experts_used) ||
        may_int(r, "expert_shared_count", &a->n_shared_experts) ||
        need_int(r, "expert_feed_forward_length", &a->d_expert) ||
        may_int(r, "leading_dense_block_count", &a->first_k_dense) ||
        may_int(r, "expert_group_count", &a->n_group) ||
        may_int(r, "expert_group_used_count", &a->topk_group) ||
        may_int(r, "expert_gating_func", &gating) || may_float(r, "expert_weights_scale", &scale) ||
        may_bool(r, "expert_weights_norm", &a->norm_topk_prob))
        return r->err->code;
    if (!a->n_group) /* newer converters write 0 for none */
        a->n_group = a->topk_group = 1;
    a->routed_scaling_factor = scale == 0 ? 1 : (float)scale;
    snprintf(bias, sizeof bias, "blk.%d.exp_probs_b.bias", a->first_k_dense);
    if (gating == 2 || (gating == 0 && has_tensor(r, bias)))
        a->router = ARCH_ROUTER_NOAUX;
    else if (gating == 0 || gating == 1)
        a->router = a->n_group > 1 ? ARCH_ROUTER_GROUP_MAX : ARCH_ROUTER_SOFTMAX;
    else
        return unsupported(r, "expert_gating_func", gating, "1 (softmax) or 2 (sigmoid)");
    return 0;
}

/* Blocks after the last layer hold multi-token prediction, in files that count them. */
static int read_mtp(const struct reader *r, struct arch *a)
{
    char name[64];
    int32_t n = 0;

    if (may_int(r, "nextn_predict_layers", &n))
        return r->err->code;
    if (n < 0 || n >= a->n_layers)
        return unsupported(r, "nextn_predict_layers", n, "fewer than block_count");
    a->n_layers -= n;
    snprintf(name, sizeof name, "blk.%d.nextn.eh_proj.weight", a->n_layers);
    a->n_mtp = n && has_tensor(r, name) ? n : 0;
    return 0;
}

static int read_deepseek2(const struct reader *r, struct arch *a)
{
    int32_t key = 0;

    a->attention = ARCH_MLA;
    a->rope = ARCH_ROPE_INTERLEAVED;
    a->n_kv_heads = a->n_heads; /* head_count_kv is 1 in files of the absorbed form */
    if (may_int(r, "attention.q_lora_rank", &a->q_lora_rank) ||
        need_int(r, "attention.kv_lora_rank", &a->kv_lora_rank) ||
        need_int(r, "rope.dimension_count", &a->qk_rope_dim) ||
        need_int(r, "attention.key_length", &key) ||
        need_int(r, "attention.value_length", &a->v_head_dim) ||
        may_int(r, "attention.key_length_mla", &key) ||
        may_int(r, "attention.value_length_mla", &a->v_head_dim) || read_mtp(r, a) ||
        may_int(r, "expert_count", &a->n_experts))
        return r->err->code;
    if (a->qk_rope_dim < 0 || key <= a->qk_rope_dim)
        return unsupported(r, "rope.dimension_count", a->qk_rope_dim, "less than a key's width");
    a->qk_nope_dim = key - a->qk_rope_dim;
    if (a->n_experts && read_router(r, a))
        return r->err->code;
    snprintf(a->model_type, sizeof a->model_type, "%s",
             a->router == ARCH_ROUTER_NOAUX ? "deepseek_v3" : "deepseek_v2");
    return 0;
}

static const struct family {
    const char *name;
    int (*read)(const struct reader *, struct arch *);
} families[] = {
    {"deepseek2", read_deepseek2},
    {"llama", read_llama},
    {"qwen2", read_qwen2},
    {"qwen3", read_qwen3},
};

static const struct family *find_family(struct gguf_string name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strlen(families[i].name) == name.n && !memcmp(families[i].name, name.data, name.n))
            return &families[i];
    return NULL;
}

/* ---- What all have -------------------------------------------------------------------------- */

/* The rows that are there decide: some files pad the embedding beyond vocab_size. */
static int read_vocab_size(const struct reader *r, struct arch *a)
{
    const struct file_tensor *t = tensors_find(&r->g->tensors, "token_embd.weight");

    if (!t)
        return need_int(r, "vocab_size", &a->n_vocab);
    if (t->n_dims != 2 || t->shape[0] > INT32_MAX)
        return mk_error_set(r->err, MK_EFORMAT, "%s: token_embd.weight is not a matrix", r->path);
    a->n_vocab = (int32_t)t->shape[0];
    return 0;
}

static int add_eos(const struct reader *r, const char *key, struct arch *a)
{
    int32_t id = -1;

    if (read_int(r, key, false, &id))
        return r->err->code;
    if (id == -1)
        return 0;
    for (int i = 0; i < a->n_eos_ids; i++)
        if (a->eos_ids[i] == id)
            return 0;
    a->eos_ids[a->n_eos_ids++] = id;
    return 0;
}

/* Older chat models name the end of a turn beside the end of a text. */
static int read_ids(const struct reader *r, struct arch *a)
{
    if (read_int(r, "tokenizer.ggml.bos_token_id", false, &a->bos_id) ||
        add_eos(r, "tokenizer.ggml.eos_token_id", a) ||
        add_eos(r, "tokenizer.ggml.eot_token_id", a))
        return r->err->code;
    return add_eos(r, "tokenizer.ggml.eom_token_id", a);
}

static int read_sampling(const struct reader *r, struct arch *a)
{
    const struct reader general = {r->g, r->path, "general", r->err};

    if (may_float(&general, "sampling.temp", &a->temperature) ||
        may_float(&general, "sampling.top_p", &a->top_p))
        return r->err->code;
    return may_int(&general, "sampling.top_k", &a->top_k);
}

static int read_common(const struct reader *r, struct arch *a)
{
    double eps = (double)a->rms_norm_eps;

    if (need_int(r, "block_count", &a->n_layers) || need_int(r, "embedding_length", &a->d_model) ||
        need_int(r, "feed_forward_length", &a->d_ff) ||
        need_int(r, "attention.head_count", &a->n_heads) ||
        need_int(r, "context_length", &a->max_context) ||
        may_float(r, "attention.layer_norm_rms_epsilon", &eps) ||
        may_float(r, "rope.freq_base", &a->rope_theta))
        return r->err->code;
    a->rms_norm_eps = (float)eps;
    a->n_kv_heads = a->n_heads;
    a->tie_word_embeddings = !has_tensor(r, "output.weight");
    return read_vocab_size(r, a);
}

int arch_from_gguf(struct arch *a, const struct gguf *g, const char *path, struct mk_error *err)
{
    struct gguf_string name = {"", 0};
    const struct family *family;
    struct reader r = {g, path, "", err};

    arch_init(a);
    if (!gguf_text(g, "general.architecture", &name))
        return mk_error_set(err, MK_EFORMAT, "%s: general.architecture is missing", path);
    family = find_family(name);
    if (!family)
        return mk_error_set(
            err, MK_EUNSUPPORTED,
            "%s: general.architecture is '%.*s', expected deepseek2, llama, qwen2 or "
            "qwen3",
            path, name.n > 40 ? 40 : (int)name.n, name.data);
    r.family = family->name;
    snprintf(a->model_type, sizeof a->model_type, "%s", family->name);
    if (read_common(&r, a) || family->read(&r, a) || read_scaling(&r, a) || read_ids(&r, a) ||
        read_sampling(&r, a))
        return err->code;
    return arch_check(a, path, err);
}
