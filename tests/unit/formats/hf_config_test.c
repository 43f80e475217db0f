/* hf_config_test.c: what arch_from_hf makes of good, official and hostile config.json files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/map_file.h"
#include "base/rng.h"
#include "formats/arch.h"

#define MODELS "tests/golden/models/"
#define N(table) (sizeof(table) / sizeof *(table))

static struct arch read_golden(const char *name)
{
    char dir[256];
    struct arch a;
    struct mk_error err = {0};

    snprintf(dir, sizeof dir, MODELS "%s", name);
    if (arch_from_hf(&a, dir, &err))
        fail_msg("%s", err.text);
    return a;
}

/* The values of tools/golden/shapes.py. */
static void mla_models_read_to_the_shapes_they_were_made_with(void **state)
{
    static const struct {
        const char *name, *type;
        int32_t n_layers, n_mtp, q_lora, n_experts, used, shared, n_group, topk_group, original;
        enum arch_router router;
        float routed_scale;
        double beta_fast, mscale;
    } want[] = {
        {"v2-lite", "deepseek_v2", 3, 0, 0, 10, 3, 2, 1, 1, 256, ARCH_ROUTER_SOFTMAX, 1, 4, .707},
        {"v2-groups", "deepseek_v2", 2, 0, 44, 12, 4, 2, 4, 2, 64, ARCH_ROUTER_GROUP_MAX, 4, 32,
         .707},
        {"v3", "deepseek_v3", 3, 1, 44, 12, 4, 1, 4, 2, 64, ARCH_ROUTER_NOAUX, 2.5f, 32, 1},
        {"v3-bf16", "deepseek_v3", 3, 1, 44, 12, 4, 1, 4, 2, 64, ARCH_ROUTER_NOAUX, 2.5f, 32, 1},
        {"v3-noq", "deepseek_v3", 2, 0, 0, 9, 3, 1, 1, 1, 0, ARCH_ROUTER_NOAUX, 2.5f, 32, 0},
    };

    (void)state;
    for (size_t i = 0; i < N(want); i++) {
        struct arch a = read_golden(want[i].name);

        assert_string_equal(a.model_type, want[i].type);
        assert_int_equal(a.attention, ARCH_MLA);
        assert_int_equal(a.rope, ARCH_ROPE_INTERLEAVED);
        assert_int_equal(a.n_layers, want[i].n_layers);
        assert_int_equal(a.n_mtp, want[i].n_mtp);
        assert_int_equal(a.q_lora_rank, want[i].q_lora);
        assert_int_equal(a.n_experts, want[i].n_experts);
        assert_int_equal(a.n_experts_used, want[i].used);
        assert_int_equal(a.n_shared_experts, want[i].shared);
        assert_int_equal(a.n_group, want[i].n_group);
        assert_int_equal(a.topk_group, want[i].topk_group);
        assert_int_equal(a.router, want[i].router);
        assert_true(a.routed_scaling_factor == want[i].routed_scale);
        assert_int_equal(a.norm_topk_prob, want[i].router == ARCH_ROUTER_NOAUX);
        assert_int_equal(a.scaling, want[i].original ? ARCH_SCALING_YARN : ARCH_SCALING_NONE);
        assert_int_equal(a.original_context, want[i].original);
        assert_true(a.scaling_factor == (want[i].original ? 40 : 1));
        assert_true(a.beta_fast == want[i].beta_fast && a.beta_slow == 1);
        assert_true(a.mscale == want[i].mscale && a.mscale_all_dim == want[i].mscale);
        assert_int_equal(a.d_model, 80);
        assert_int_equal(a.n_heads, 4);
        assert_int_equal(a.n_kv_heads, 4);
        assert_int_equal(a.head_dim, 0);
        assert_int_equal(a.kv_lora_rank, 36);
        assert_int_equal(a.qk_nope_dim, 24);
        assert_int_equal(a.qk_rope_dim, 16);
        assert_int_equal(a.v_head_dim, 20);
        assert_int_equal(a.d_ff, 116);
        assert_int_equal(a.d_expert, 28);
        assert_int_equal(a.first_k_dense, 1);
    }
}

static void fp8_model_keeps_its_block_size(void **state)
{
    struct arch a = read_golden("v3-fp8"), plain = read_golden("v3");

    (void)state;
    assert_int_equal(a.fp8_block[0], 128);
    assert_int_equal(a.fp8_block[1], 128);
    assert_int_equal(plain.fp8_block[0], 0);
    assert_int_equal(a.d_model, 148);
    assert_int_equal(a.kv_lora_rank, 134);
    assert_int_equal(a.v_head_dim, 36);
    assert_int_equal(a.d_expert, 130);
}

