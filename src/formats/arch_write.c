/* arch_write.c: config.json of a converted model, as transformers reads it.
 *
 * In the older spelling (rope_theta beside rope_scaling), which transformers 4 and 5 and the other
 * engines all understand. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/arch.h"

/* jansson keeps count: setting on a missing object or a missing value fails, and one failure is
 * remembered until the end. */
struct writer {
    json_t *root;
    int failed;
};

static void put(struct writer *w, json_t *object, const char *key, json_t *value)
{
    w->failed |= json_object_set_new(object, key, value); /* refuses NULL */
}

static void put_int(struct writer *w, const char *key, int32_t v)
{
    put(w, w->root, key, json_integer(v));
}

static void put_bool(struct writer *w, const char *key, bool v)
{
    put(w, w->root, key, json_boolean(v));
}

static void put_text(struct writer *w, const char *key, const char *v)
{
    put(w, w->root, key, json_string(v));
}

/* A float's shortest decimal, so that 1e-6 does not become 9.9999999747524271e-07. */
static json_t *json_float(float f)
{
    double d = (double)f;

    for (int digits = 6; digits < 10; digits++) {
        char text[32];

        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtof(text, NULL) == f)
            return json_real(strtod(text, NULL));
    }
    return json_real(d);
}

/* ---- RoPE ----------------------------------------------------------------------------------- */

/* GGUF keeps only the factors that Llama 3's scaling comes to. The largest is its factor; any
 * blended one gives the context, with the band of 1 to 4 that all releases have. */
static int recognise_llama3(const struct arch *a, struct arch *scaled, struct mk_error *err)
{
    int n = a->n_rope_freq_factors;
    double factor = 1, original = 0;

    for (int i = 0; i < n; i++)
        factor = fmax(factor, (double)a->rope_freq_factors[i]);
    for (int i = 0; i < n; i++) {
        double given = (double)a->rope_freq_factors[i];
        double wave = 2 * M_PI * pow(a->rope_theta, 2.0 * i / a->head_dim);
        double smooth = (1 / given - 1 / factor) / (1 - 1 / factor);

        if (given > 1 && given < factor && !original)
            original = rint(wave * (1 + 3 * smooth));
    }
    for (int i = 0; i < n; i++) {
        double wave = 2 * M_PI * pow(a->rope_theta, 2.0 * i / a->head_dim);
        double smooth = fmin(fmax((original / wave - 1) / 3, 0), 1);
        double expected = 1 / ((1 - smooth) / factor + smooth);

        if (!(fabs(expected - (double)a->rope_freq_factors[i]) < 1e-3 * expected))
            return mk_error_set(err, MK_EUNSUPPORTED,
                                "rope_freqs.weight does not follow Llama 3's scaling, which is the "
                                "only one that config.json can state");
    }
    *scaled = *a;
    scaled->scaling = ARCH_SCALING_LLAMA3;
    scaled->scaling_factor = factor;
    scaled->low_freq_factor = 1;
    scaled->high_freq_factor = 4;
    scaled->original_context = (int32_t)original;
    return 0;
}

static void put_scaling(struct writer *w, const struct arch *a)
{
    static const char *const names[] = {"default", "linear", "yarn", "llama3"};
    json_t *o;

    if (a->scaling == ARCH_SCALING_NONE)
        return;
    o = json_object();
    put(w, o, "rope_type", json_string(names[a->scaling]));
    put(w, o, "factor", json_real(a->scaling_factor));
    if (a->scaling != ARCH_SCALING_LINEAR)
        put(w, o, "original_max_position_embeddings", json_integer(a->original_context));
    if (a->scaling == ARCH_SCALING_LLAMA3) {
        put(w, o, "low_freq_factor", json_real(a->low_freq_factor));
        put(w, o, "high_freq_factor", json_real(a->high_freq_factor));
    }
    if (a->scaling == ARCH_SCALING_YARN) {
        put(w, o, "type", json_string("yarn")); /* what DeepSeek's own code asks for */
        put(w, o, "beta_fast", json_real(a->beta_fast));
        put(w, o, "beta_slow", json_real(a->beta_slow));
        if (a->mscale > 0)
            put(w, o, "mscale", json_real(a->mscale));
        if (a->mscale_all_dim > 0)
            put(w, o, "mscale_all_dim", json_real(a->mscale_all_dim));
        if (a->attention_factor > 0)
            put(w, o, "attention_factor", json_real(a->attention_factor));
    }
    put(w, w->root, "rope_scaling", o);
}

/* ---- Families ------------------------------------------------------------------------------- */

static void put_experts(struct writer *w, const struct arch *a)
{
    static const char *const methods[] = {"", "greedy", "group_limited_greedy", "noaux_tc"};

    put_int(w, "n_routed_experts", a->n_experts);
    put_int(w, "num_experts_per_tok", a->n_experts_used);
    put_int(w, "n_shared_experts", a->n_shared_experts);
    put_int(w, "moe_intermediate_size", a->d_expert);
    put_int(w, "first_k_dense_replace", a->first_k_dense);
    put_int(w, "moe_layer_freq", a->moe_layer_freq);
    put_int(w, "n_group", a->n_group);
    put_int(w, "topk_group", a->topk_group);
    put_text(w, "topk_method", methods[a->router]);
    put_text(w, "scoring_func", a->router == ARCH_ROUTER_NOAUX ? "sigmoid" : "softmax");
    put_bool(w, "norm_topk_prob", a->norm_topk_prob);
    put(w, w->root, "routed_scaling_factor", json_float(a->routed_scaling_factor));
}

