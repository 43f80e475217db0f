/* arch_gguf.c: a model's shape as GGUF keys, with the names of llama.cpp's converter. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/arch.h"
#include "formats/gguf_writer.h"

/* The first failure is kept; what follows it does nothing. */
struct writer {
    struct gguf_writer *out;
    const char *family;
    struct mk_error *err;
    int rc;
};

#define MAX_KEY 96

static const char *key_of(const struct writer *w, const char *name, char key[MAX_KEY])
{
    snprintf(key, MAX_KEY, "%s.%s", w->family, name);
    return key;
}

static void put_int(struct writer *w, const char *name, int32_t v)
{
    char key[MAX_KEY];

    if (!w->rc)
        w->rc = gguf_writer_int(w->out, key_of(w, name, key), GGUF_U32, v, w->err);
}

static void put_float(struct writer *w, const char *name, double v)
{
    char key[MAX_KEY];

    if (!w->rc)
        w->rc = gguf_writer_float(w->out, key_of(w, name, key), (float)v, w->err);
}

static void put_text(struct writer *w, const char *name, const char *v)
{
    char key[MAX_KEY];

    if (!w->rc)
        w->rc = gguf_writer_text(w->out, key_of(w, name, key), v, strlen(v), w->err);
}

static void put_scaling(struct writer *w, const struct arch *a)
{
    if (a->scaling != ARCH_SCALING_LINEAR && a->scaling != ARCH_SCALING_YARN)
        return;
    put_text(w, "rope.scaling.type", a->scaling == ARCH_SCALING_YARN ? "yarn" : "linear");
    put_float(w, "rope.scaling.factor", a->scaling_factor);
    if (a->scaling == ARCH_SCALING_LINEAR)
        return;
    put_int(w, "rope.scaling.original_context_length", a->original_context);
    put_float(w, "rope.scaling.yarn_beta_fast", a->beta_fast);
    put_float(w, "rope.scaling.yarn_beta_slow", a->beta_slow);
    if (a->attention == ARCH_MLA)
        put_float(w, "rope.scaling.yarn_log_multiplier", 0.1 * a->mscale_all_dim);
}

static void put_experts(struct writer *w, const struct arch *a)
{
    char key[MAX_KEY];

    put_int(w, "leading_dense_block_count", a->first_k_dense);
    put_int(w, "expert_count", a->n_experts);
    put_int(w, "expert_used_count", a->n_experts_used);
    put_int(w, "expert_shared_count", a->n_shared_experts);
    put_int(w, "expert_feed_forward_length", a->d_expert);
    put_int(w, "expert_gating_func", a->router == ARCH_ROUTER_NOAUX ? 2 : 1);
    put_float(w, "expert_weights_scale", (double)a->routed_scaling_factor);
    if (!w->rc)
        w->rc = gguf_writer_bool(w->out, key_of(w, "expert_weights_norm", key), a->norm_topk_prob,
                                 w->err);
    if (a->n_group > 1) {
        put_int(w, "expert_group_count", a->n_group);
        put_int(w, "expert_group_used_count", a->topk_group);
    }
}

/* The absorbed form has one head of keys, as wide as a cached row. */
static void put_mla(struct writer *w, const struct arch *a)
{
    put_int(w, "attention.head_count_kv", 1);
    put_int(w, "attention.key_length", a->kv_lora_rank + a->qk_rope_dim);
    put_int(w, "attention.value_length", a->kv_lora_rank);
    put_int(w, "attention.key_length_mla", a->qk_nope_dim + a->qk_rope_dim);
    put_int(w, "attention.value_length_mla", a->v_head_dim);
    if (a->q_lora_rank)
        put_int(w, "attention.q_lora_rank", a->q_lora_rank);
    put_int(w, "attention.kv_lora_rank", a->kv_lora_rank);
    put_int(w, "rope.dimension_count", a->qk_rope_dim);
    if (a->n_experts)
        put_experts(w, a);
}