static void gqa_models_read_to_the_shapes_they_were_made_with(void **state)
{
    static const struct {
        const char *name, *type;
        int32_t n_kv, head_dim, window;
        bool bias, qk_norm, tied;
        float eps;
        double theta;
    } want[] = {
        {"qwen2-tied", "qwen2", 2, 18, 0, true, false, true, 1e-6f, 1e4},
        {"qwen2-untied", "qwen2", 1, 18, 0, true, false, false, 1e-5f, 1e6},
        {"qwen3", "qwen3", 2, 22, 0, false, true, false, 1e-6f, 1e6},
        {"llama3", "llama", 2, 18, 0, false, false, false, 1e-5f, 1e4},
        {"mistral", "mistral", 2, 18, 16, false, false, false, 1e-6f, 1e4},
    };

    (void)state;
    for (size_t i = 0; i < N(want); i++) {
        struct arch a = read_golden(want[i].name);

        assert_string_equal(a.model_type, want[i].type);
        assert_int_equal(a.attention, ARCH_GQA);
        assert_int_equal(a.rope, ARCH_ROPE_HALF);
        assert_int_equal(a.n_layers, 2);
        assert_int_equal(a.d_model, 72);
        assert_int_equal(a.d_ff, 116);
        assert_int_equal(a.n_vocab, 517);
        assert_int_equal(a.n_heads, 4);
        assert_int_equal(a.n_kv_heads, want[i].n_kv);
        assert_int_equal(a.head_dim, want[i].head_dim);
        assert_int_equal(a.sliding_window, want[i].window);
        assert_int_equal(a.attention_bias, want[i].bias);
        assert_int_equal(a.qk_norm, want[i].qk_norm);
        assert_int_equal(a.tie_word_embeddings, want[i].tied);
        assert_true(a.rms_norm_eps == want[i].eps);
        assert_true(a.rope_theta == want[i].theta);
        assert_int_equal(a.n_experts, 0);
        assert_int_equal(a.router, ARCH_ROUTER_NONE);
    }
}

static void llama3_scaling_is_read_whole(void **state)
{
    struct arch a = read_golden("llama3");

    (void)state;
    assert_int_equal(a.scaling, ARCH_SCALING_LLAMA3);
    assert_true(a.scaling_factor == 8 && a.low_freq_factor == 1 && a.high_freq_factor == 4);
    assert_int_equal(a.original_context, 160);
}

static void generation_config_gives_the_sampling_defaults(void **state)
{
    struct arch a = read_golden("v3");

    (void)state;
    assert_int_equal(a.bos_id, 0);
    assert_int_equal(a.n_eos_ids, 1);
    assert_int_equal(a.eos_ids[0], 1);
    assert_true(a.temperature == 0.6 && a.top_p == 0.95);
    assert_int_equal(a.top_k, -1);
}

/* ---- Hostile text --------------------------------------------------------------------------- */

#define LLAMA                                                                                      \
    "\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":64,\"vocab_size\":100,"      \
    "\"intermediate_size\":96,\"max_position_embeddings\":128"
#define HEADS "\"num_attention_heads\":4"

static int read_text(struct arch *a, const char *json, struct mk_error *err)
{
    *err = (struct mk_error){0};
    return arch_from_hf_text(a, "config.json", json, strlen(json), err);
}

