/* hf_config.c: config.json and generation_config.json of Hugging Face checkpoints.
 *
 * One list of keys a family; what a key's absence means is what transformers makes of it. An option
 * that would change the arithmetic and is not known here is refused by name, never ignored. */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/map_file.h"
#include "formats/arch.h"

#define MAX_CONFIG_BYTES (4u << 20)

struct config {
    const json_t *root;
    const char *name; /* of the file, for messages */
    struct mk_error *err;
};

enum kind { INT, BOOL, FLOAT, DOUBLE };
struct field {
    const char *key;
    size_t offset;
    enum kind kind;
    bool required; /* otherwise absence, or null, leaves what is there */
};
#define FIELD(f) offsetof(struct arch, f)

static const struct field common_fields[] = {
    {"num_hidden_layers", FIELD(n_layers), INT, true},
    {"hidden_size", FIELD(d_model), INT, true},
    {"vocab_size", FIELD(n_vocab), INT, true},
    {"num_attention_heads", FIELD(n_heads), INT, true},
    {"intermediate_size", FIELD(d_ff), INT, true},
    {"max_position_embeddings", FIELD(max_context), INT, true},
    {"rms_norm_eps", FIELD(rms_norm_eps), FLOAT, false},
    {"tie_word_embeddings", FIELD(tie_word_embeddings), BOOL, false},
};
static const struct field mla_fields[] = {
    {"q_lora_rank", FIELD(q_lora_rank), INT, false},
    {"kv_lora_rank", FIELD(kv_lora_rank), INT, true},
    {"qk_nope_head_dim", FIELD(qk_nope_dim), INT, true},
    {"qk_rope_head_dim", FIELD(qk_rope_dim), INT, true},
    {"v_head_dim", FIELD(v_head_dim), INT, true},
    {"num_nextn_predict_layers", FIELD(n_mtp), INT, false},
    {"num_mtp_layers", FIELD(n_mtp), INT, false}, /* transformers 5's name of the same */
    {"n_routed_experts", FIELD(n_experts), INT, false},
};
static const struct field moe_fields[] = {
    {"num_experts_per_tok", FIELD(n_experts_used), INT, true},
    {"n_shared_experts", FIELD(n_shared_experts), INT, false},
    {"moe_intermediate_size", FIELD(d_expert), INT, true},
    {"first_k_dense_replace", FIELD(first_k_dense), INT, true},
    {"moe_layer_freq", FIELD(moe_layer_freq), INT, false},
    {"norm_topk_prob", FIELD(norm_topk_prob), BOOL, true},
    {"routed_scaling_factor", FIELD(routed_scaling_factor), FLOAT, true},
};
static const struct field group_fields[] = {
    {"n_group", FIELD(n_group), INT, true},
    {"topk_group", FIELD(topk_group), INT, true},
};
static const struct field yarn_fields[] = {
    {"factor", FIELD(scaling_factor), DOUBLE, true},
    {"original_max_position_embeddings", FIELD(original_context), INT, false},
    {"beta_fast", FIELD(beta_fast), DOUBLE, false},
    {"beta_slow", FIELD(beta_slow), DOUBLE, false},
    {"mscale", FIELD(mscale), DOUBLE, false},
    {"mscale_all_dim", FIELD(mscale_all_dim), DOUBLE, false},
    {"attention_factor", FIELD(attention_factor), DOUBLE, false},
};
static const struct field llama3_fields[] = {
    {"factor", FIELD(scaling_factor), DOUBLE, true},
    {"low_freq_factor", FIELD(low_freq_factor), DOUBLE, true},
    {"high_freq_factor", FIELD(high_freq_factor), DOUBLE, true},
    {"original_max_position_embeddings", FIELD(original_context), INT, true},
};
static const struct field linear_fields[] = {
    {"factor", FIELD(scaling_factor), DOUBLE, true},
};
static const struct field generation_fields[] = {
    {"temperature", FIELD(temperature), DOUBLE, false},
    {"top_p", FIELD(top_p), DOUBLE, false},
    {"top_k", FIELD(top_k), INT, false},
};
#define N(table) (int)(sizeof(table) / sizeof *(table))

/* ---- Single values: each says what it found and what it expected ---------------------------- */

/* NULL when the key is absent or null. */
static const json_t *value_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    return json_is_null(v) ? NULL : v;
}