static void put_mla(struct writer *w, const struct arch *a)
{
    put(w, w->root, "q_lora_rank", a->q_lora_rank ? json_integer(a->q_lora_rank) : json_null());
    put_int(w, "kv_lora_rank", a->kv_lora_rank);
    put_int(w, "qk_nope_head_dim", a->qk_nope_dim);
    put_int(w, "qk_rope_head_dim", a->qk_rope_dim);
    put_int(w, "v_head_dim", a->v_head_dim);
    put_int(w, "num_nextn_predict_layers", a->n_mtp);
    put_bool(w, "attention_bias", false);
    if (a->n_experts)
        put_experts(w, a);
}

static void put_gqa(struct writer *w, const struct arch *a)
{
    bool is_mistral = !strcmp(a->model_type, "mistral");

    put_int(w, "head_dim", a->head_dim);
    if (!is_mistral && strcmp(a->model_type, "qwen2"))
        put_bool(w, "attention_bias", a->attention_bias);
    if (is_mistral)
        put(w, w->root, "sliding_window",
            a->sliding_window ? json_integer(a->sliding_window) : json_null());
    else if (!strncmp(a->model_type, "qwen", 4))
        put_bool(w, "use_sliding_window", false);
}

static void put_common(struct writer *w, const struct arch *a)
{
    put_text(w, "model_type", a->model_type);
    put_int(w, "vocab_size", a->n_vocab);
    put_int(w, "hidden_size", a->d_model);
    put_int(w, "num_hidden_layers", a->n_layers);
    put_int(w, "num_attention_heads", a->n_heads);
    put_int(w, "num_key_value_heads", a->n_kv_heads);
    put_int(w, "intermediate_size", a->d_ff);
    put_int(w, "max_position_embeddings", a->max_context);
    put_text(w, "hidden_act", "silu");
    put(w, w->root, "rms_norm_eps", json_float(a->rms_norm_eps));
    put_bool(w, "tie_word_embeddings", a->tie_word_embeddings);
    put(w, w->root, "rope_theta", json_real(a->rope_theta));
}

static void put_ids(struct writer *w, const struct arch *a)
{
    json_t *ids;

    put(w, w->root, "bos_token_id", a->bos_id < 0 ? json_null() : json_integer(a->bos_id));
    if (a->n_eos_ids <= 1) {
        put(w, w->root, "eos_token_id", a->n_eos_ids ? json_integer(a->eos_ids[0]) : json_null());
        return;
    }
    ids = json_array();
    for (int i = 0; i < a->n_eos_ids; i++)
        w->failed |= json_array_append_new(ids, json_integer(a->eos_ids[i]));
    put(w, w->root, "eos_token_id", ids);
}

static void put_quantization(struct writer *w, const struct arch *a)
{
    json_t *q;

    if (!a->fp8_block[0])
        return;
    q = json_object();
    put(w, q, "quant_method", json_string("fp8"));
    put(w, q, "fmt", json_string("e4m3"));
    put(w, q, "activation_scheme", json_string("dynamic"));
    put(w, q, "weight_block_size", json_pack("[ii]", a->fp8_block[0], a->fp8_block[1]));
    put(w, w->root, "quantization_config", q);
}

/* What config.json has no key for: the reader of a file never gives such a combination to a model
 * type, but a GGUF of another converter may. */
static int check_expressible(const struct arch *a, struct mk_error *err)
{
    bool is_qwen2 = !strcmp(a->model_type, "qwen2");

    if (a->attention == ARCH_GQA && a->attention_bias != is_qwen2)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "config.json of %s cannot say whether q, k and v have biases",
                            a->model_type);
    if (a->sliding_window && strcmp(a->model_type, "mistral"))
        return mk_error_set(err, MK_EUNSUPPORTED, "config.json of %s cannot state a window of %d",
                            a->model_type, a->sliding_window);
    return 0;
}

/* Without "ForCausalLM". */
static const char *class_of(const char *model_type)
{
    static const char *const names[][2] = {
        {"deepseek_v2", "DeepseekV2"},
        {"deepseek_v3", "DeepseekV3"},
        {"llama", "Llama"},
        {"mistral", "Mistral"},
        {"qwen2", "Qwen2"},
        {"qwen3", "Qwen3"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i][0], model_type))
            return names[i][1];
    return "";
}

/* What scores has one label: transformers makes score.weight as high as there are labels. */
static void put_class(struct writer *w, const struct arch *a)
{
    char name[80];

    snprintf(name, sizeof name, "%s%s", class_of(a->model_type),
             a->scored ? "ForSequenceClassification" : "ForCausalLM");
    put(w, w->root, "architectures", json_pack("[s]", name));
    if (!a->scored)
        return;
    put(w, w->root, "id2label", json_pack("{s:s}", "0", "reward"));
    put(w, w->root, "label2id", json_pack("{s:i}", "reward", 0));
}

int arch_to_hf(const struct arch *a, const char *torch_dtype, char **json, struct mk_error *err)
{
    struct arch scaled;
    struct writer w = {json_object(), 0};

    *json = NULL;
    if (arch_check(a, "config.json", err) || check_expressible(a, err) ||
        (a->n_rope_freq_factors && recognise_llama3(a, &scaled, err))) {
        json_decref(w.root);
        return err->code;
    }
    a = a->n_rope_freq_factors ? &scaled : a;
    put_class(&w, a);
    put_common(&w, a);
    if (a->attention == ARCH_MLA)
        put_mla(&w, a);
    else
        put_gqa(&w, a);
    put_scaling(&w, a);
    put_ids(&w, a);
    put_quantization(&w, a);
    if (torch_dtype)
        put_text(&w, "torch_dtype", torch_dtype);
    if (!w.failed)
        *json = json_dumps(w.root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(w.root);
    return *json ? 0 : mk_error_memory(err, sizeof *a);
}