static void a_wrong_value_is_refused_by_name(void **state)
{
    static const struct {
        const char *json, *says;
        int code;
    } rows[] = {
        {"", "not JSON", MK_EFORMAT},
        {"[]", "not a JSON object", MK_EFORMAT},
        {"{}", "model_type is missing", MK_EFORMAT},
        {"\xef\xbb\xbf{}", "not JSON", MK_EFORMAT},
        {"{\"model_type\":7}", "model_type is 7", MK_EUNSUPPORTED},
        {"{\"model_type\":\"deepseek_v4\"}", "model_type is \"deepseek_v4\"", MK_EUNSUPPORTED},
        {"{" LLAMA "}", "num_attention_heads is missing", MK_EFORMAT},
        {"{" LLAMA "," HEADS "," HEADS "}", "duplicate", MK_EFORMAT},
        {"{" LLAMA "," HEADS "} x", "not JSON", MK_EFORMAT},
        {"{" LLAMA ",\"num_attention_heads\":0}", "num_attention_heads is 0, expected 1",
         MK_EFORMAT},
        {"{" LLAMA ",\"num_attention_heads\":-4}", "num_attention_heads is -4", MK_EFORMAT},
        {"{" LLAMA ",\"num_attention_heads\":\"4\"}", "num_attention_heads is \"4\"", MK_EFORMAT},
        {"{" LLAMA ",\"num_attention_heads\":4.5}", "num_attention_heads is 4.5", MK_EFORMAT},
        {"{" LLAMA ",\"num_attention_heads\":[4]}", "num_attention_heads is a list", MK_EFORMAT},
        {"{" LLAMA ",\"num_attention_heads\":4294967300}", "is 4294967300, expected", MK_EFORMAT},
        {"{" LLAMA ",\"num_attention_heads\":99999999999999999999}", "not JSON", MK_EFORMAT},
        {"{" LLAMA ",\"num_attention_heads\":1e400}", "not JSON", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"num_key_value_heads\":3}", "expected a multiple", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"head_dim\":7}", "head_dim is 7, expected an even", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"head_dim\":100000}", "head_dim is 100000", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"rms_norm_eps\":-1}", "rms_norm_eps is -1", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"rope_theta\":0}", "rope_theta is 0", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"rope_theta\":true}", "rope_theta is true", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"attention_bias\":true}", "attention_bias", MK_EUNSUPPORTED},
        {"{" LLAMA "," HEADS ",\"mlp_bias\":true}", "mlp_bias", MK_EUNSUPPORTED},
        {"{" LLAMA "," HEADS ",\"hidden_act\":\"gelu\"}", "hidden_act", MK_EUNSUPPORTED},
        {"{" LLAMA "," HEADS ",\"partial_rotary_factor\":0.5}", "partial_rotary", MK_EUNSUPPORTED},
        {"{" LLAMA "," HEADS ",\"rope_scaling\":7}", "rope_scaling is 7", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"rope_scaling\":{\"factor\":2}}", "no rope_type", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"rope_scaling\":{\"type\":3}}", "type is 3", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"rope_scaling\":{\"rope_type\":3,\"type\":\"yarn\"}}",
         "rope_type is 3", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}}", "'dynamic'",
         MK_EUNSUPPORTED},
        {"{" LLAMA "," HEADS ",\"rope_scaling\":{\"type\":\"yarn\"}}", "factor is missing",
         MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":-2}}",
         "factor is -2", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"bos_token_id\":100}", "bos_token_id is 100", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"eos_token_id\":[1,-1]}", "eos_token_id is -1", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"eos_token_id\":[1,2,3,4,5,6,7,8,9]}", "9 ids", MK_EFORMAT},
        {"{" LLAMA "," HEADS ",\"quantization_config\":{\"quant_method\":\"awq\"}}", "'awq'",
         MK_EUNSUPPORTED},
        {"{" LLAMA "," HEADS ",\"quantization_config\":{\"quant_method\":\"fp8\"}}",
         "no weight_block_size", MK_EUNSUPPORTED},
        {"{" LLAMA "," HEADS
         ",\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[128,0]}}",
         "weight_block_size is 0", MK_EFORMAT},
    };
    struct arch a;
    struct mk_error err;

    (void)state;
    assert_int_equal(read_text(&a, "{" LLAMA "," HEADS "}", &err), 0);
    for (size_t i = 0; i < N(rows); i++) {
        if (read_text(&a, rows[i].json, &err) != rows[i].code || !strstr(err.text, rows[i].says))
            fail_msg("%s\ngave %d %s", rows[i].json, err.code, err.text);
        assert_true(!strncmp(err.text, "config.json: ", 13));
    }
}

static void deep_nesting_is_refused(void **state)
{
    static char deep[200001];
    struct arch a;
    struct mk_error err;

    (void)state;
    memset(deep, '[', sizeof deep - 1);
    assert_int_equal(read_text(&a, deep, &err), MK_EFORMAT);
    for (int i = 0; i < 199998; i += 6)
        memcpy(deep + i, "{\"a\":[", 6);
    assert_int_equal(read_text(&a, deep, &err), MK_EFORMAT);
}

/* A model folder's config with one piece of text replaced. */
static int read_with(struct arch *a, const char *model, const char *from, const char *to,
                     struct mk_error *err)
{
    char path[256], *text, *at;
    struct map_file m;
    int rc;

    snprintf(path, sizeof path, MODELS "%s/config.json", model);
    assert_int_equal(map_file_open(&m, path, err), 0);
    text = calloc(1, m.bytes + strlen(to) + 1);
    assert_non_null(text);
    memcpy(text, m.data, m.bytes);
    map_file_close(&m);
    at = strstr(text, from);
    if (!at)
        fail_msg("%s does not have %s", path, from);
    memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    memcpy(at, to, strlen(to));
    rc = read_text(a, text, err);
    free(text);
    return rc;
}