static const char *describe(const json_t *v, char *space, size_t n)
{
    static const char *const names[] = {"an object", "a list", "text",  "",
                                        "",          "true",   "false", "null"};

    if (json_is_integer(v))
        snprintf(space, n, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        snprintf(space, n, "%g", json_real_value(v));
    else if (json_is_string(v))
        snprintf(space, n, "\"%.60s\"", json_string_value(v));
    else
        snprintf(space, n, "%s",
                 v && json_typeof(v) < N(names) ? names[json_typeof(v)] : "missing");
    return space;
}

static int wrong(const struct config *c, const char *key, const json_t *v, const char *expected)
{
    char found[96];

    return mk_error_set(c->err, MK_EFORMAT, "%s: %s is %s, expected %s", c->name, key,
                        describe(v, found, sizeof found), expected);
}

static int unsupported(const struct config *c, const char *key, const json_t *v,
                       const char *expected)
{
    wrong(c, key, v, expected);
    return c->err->code = MK_EUNSUPPORTED;
}

static int read_int(const struct config *c, const char *key, const json_t *v, int32_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < INT32_MIN ||
        json_integer_value(v) > INT32_MAX)
        return wrong(c, key, v, "a whole number of 32 bits");
    *out = (int32_t)json_integer_value(v);
    return 0;
}

static int read_field(const struct config *c, const struct field *f, const json_t *v,
                      struct arch *a)
{
    char *out = (char *)a + f->offset;

    if (f->kind == INT)
        return read_int(c, f->key, v, (int32_t *)(void *)out);
    if (f->kind == BOOL) {
        if (!json_is_boolean(v))
            return wrong(c, f->key, v, "true or false");
        *(bool *)out = json_is_true(v);
        return 0;
    }
    if (!json_is_number(v))
        return wrong(c, f->key, v, "a number");
    if (f->kind == FLOAT)
        *(float *)(void *)out = (float)json_number_value(v);
    else
        *(double *)(void *)out = json_number_value(v);
    return 0;
}

static int read_fields(const struct config *c, const json_t *object, const struct field *fields,
                       int n, struct arch *a)
{
    for (int i = 0; i < n; i++) {
        const json_t *v = value_of(object, fields[i].key);

        if (!v && fields[i].required)
            return mk_error_set(c->err, MK_EFORMAT, "%s: %s is missing", c->name, fields[i].key);
        if (v && read_field(c, &fields[i], v, a))
            return c->err->code;
    }
    return 0;
}

/* `fallback` when absent; NULL, with the error set, when it is not text. */
static const char *read_text(const struct config *c, const json_t *object, const char *key,
                             const char *fallback)
{
    const json_t *v = value_of(object, key);

    if (!v)
        return fallback;
    if (!json_is_string(v)) {
        wrong(c, key, v, "text");
        return NULL;
    }
    return json_string_value(v);
}

/* Options whose other value minke does not compute: absent, null or `wanted`. */
static int refuse_unless(const struct config *c, const char *key, bool wanted)
{
    const json_t *v = value_of(c->root, key);

    if (!v || (wanted ? json_is_true(v) : json_is_false(v)))
        return 0;
    return unsupported(c, key, v, wanted ? "true" : "false");
}

/* ---- RoPE ----------------------------------------------------------------------------------- */

static int read_theta(const struct config *c, const json_t *object, struct arch *a)
{
    static const struct field theta = {"rope_theta", FIELD(rope_theta), DOUBLE, false};
    static const char partial[] = "partial_rotary_factor";
    const json_t *v = value_of(object, partial);

    if (v && json_number_value(v) != 1)
        return unsupported(c, partial, v, "1: all of a head is rotated");
    return read_fields(c, object, &theta, 1, a);
}

static int read_scaling(const struct config *c, const json_t *o, const char *type, struct arch *a)
{
    const json_t *truncate = value_of(o, "truncate");

    if (!strcmp(type, "default"))
        return 0;
    if (!strcmp(type, "linear")) {
        a->scaling = ARCH_SCALING_LINEAR;
        return read_fields(c, o, linear_fields, N(linear_fields), a);
    }
    if (!strcmp(type, "llama3")) {
        a->scaling = ARCH_SCALING_LLAMA3;
        return read_fields(c, o, llama3_fields, N(llama3_fields), a);
    }
    if (strcmp(type, "yarn"))
        return mk_error_set(c->err, MK_EUNSUPPORTED,
                            "%s: rope_type is '%.40s', expected default, linear, yarn or llama3",
                            c->name, type);
    if (truncate && !json_is_true(truncate))
        return unsupported(c, "truncate", truncate, "true");
    a->scaling = ARCH_SCALING_YARN;
    a->original_context = a->max_context;
    return read_fields(c, o, yarn_fields, N(yarn_fields), a);
}

/* rope_parameters holds everything; the older rope_scaling stands beside rope_theta and is null
 * where nothing is scaled. */