static void put_gqa(struct writer *w, const struct arch *a)
{
    put_int(w, "attention.head_count_kv", a->n_kv_heads);
    put_int(w, "attention.key_length", a->head_dim);
    put_int(w, "attention.value_length", a->head_dim);
    put_int(w, "rope.dimension_count", a->head_dim);
    if (a->sliding_window)
        put_int(w, "attention.sliding_window", a->sliding_window);
}

static void put_common(struct writer *w, const struct arch *a)
{
    put_int(w, "block_count", a->n_layers);
    put_int(w, "context_length", a->max_context);
    put_int(w, "embedding_length", a->d_model);
    put_int(w, "feed_forward_length", a->d_ff);
    put_int(w, "attention.head_count", a->n_heads);
    put_float(w, "attention.layer_norm_rms_epsilon", (double)a->rms_norm_eps);
    put_float(w, "rope.freq_base", a->rope_theta);
    put_int(w, "vocab_size", a->n_vocab);
}

/* Programs that read GGUF multiply cosine and sine by 1 in deepseek2, and by 0.1 ln(factor) + 1 in
 * the others, whatever a configuration says. */
static int check_expressible(const struct arch *a, struct mk_error *err)
{
    bool is_mla = a->attention == ARCH_MLA;
    bool unit = a->attention_factor == 1 ||
                (a->attention_factor == 0 && a->mscale > 0 && a->mscale == a->mscale_all_dim);

    if (a->scaling == ARCH_SCALING_YARN && (is_mla ? !unit : a->attention_factor != 0))
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "GGUF has no key for this size of YaRN's cosines: mscale %g, "
                            "mscale_all_dim %g, attention_factor %g",
                            a->mscale, a->mscale_all_dim, a->attention_factor);
    if (a->n_experts && a->moe_layer_freq != 1)
        return mk_error_set(err, MK_EUNSUPPORTED, "GGUF has no key for moe_layer_freq %d",
                            a->moe_layer_freq);
    if ((a->scaling == ARCH_SCALING_LLAMA3 || a->n_rope_freq_factors) &&
        strcmp(arch_gguf_name(a), "llama"))
        return mk_error_set(err, MK_EUNSUPPORTED, "GGUF has no rope factors for %s", a->model_type);
    if (a->scaling == ARCH_SCALING_LLAMA3 && a->head_dim / 2 > ARCH_MAX_ROPE_FACTORS)
        return mk_error_set(err, MK_EUNSUPPORTED, "head_dim is %d, expected at most %d",
                            a->head_dim, 2 * ARCH_MAX_ROPE_FACTORS);
    return 0;
}

const char *arch_gguf_name(const struct arch *a)
{
    if (a->attention == ARCH_MLA)
        return "deepseek2";
    return strncmp(a->model_type, "qwen", 4) ? "llama" : a->model_type;
}

int arch_to_gguf(const struct arch *a, struct gguf_writer *out, struct mk_error *err)
{
    struct writer w = {out, arch_gguf_name(a), err, 0};

    if (arch_check(a, "model", err) || check_expressible(a, err) ||
        gguf_writer_text(out, "general.architecture", w.family, strlen(w.family), err))
        return err->code;
    put_common(&w, a);
    if (a->attention == ARCH_MLA)
        put_mla(&w, a);
    else
        put_gqa(&w, a);
    put_scaling(&w, a);
    return w.rc;
}

int arch_rope_factors(const struct arch *a, float factors[ARCH_MAX_ROPE_FACTORS])
{
    int n = a->head_dim / 2;

    if (a->n_rope_freq_factors) {
        memcpy(factors, a->rope_freq_factors, (size_t)a->n_rope_freq_factors * sizeof *factors);
        return a->n_rope_freq_factors;
    }
    if (a->scaling != ARCH_SCALING_LLAMA3 || n > ARCH_MAX_ROPE_FACTORS)
        return 0;
    for (int i = 0; i < n; i++) {
        double wave = 2 * M_PI * pow(a->rope_theta, 2.0 * i / a->head_dim);
        double keep = (a->original_context / wave - a->low_freq_factor) /
                      (a->high_freq_factor - a->low_freq_factor);

        keep = fmin(fmax(keep, 0), 1);
        factors[i] = (float)(1 / ((1 - keep) / a->scaling_factor + keep));
    }
    return n;
}