static void combinations_of_deepseek_are_checked(void **state)
{
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"n_group\": 4", "\"n_group\": 5", "n_group is 5, expected a divisor"},
        {"\"n_group\": 4", "\"n_group\": 12", "n_group is 12, expected at most 6"},
        {"\"topk_group\": 2", "\"topk_group\": 5", "topk_group is 5"},
        {"\"topk_group\": 2", "\"topk_group\": 1",
         "num_experts_per_tok is 4, expected at most the 3"},
        {"\"num_experts_per_tok\": 4", "\"num_experts_per_tok\": 13", "num_experts_per_tok is 13"},
        {"\"num_experts_per_tok\": 4", "\"num_experts_per_tok\": null", "is missing"},
        {"\"num_key_value_heads\": 4", "\"num_key_value_heads\": 2", "num_key_value_heads is 2"},
        {"\"qk_rope_head_dim\": 16", "\"qk_rope_head_dim\": 15", "qk_rope_head_dim is 15"},
        {"\"first_k_dense_replace\": 1", "\"first_k_dense_replace\": 4", "expected at most 3"},
        {"\"sigmoid\"", "\"sqrtsoftplus\"", "'sqrtsoftplus'"},
        {"\"beta_fast\": 32.0", "\"beta_fast\": 0.5", "beta_fast is 0.5"},
        {"\"kv_lora_rank\": 36", "\"kv_lora_rank\": -36", "kv_lora_rank is -36"},
        {"\"n_routed_experts\": 12", "\"n_routed_experts\": -12", "n_routed_experts is -12"},
        {"\"num_nextn_predict_layers\": 1", "\"num_nextn_predict_layers\": 99", "is 99"},
    };
    struct arch a;
    struct mk_error err;

    (void)state;
    for (size_t i = 0; i < N(rows); i++)
        if (!read_with(&a, "v3", rows[i].from, rows[i].to, &err) || !strstr(err.text, rows[i].says))
            fail_msg("%s gave %d %s", rows[i].to, err.code, err.text);
}

static void sliding_windows_follow_the_family(void **state)
{
    struct arch a;
    struct mk_error err;

    (void)state;
    assert_int_equal(
        read_with(&a, "mistral", "\"sliding_window\": 16", "\"sliding_window\": null", &err), 0);
    assert_int_equal(a.sliding_window, 0);
    assert_int_equal(read_with(&a, "mistral", "\"sliding_window\": 16", "\"x\": 1", &err), 0);
    assert_int_equal(a.sliding_window, 4096);
    /* Qwen: an unused window is ignored, one that begins above the last layer too. */
    assert_int_equal(
        read_with(&a, "qwen3", "\"sliding_window\": null", "\"sliding_window\": 8", &err), 0);
    assert_int_equal(a.sliding_window, 0);
    assert_int_equal(read_with(&a, "qwen3", "\"use_sliding_window\": false",
                               "\"use_sliding_window\": true", &err),
                     0);
    assert_int_equal(read_with(&a, "qwen3", "\"full_attention\"", "\"sliding_attention\"", &err),
                     MK_EUNSUPPORTED);
}

#if defined(__SANITIZE_ADDRESS__)
enum { N_MUTATIONS = 10000 };
#else
enum { N_MUTATIONS = 500 };
#endif

static void no_truncation_and_no_mutation_does_harm(void **state)
{
    struct map_file m;
    struct mk_error err;
    struct arch a;
    uint32_t r[4];
    char *copy;

    (void)state;
    assert_int_equal(map_file_open(&m, MODELS "v3/config.json", &err), 0);
    for (size_t n = 0; n + 2 < m.bytes; n++) { /* the last byte may be a newline */
        copy = malloc(n + 1); /* of its own size, so that ASan sees a read past it */
        assert_non_null(copy);
        memcpy(copy + 1, m.data, n);
        assert_int_equal(arch_from_hf_text(&a, "c", copy + 1, n, &err), MK_EFORMAT);
        free(copy);
    }
    copy = malloc(m.bytes);
    assert_non_null(copy);
    for (int i = 0; i < N_MUTATIONS; i++) {
        memcpy(copy, m.data, m.bytes);
        for (uint64_t j = 0; j <= (uint64_t)(i % 4); j++) {
            rng_words(7, (uint64_t)i, j, r);
            copy[r[0] % m.bytes] = "0123456789-.e\"{}[],:tn\\ "[r[1] % 24];
        }
        if (!arch_from_hf_text(&a, "c", copy, m.bytes, &err))
            assert_int_equal(arch_check(&a, "c", &err), 0);
    }
    free(copy);
    map_file_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mla_models_read_to_the_shapes_they_were_made_with),
        cmocka_unit_test(fp8_model_keeps_its_block_size),
        cmocka_unit_test(gqa_models_read_to_the_shapes_they_were_made_with),
        cmocka_unit_test(llama3_scaling_is_read_whole),
        cmocka_unit_test(generation_config_gives_the_sampling_defaults),
        cmocka_unit_test(a_wrong_value_is_refused_by_name),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(combinations_of_deepseek_are_checked),
        cmocka_unit_test(sliding_windows_follow_the_family),
        cmocka_unit_test(no_truncation_and_no_mutation_does_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