static int read_rope(const struct config *c, struct arch *a)
{
    const json_t *o = value_of(c->root, "rope_parameters");
    const char *key = o ? "rope_parameters" : "rope_scaling", *type;

    if (read_theta(c, c->root, a))
        return c->err->code;
    if (!o)
        o = value_of(c->root, "rope_scaling");
    if (!o)
        return 0;
    if (!json_is_object(o))
        return wrong(c, key, o, "an object or null");
    if (read_theta(c, o, a))
        return c->err->code;
    type = read_text(c, o, "rope_type", NULL);
    if (!type && value_of(o, "rope_type"))
        return c->err->code;
    type = type ? type : read_text(c, o, "type", "default");
    if (!type)
        return c->err->code;
    if (!strcmp(type, "default") && value_of(o, "factor"))
        return mk_error_set(c->err, MK_EFORMAT, "%s: %s has a factor but no rope_type", c->name,
                            key);
    return read_scaling(c, o, type, a);
}

/* ---- Families ------------------------------------------------------------------------------- */

static int read_kv_heads(const struct config *c, bool required, struct arch *a)
{
    const struct field f = {"num_key_value_heads", FIELD(n_kv_heads), INT, required};

    a->n_kv_heads = a->n_heads;
    return read_fields(c, c->root, &f, 1, a);
}

static int read_gqa(const struct config *c, bool needs_kv_heads, int32_t head_dim, struct arch *a)
{
    static const struct field width = {"head_dim", FIELD(head_dim), INT, false};

    a->attention = ARCH_GQA;
    a->rope = ARCH_ROPE_HALF;
    if (read_kv_heads(c, needs_kv_heads, a))
        return c->err->code;
    a->head_dim = head_dim ? head_dim : a->n_heads > 0 ? a->d_model / a->n_heads : 0;
    return read_fields(c, c->root, &width, 1, a);
}

/* transformers puts attention_bias on the output projection too, which no released model of these
 * families has. */
static int read_llama(const struct config *c, struct arch *a)
{
    if (refuse_unless(c, "attention_bias", false) || refuse_unless(c, "mlp_bias", false))
        return c->err->code;
    return read_gqa(c, false, 0, a);
}

/* Windows that cover some layers only are refused: the cache has one shape for all layers. */
static int check_layer_types(const struct config *c, struct arch *a)
{
    const json_t *types = value_of(c->root, "layer_types"), *v;
    const char *wanted = a->sliding_window ? "sliding_attention" : "full_attention";
    size_t i;

    if (!types)
        return 0;
    if (!json_is_array(types))
        return wrong(c, "layer_types", types, "a list");
    json_array_foreach(
        types, i, v) if (!json_is_string(v) ||
                         strcmp(json_string_value(v), wanted)) return unsupported(c, "layer_types",
                                                                                  v, wanted);
    return 0;
}

static int read_mistral(const struct config *c, struct arch *a)
{
    const json_t *window = json_object_get(c->root, "sliding_window");

    if (refuse_unless(c, "attention_bias", false) || read_gqa(c, true, 0, a))
        return c->err->code;
    a->sliding_window = 4096; /* what a config without the key means; null means none */
    if (json_is_null(window))
        a->sliding_window = 0;
    else if (window && read_int(c, "sliding_window", window, &a->sliding_window))
        return c->err->code;
    else if (a->sliding_window < 1)
        return wrong(c, "sliding_window", window, "1 or more, or null");
    return check_layer_types(c, a);
}

static int read_qwen(const struct config *c, struct arch *a)
{
    const json_t *use = value_of(c->root, "use_sliding_window");
    const json_t *first = value_of(c->root, "max_window_layers");
    bool qwen3 = !strcmp(a->model_type, "qwen3");
    int32_t first_windowed = 28;

    if (use && !json_is_boolean(use))
        return wrong(c, "use_sliding_window", use, "true or false");
    if (first && read_int(c, "max_window_layers", first, &first_windowed))
        return c->err->code;
    if (json_is_true(use) && first_windowed < a->n_layers)
        return unsupported(c, "use_sliding_window", use, "false: some layers only have a window");
    if (qwen3 && refuse_unless(c, "attention_bias", false))
        return c->err->code;
    a->attention_bias = !qwen3;
    a->qk_norm = qwen3;
    if (read_gqa(c, true, qwen3 ? 128 : 0, a))
        return c->err->code;
    return check_layer_types(c, a);
}

static int read_router(const struct config *c, struct arch *a)
{
    bool v3 = !strcmp(a->model_type, "deepseek_v3");
    const char *method = read_text(c, c->root, "topk_method", v3 ? "noaux_tc" : "greedy");
    const char *score =
        method ? read_text(c, c->root, "scoring_func", v3 ? "sigmoid" : "softmax") : NULL;

    if (!score)
        return c->err->code;
    if (!strcmp(method, "noaux_tc") && !strcmp(score, "sigmoid"))
        a->router = ARCH_ROUTER_NOAUX;
    else if (!strcmp(method, "group_limited_greedy") && !strcmp(score, "softmax"))
        a->router = ARCH_ROUTER_GROUP_MAX;
    else if (!strcmp(method, "greedy") && !strcmp(score, "softmax"))
        a->router = ARCH_ROUTER_SOFTMAX;
    else
        return mk_error_set(
            c->err, MK_EUNSUPPORTED,
            "%s: topk_method is '%.40s' with scoring_func '%.40s', expected noaux_tc "
            "with sigmoid, or greedy or group_limited_greedy with softmax",
            c->name, method, score);
    if (a->router == ARCH_ROUTER_SOFTMAX) /* ignores the groups that its config may still name */
        return 0;
    return read_fields(c, c->root, group_fields, N(group_fields), a);
}

/* head_dim is not read: transformers 5 writes qk_rope_head_dim there. */
static int read_deepseek(const struct config *c, struct arch *a)
{
    const json_t *interleave = value_of(c->root, "rope_interleave");

    a->attention = ARCH_MLA;
    a->rope = json_is_false(interleave) ? ARCH_ROPE_HALF : ARCH_ROPE_INTERLEAVED;
    if (interleave && !json_is_boolean(interleave))
        return wrong(c, "rope_interleave", interleave, "true or false");
    if (refuse_unless(c, "attention_bias", false) || refuse_unless(c, "mlp_bias", false) ||
        read_kv_heads(c, false, a) || read_fields(c, c->root, mla_fields, N(mla_fields), a))
        return c->err->code;
    if (!a->n_experts)
        return 0;
    if (read_fields(c, c->root, moe_fields, N(moe_fields), a))
        return c->err->code;
    return read_router(c, a);
}

static int read_family(const struct config *c, struct arch *a)
{
    const char *type = read_text(c, c->root, "model_type", "missing");

    if (!type)
        return c->err->code;
    snprintf(a->model_type, sizeof a->model_type, "%s", type);
    if (read_fields(c, c->root, common_fields, N(common_fields), a))
        return c->err->code;
    if (!strcmp(type, "deepseek_v2") || !strcmp(type, "deepseek_v3"))
        return read_deepseek(c, a);
    if (!strcmp(type, "llama"))
        return read_llama(c, a);
    if (!strcmp(type, "mistral"))
        return read_mistral(c, a);
    return read_qwen(c, a);
}

/* ---- The rest ------------------------------------------------------------------------------- */

static bool known_type(const json_t *type)
{
    static const char *const known[] = {"deepseek_v2", "deepseek_v3", "llama",
                                        "mistral",     "qwen2",       "qwen3"};

    for (int i = 0; i < N(known); i++)
        if (json_is_string(type) && !strcmp(json_string_value(type), known[i]))
            return true;
    return false;
}

static int read_quantization(const struct config *c, struct arch *a)
{
    const json_t *q = value_of(c->root, "quantization_config"), *block;
    const char *method, *format;

    if (!q)
        return 0;
    if (!json_is_object(q))
        return wrong(c, "quantization_config", q, "an object");
    method = read_text(c, q, "quant_method", "missing");
    format = method ? read_text(c, q, "fmt", "e4m3") : NULL;
    if (!format)
        return c->err->code;
    block = value_of(q, "weight_block_size");
    if (strcmp(method, "fp8") || strcmp(format, "e4m3") || !block)
        return mk_error_set(c->err, MK_EUNSUPPORTED,
                            "%s: quantization_config has quant_method '%.40s' and fmt '%.40s'%s, "
                            "expected fp8, e4m3 and a weight_block_size; take the model's GGUF or "
                            "BF16 files instead",
                            c->name, method, format, block ? "" : " but no weight_block_size");
    if (!json_is_array(block) || json_array_size(block) != 2)
        return wrong(c, "weight_block_size", block, "a list of two numbers");
    for (int i = 0; i < 2; i++) {
        if (read_int(c, "weight_block_size", json_array_get(block, (size_t)i), &a->fp8_block[i]))
            return c->err->code;
        if (a->fp8_block[i] < 1)
            return wrong(c, "weight_block_size", json_array_get(block, (size_t)i), "1 or more");
    }
    return 0;
}

/* An id or a list of ids; absent or null leaves what is there. */
static int read_eos(const struct config *c, struct arch *a)
{
    const json_t *v = value_of(c->root, "eos_token_id"), *id;
    size_t i;

    if (!v)
        return 0;
    if (!json_is_array(v)) {
        a->n_eos_ids = 1;
        return read_int(c, "eos_token_id", v, &a->eos_ids[0]);
    }
    if (json_array_size(v) > ARCH_MAX_EOS)
        return mk_error_set(c->err, MK_EFORMAT, "%s: eos_token_id has %zu ids, expected at most %d",
                            c->name, json_array_size(v), ARCH_MAX_EOS);
    a->n_eos_ids = (int32_t)json_array_size(v);
    json_array_foreach(v, i,
                       id) if (read_int(c, "eos_token_id", id, &a->eos_ids[i])) return c->err->code;
    return 0;
}

static int read_ids(const struct config *c, struct arch *a)
{
    static const struct field bos = {"bos_token_id", FIELD(bos_id), INT, false};

    if (read_fields(c, c->root, &bos, 1, a))
        return c->err->code;
    return read_eos(c, a);
}

/* "LlamaForSequenceClassification": transformers' class for what scores texts. */
static bool is_scored(const struct config *c)
{
    static const char suffix[] = "ForSequenceClassification";
    const json_t *names = json_object_get(c->root, "architectures");
    const char *name = json_string_value(json_array_get(names, 0));
    size_t n = name ? strlen(name) : 0;

    return n > sizeof suffix - 1 && !strcmp(name + n - (sizeof suffix - 1), suffix);
}

static int read_config(const struct config *c, struct arch *a)
{
    const json_t *type = json_object_get(c->root, "model_type");
    const json_t *act = value_of(c->root, "hidden_act");

    if (!type)
        return mk_error_set(c->err, MK_EFORMAT, "%s: model_type is missing", c->name);
    if (!known_type(type))
        return unsupported(c, "model_type", type,
                           "deepseek_v2, deepseek_v3, llama, mistral, qwen2 or qwen3");
    if (act && (!json_is_string(act) || (strcmp(json_string_value(act), "silu") &&
                                         strcmp(json_string_value(act), "swish"))))
        return unsupported(c, "hidden_act", act, "silu");
    a->scored = is_scored(c);
    if (read_family(c, a) || read_rope(c, a) || read_quantization(c, a) || read_ids(c, a))
        return c->err->code;
    return arch_check(a, c->name, c->err);
}

static int read_generation_config(const struct config *c, struct arch *a)
{
    if (read_ids(c, a) || read_fields(c, c->root, generation_fields, N(generation_fields), a))
        return c->err->code;
    return arch_check(a, c->name, c->err);
}

static int read_text_with(struct arch *a, const char *name, const char *json, uint64_t bytes,
                          int (*read)(const struct config *, struct arch *), struct mk_error *err)
{
    json_error_t fault;
    json_t *root;
    int rc;

    if (bytes > MAX_CONFIG_BYTES)
        return mk_error_set(err, MK_ELIMIT, "%s: %llu bytes, expected at most %u", name,
                            (unsigned long long)bytes, MAX_CONFIG_BYTES);
    root = json_loadb(json ? json : "", (size_t)bytes, JSON_REJECT_DUPLICATES, &fault);
    if (!root)
        return mk_error_set(err, MK_EFORMAT, "%s: line %d: not JSON: %s", name, fault.line,
                            fault.text);
    if (json_is_object(root))
        rc = read(&(struct config){root, name, err}, a);
    else
        rc = mk_error_set(err, MK_EFORMAT, "%s: not a JSON object", name);
    json_decref(root);
    return rc;
}

int arch_from_hf_text(struct arch *a, const char *name, const char *json, uint64_t bytes,
                      struct mk_error *err)
{
    arch_init(a);
    return read_text_with(a, name, json, bytes, read_config, err);
}

static int read_file(struct arch *a, const char *dir, const char *name,
                     int (*read)(const struct config *, struct arch *), struct mk_error *err)
{
    char path[4096];
    struct map_file m;
    int rc;

    if (map_file_open_in(&m, dir, name, err))
        return err->code;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    rc = read_text_with(a, path, (const char *)m.data, m.bytes, read, err);
    map_file_close(&m);
    return rc;
}

int arch_from_hf(struct arch *a, const char *dir, struct mk_error *err)
{
    int rc;

    arch_init(a);
    if (read_file(a, dir, "config.json", read_config, err))
        return err->code;
    rc = read_file(a, dir, "generation_config.json", read_generation_config, err);
    return rc == MK_ENOTFOUND ? 0 : rc;
}
