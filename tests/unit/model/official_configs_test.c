/* official_configs_test.c: what minke makes of the released models' configurations: dimensions,
 * counts, cache, RoPE, and every tensor by name and shape.
 *
 * The configurations are in tests/golden/configs, whose README names the sources. Parameters and
 * cache are what tools/golden/configs.py counts tensor by tensor; lists of tensors are those of the
 * published files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "model/convert_plan.h"
#include "model/count.h"
#include "model/model.h"

#define CONFIGS "tests/golden/configs/"
#define N(table) (sizeof(table) / sizeof *(table))

static struct arch read_official(const char *name)
{
    struct mk_error err = {0};
    struct arch a;
    char dir[256];

    snprintf(dir, sizeof dir, CONFIGS "%s", name);
    if (arch_from_hf(&a, dir, &err))
        fail_msg("%s", err.text);
    return a;
}

/* ---- Dimensions ------------------------------------------------------------------------------ */

/* head_dim: of MLA 0. window: 0 for none. */
static const struct {
    const char *name, *type;
    int32_t n_layers, d_model, n_vocab, n_heads, n_kv_heads, head_dim, d_ff, window, context;
    double eps;
    int32_t bos, eos;
} dimensions[] = {
    {"deepseek-v2-lite", "deepseek_v2", 27, 2048, 102400, 16, 16, 0, 10944, 0, 163840, 1e-6, 100000,
     100001},
    {"deepseek-v2", "deepseek_v2", 60, 5120, 102400, 128, 128, 0, 12288, 0, 163840, 1e-6, 100000,
     100001},
    {"deepseek-v2.5", "deepseek_v2", 60, 5120, 102400, 128, 128, 0, 12288, 0, 163840, 1e-6, 100000,
     100001},
    {"deepseek-v3", "deepseek_v3", 61, 7168, 129280, 128, 128, 0, 18432, 0, 163840, 1e-6, 0, 1},
    {"deepseek-r1", "deepseek_v3", 61, 7168, 129280, 128, 128, 0, 18432, 0, 163840, 1e-6, 0, 1},
    {"deepseek-v3.1", "deepseek_v3", 61, 7168, 129280, 128, 128, 0, 18432, 0, 163840, 1e-6, 0, 1},
    {"r1-distill-qwen-1.5b", "qwen2", 28, 1536, 151936, 12, 2, 128, 8960, 0, 131072, 1e-6, 151643,
     151643},
    {"r1-distill-qwen-7b", "qwen2", 28, 3584, 152064, 28, 4, 128, 18944, 0, 131072, 1e-6, 151643,
     151643},
    {"r1-distill-qwen-14b", "qwen2", 48, 5120, 152064, 40, 8, 128, 13824, 0, 131072, 1e-5, 151643,
     151643},
    {"r1-distill-qwen-32b", "qwen2", 64, 5120, 152064, 40, 8, 128, 27648, 0, 131072, 1e-5, 151643,
     151643},
    {"r1-distill-llama-8b", "llama", 32, 4096, 128256, 32, 8, 128, 14336, 0, 131072, 1e-5, 128000,
     128001},
    {"r1-distill-llama-70b", "llama", 80, 8192, 128256, 64, 8, 128, 28672, 0, 131072, 1e-5, 128000,
     128001},
    {"r1-0528-qwen3-8b", "qwen3", 36, 4096, 151936, 32, 8, 128, 12288, 0, 131072, 1e-6, 151643,
     151645},
    {"qwen3-8b", "qwen3", 36, 4096, 151936, 32, 8, 128, 12288, 0, 40960, 1e-6, 151643, 151645},
    {"llama-2-7b", "llama", 32, 4096, 32000, 32, 32, 128, 11008, 0, 4096, 1e-5, 1, 2},
    {"mistral-7b-v0.1", "mistral", 32, 4096, 32000, 32, 8, 128, 14336, 4096, 32768, 1e-5, 1, 2},
    {"deepseek-llm-67b", "llama", 95, 8192, 102400, 64, 8, 128, 22016, 0, 4096, 1e-6, 100000,
     100001},
    {"deepseek-coder-1.3b", "llama", 24, 2048, 32256, 16, 16, 128, 5504, 0, 16384, 1e-6, 32013,
     32014},
};

static void dimensions_are_those_of_the_releases(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(dimensions); i++) {
        struct arch a = read_official(dimensions[i].name);
        bool is_mla = !strncmp(dimensions[i].type, "deepseek", 8);

        assert_string_equal(a.model_type, dimensions[i].type);
        assert_int_equal(a.attention, is_mla ? ARCH_MLA : ARCH_GQA);
        assert_int_equal(a.rope, is_mla ? ARCH_ROPE_INTERLEAVED : ARCH_ROPE_HALF);
        assert_int_equal(a.n_layers, dimensions[i].n_layers);
        assert_int_equal(a.d_model, dimensions[i].d_model);
        assert_int_equal(a.n_vocab, dimensions[i].n_vocab);
        assert_int_equal(a.n_heads, dimensions[i].n_heads);
        assert_int_equal(a.n_kv_heads, dimensions[i].n_kv_heads);
        assert_int_equal(a.head_dim, dimensions[i].head_dim);
        assert_int_equal(a.d_ff, dimensions[i].d_ff);
        assert_int_equal(a.sliding_window, dimensions[i].window);
        assert_int_equal(a.max_context, dimensions[i].context);
        assert_float_equal(a.rms_norm_eps, (float)dimensions[i].eps, 0);
        assert_int_equal(a.bos_id, dimensions[i].bos);
        assert_int_equal(a.n_eos_ids, 1);
        assert_int_equal(a.eos_ids[0], dimensions[i].eos);
        assert_int_equal(a.attention_bias, !strcmp(a.model_type, "qwen2"));
        assert_int_equal(a.qk_norm, !strcmp(a.model_type, "qwen3"));
        assert_false(a.tie_word_embeddings);
        if (!is_mla)
            assert_int_equal(a.n_experts, 0);
    }
}

static void experts_and_latents_are_those_of_the_releases(void **state)
{
    static const struct {
        const char *name;
        int32_t q_lora, n_experts, used, shared, d_expert, first_dense, n_group, topk_group;
        enum arch_router router;
        bool normed;
        double scale;
        int32_t n_mtp, fp8_block;
    } want[] = {
        {"deepseek-v2-lite", 0, 64, 6, 2, 1408, 1, 1, 1, ARCH_ROUTER_SOFTMAX, false, 1, 0, 0},
        {"deepseek-v2", 1536, 160, 6, 2, 1536, 1, 8, 3, ARCH_ROUTER_GROUP_MAX, false, 16, 0, 0},
        {"deepseek-v2.5", 1536, 160, 6, 2, 1536, 1, 8, 3, ARCH_ROUTER_GROUP_MAX, false, 16, 0, 0},
        {"deepseek-v3", 1536, 256, 8, 1, 2048, 3, 8, 4, ARCH_ROUTER_NOAUX, true, 2.5, 1, 128},
        {"deepseek-r1", 1536, 256, 8, 1, 2048, 3, 8, 4, ARCH_ROUTER_NOAUX, true, 2.5, 1, 128},
        {"deepseek-v3.1", 1536, 256, 8, 1, 2048, 3, 8, 4, ARCH_ROUTER_NOAUX, true, 2.5, 1, 128},
    };

    (void)state;
    for (size_t i = 0; i < N(want); i++) {
        struct arch a = read_official(want[i].name);

        assert_int_equal(a.kv_lora_rank, 512);
        assert_int_equal(a.qk_nope_dim, 128);
        assert_int_equal(a.qk_rope_dim, 64);
        assert_int_equal(a.v_head_dim, 128);
        assert_int_equal(a.q_lora_rank, want[i].q_lora);
        assert_int_equal(a.n_experts, want[i].n_experts);
        assert_int_equal(a.n_experts_used, want[i].used);
        assert_int_equal(a.n_shared_experts, want[i].shared);
        assert_int_equal(a.d_expert, want[i].d_expert);
        assert_int_equal(a.first_k_dense, want[i].first_dense);
        assert_int_equal(a.moe_layer_freq, 1);
        assert_int_equal(a.n_group, want[i].n_group);
        assert_int_equal(a.topk_group, want[i].topk_group);
        assert_int_equal(a.router, want[i].router);
        assert_int_equal(a.norm_topk_prob, want[i].normed);
        assert_float_equal(a.routed_scaling_factor, want[i].scale, 0);
        assert_int_equal(a.n_mtp, want[i].n_mtp);
        assert_int_equal(a.fp8_block[0], want[i].fp8_block);
        assert_int_equal(a.fp8_block[1], want[i].fp8_block);
    }
}

/* ---- Counts ---------------------------------------------------------------------------------- */

static void parameters_and_cache_are_those_of_a_count_by_tensor(void **state)
{
    static const struct {
        const char *name;
        uint64_t total, active, mtp, bf16_bytes; /* of a token in the cache, all layers */
    } want[] = {
        {"deepseek-v2-lite", 15706484224, 2661150208, 0, 31104},
        {"deepseek-v2", 235741434880, 21375800320, 0, 69120},
        {"deepseek-v2.5", 235741434880, 21375800320, 0, 69120},
        {"deepseek-v3", 671026419200, 37552297472, 11610068224, 70272},
        {"deepseek-r1", 671026419200, 37552297472, 11610068224, 70272},
        {"deepseek-v3.1", 671026419200, 37552297472, 11610068224, 70272},
        {"r1-distill-qwen-1.5b", 1777088000, 1777088000, 0, 28672},
        {"r1-distill-qwen-7b", 7615616512, 7615616512, 0, 57344},
        {"r1-distill-qwen-14b", 14770033664, 14770033664, 0, 196608},
        {"r1-distill-qwen-32b", 32763876352, 32763876352, 0, 262144},
        {"r1-distill-llama-8b", 8030261248, 8030261248, 0, 131072},
        {"r1-distill-llama-70b", 70553706496, 70553706496, 0, 327680},
        {"r1-0528-qwen3-8b", 8190735360, 8190735360, 0, 147456},
        {"qwen3-8b", 8190735360, 8190735360, 0, 147456},
        {"llama-2-7b", 6738415616, 6738415616, 0, 524288},
        {"mistral-7b-v0.1", 7241732096, 7241732096, 0, 131072},
        {"deepseek-llm-67b", 67425001472, 67425001472, 0, 389120},
        {"deepseek-coder-1.3b", 1346471936, 1346471936, 0, 196608},
    };

    (void)state;
    assert_int_equal(N(want), N(dimensions));
    for (size_t i = 0; i < N(want); i++) {
        struct model m = {.arch = read_official(want[i].name)};
        const struct attention_kind *kind = attention_kind_for(&m.arch, &m.options);
        struct count c;

        count_arch(&c, &m.arch, MK_MLA_AUTO);
        assert_int_equal(c.total, want[i].total);
        assert_int_equal(c.active, want[i].active);
        assert_int_equal(c.mtp, want[i].mtp);
        assert_int_equal(2 * c.kv_values, want[i].bf16_bytes);
        assert_int_equal(m.arch.n_layers * kv_row_bytes(MK_BF16, kind->row_dim(&m)),
                         want[i].bf16_bytes);
    }
}

/* ---- RoPE ------------------------------------------------------------------------------------ */

static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%.9g, expected %.9g", got, want);
}

/* divided: by what scaling divides the slowest frequency, theta^-((d - 2) / d). magnitude: of
 * cosine and sine. score: what scores are multiplied with (deepseek.md 2.4, 11). */
static void rope_is_that_of_the_releases(void **state)
{
    static const double plain = 0.08838834764831845; /* 128^-0.5 */
    const struct {
        const char *name;
        enum arch_rope_scaling scaling;
        double theta, divided, magnitude, score;
        int32_t original;
    } want[] = {
        {"deepseek-v2-lite", ARCH_SCALING_YARN, 1e4, 40, 1, 0.1147214, 4096},
        {"deepseek-v2", ARCH_SCALING_YARN, 1e4, 40, 1, 0.1147214, 4096},
        {"deepseek-v2.5", ARCH_SCALING_YARN, 1e4, 40, 1, 0.1352338, 4096},
        {"deepseek-v3", ARCH_SCALING_YARN, 1e4, 40, 1, 0.1352338, 4096},
        {"deepseek-r1", ARCH_SCALING_YARN, 1e4, 40, 1, 0.1352338, 4096},
        {"deepseek-v3.1", ARCH_SCALING_YARN, 1e4, 40, 1, 0.1352338, 4096},
        {"r1-distill-qwen-1.5b", ARCH_SCALING_NONE, 1e4, 1, 1, plain, 0},
        {"r1-distill-qwen-7b", ARCH_SCALING_NONE, 1e4, 1, 1, plain, 0},
        {"r1-distill-qwen-14b", ARCH_SCALING_NONE, 1e6, 1, 1, plain, 0},
        {"r1-distill-qwen-32b", ARCH_SCALING_NONE, 1e6, 1, 1, plain, 0},
        {"r1-distill-llama-8b", ARCH_SCALING_LLAMA3, 5e5, 8, 1, plain, 8192},
        {"r1-distill-llama-70b", ARCH_SCALING_LLAMA3, 5e5, 8, 1, plain, 8192},
        /* attn_factor is no key of transformers: the magnitude is YaRN's own, 0.1 ln 4 + 1 */
        {"r1-0528-qwen3-8b", ARCH_SCALING_YARN, 1e6, 4, 1.1386294, plain, 32768},
        {"qwen3-8b", ARCH_SCALING_NONE, 1e6, 1, 1, plain, 0},
        {"llama-2-7b", ARCH_SCALING_NONE, 1e4, 1, 1, plain, 0},
        {"mistral-7b-v0.1", ARCH_SCALING_NONE, 1e4, 1, 1, plain, 0},
        {"deepseek-llm-67b", ARCH_SCALING_NONE, 1e4, 1, 1, plain, 0},
        {"deepseek-coder-1.3b", ARCH_SCALING_LINEAR, 1e5, 4, 1, plain, 0},
    };

    (void)state;
    assert_int_equal(N(want), N(dimensions));
    for (size_t i = 0; i < N(want); i++) {
        struct arch a = read_official(want[i].name);
        int32_t rotated = a.attention == ARCH_MLA ? 64 : 128;
        int32_t d = a.attention == ARCH_MLA ? 192 : 128;
        struct mk_error err;
        struct rope r;

        assert_int_equal(a.scaling, want[i].scaling);
        assert_float_equal(a.rope_theta, want[i].theta, 0);
        assert_int_equal(a.original_context, want[i].original);
        assert_int_equal(rope_init(&r, &a, rotated, &err), 0);
        assert_near(r.frequency[0], a.scaling == ARCH_SCALING_LINEAR ? 0.25 : 1, 0);
        assert_near(r.frequency[rotated / 2 - 1],
                    pow(want[i].theta, -(rotated - 2.0) / rotated) / want[i].divided, 1e-6);
        assert_near(r.magnitude, want[i].magnitude, 1e-6);
        assert_near(rope_score_scale(&a, d), want[i].score, 1e-6);
    }
}

/* ---- Tensors --------------------------------------------------------------------------------- */

/* Tensors of a release. last < first: one outside the layers; n_experts: one for each expert;
 * columns 0: a vector. */
struct tensor_rows {
    const char *name;
    int32_t first, last, n_experts;
    int64_t rows, columns;
};

#define ONCE 0, -1, 0
#define MOE_V3 3, 61 /* 61 is the MTP block */
static const struct tensor_rows v3[] = {
    {"model.embed_tokens.weight", ONCE, 129280, 7168},
    {"model.norm.weight", ONCE, 7168, 0},
    {"lm_head.weight", ONCE, 129280, 7168},
    {"input_layernorm.weight", 0, 61, 0, 7168, 0},
    {"post_attention_layernorm.weight", 0, 61, 0, 7168, 0},
    {"self_attn.q_a_proj.weight", 0, 61, 0, 1536, 7168},
    {"self_attn.q_a_layernorm.weight", 0, 61, 0, 1536, 0},
    {"self_attn.q_b_proj.weight", 0, 61, 0, 24576, 1536},
    {"self_attn.kv_a_proj_with_mqa.weight", 0, 61, 0, 576, 7168},
    {"self_attn.kv_a_layernorm.weight", 0, 61, 0, 512, 0},
    {"self_attn.kv_b_proj.weight", 0, 61, 0, 32768, 512},
    {"self_attn.o_proj.weight", 0, 61, 0, 7168, 16384},
    {"mlp.gate_proj.weight", 0, 2, 0, 18432, 7168},
    {"mlp.up_proj.weight", 0, 2, 0, 18432, 7168},
    {"mlp.down_proj.weight", 0, 2, 0, 7168, 18432},
    {"mlp.gate.weight", MOE_V3, 0, 256, 7168},
    {"mlp.gate.e_score_correction_bias", MOE_V3, 0, 256, 0},
    {"gate_proj.weight", MOE_V3, 256, 2048, 7168},
    {"up_proj.weight", MOE_V3, 256, 2048, 7168},
    {"down_proj.weight", MOE_V3, 256, 7168, 2048},
    {"mlp.shared_experts.gate_proj.weight", MOE_V3, 0, 2048, 7168},
    {"mlp.shared_experts.up_proj.weight", MOE_V3, 0, 2048, 7168},
    {"mlp.shared_experts.down_proj.weight", MOE_V3, 0, 7168, 2048},
    {"embed_tokens.weight", 61, 61, 0, 129280, 7168},
    {"enorm.weight", 61, 61, 0, 7168, 0},
    {"hnorm.weight", 61, 61, 0, 7168, 0},
    {"eh_proj.weight", 61, 61, 0, 7168, 14336},
    {"shared_head.norm.weight", 61, 61, 0, 7168, 0},
    {"shared_head.head.weight", 61, 61, 0, 129280, 7168},
};
static const struct tensor_rows v2_lite[] = {
    {"model.embed_tokens.weight", ONCE, 102400, 2048},
    {"model.norm.weight", ONCE, 2048, 0},
    {"lm_head.weight", ONCE, 102400, 2048},
    {"input_layernorm.weight", 0, 26, 0, 2048, 0},
    {"post_attention_layernorm.weight", 0, 26, 0, 2048, 0},
    {"self_attn.q_proj.weight", 0, 26, 0, 3072, 2048},
    {"self_attn.kv_a_proj_with_mqa.weight", 0, 26, 0, 576, 2048},
    {"self_attn.kv_a_layernorm.weight", 0, 26, 0, 512, 0},
    {"self_attn.kv_b_proj.weight", 0, 26, 0, 4096, 512},
    {"self_attn.o_proj.weight", 0, 26, 0, 2048, 2048},
    {"mlp.gate_proj.weight", 0, 0, 0, 10944, 2048},
    {"mlp.up_proj.weight", 0, 0, 0, 10944, 2048},
    {"mlp.down_proj.weight", 0, 0, 0, 2048, 10944},
    {"mlp.gate.weight", 1, 26, 0, 64, 2048},
    {"gate_proj.weight", 1, 26, 64, 1408, 2048},
    {"up_proj.weight", 1, 26, 64, 1408, 2048},
    {"down_proj.weight", 1, 26, 64, 2048, 1408},
    {"mlp.shared_experts.gate_proj.weight", 1, 26, 0, 2816, 2048}, /* two experts in one */
    {"mlp.shared_experts.up_proj.weight", 1, 26, 0, 2816, 2048},
    {"mlp.shared_experts.down_proj.weight", 1, 26, 0, 2048, 2816},
};
static const struct tensor_rows qwen_7b[] = {
    {"model.embed_tokens.weight", ONCE, 152064, 3584},
    {"model.norm.weight", ONCE, 3584, 0},
    {"lm_head.weight", ONCE, 152064, 3584},
    {"input_layernorm.weight", 0, 27, 0, 3584, 0},
    {"post_attention_layernorm.weight", 0, 27, 0, 3584, 0},
    {"self_attn.q_proj.weight", 0, 27, 0, 3584, 3584},
    {"self_attn.q_proj.bias", 0, 27, 0, 3584, 0},
    {"self_attn.k_proj.weight", 0, 27, 0, 512, 3584},
    {"self_attn.k_proj.bias", 0, 27, 0, 512, 0},
    {"self_attn.v_proj.weight", 0, 27, 0, 512, 3584},
    {"self_attn.v_proj.bias", 0, 27, 0, 512, 0},
    {"self_attn.o_proj.weight", 0, 27, 0, 3584, 3584},
    {"mlp.gate_proj.weight", 0, 27, 0, 18944, 3584},
    {"mlp.up_proj.weight", 0, 27, 0, 18944, 3584},
    {"mlp.down_proj.weight", 0, 27, 0, 3584, 18944},
};
static const struct tensor_rows llama_70b[] = {
    {"model.embed_tokens.weight", ONCE, 128256, 8192},
    {"model.norm.weight", ONCE, 8192, 0},
    {"lm_head.weight", ONCE, 128256, 8192},
    {"input_layernorm.weight", 0, 79, 0, 8192, 0},
    {"post_attention_layernorm.weight", 0, 79, 0, 8192, 0},
    {"self_attn.q_proj.weight", 0, 79, 0, 8192, 8192},
    {"self_attn.k_proj.weight", 0, 79, 0, 1024, 8192},
    {"self_attn.v_proj.weight", 0, 79, 0, 1024, 8192},
    {"self_attn.o_proj.weight", 0, 79, 0, 8192, 8192},
    {"mlp.gate_proj.weight", 0, 79, 0, 28672, 8192},
    {"mlp.up_proj.weight", 0, 79, 0, 28672, 8192},
    {"mlp.down_proj.weight", 0, 79, 0, 8192, 28672},
};
static const struct tensor_rows qwen3_8b[] = {
    {"model.embed_tokens.weight", ONCE, 151936, 4096},
    {"model.norm.weight", ONCE, 4096, 0},
    {"lm_head.weight", ONCE, 151936, 4096},
    {"input_layernorm.weight", 0, 35, 0, 4096, 0},
    {"post_attention_layernorm.weight", 0, 35, 0, 4096, 0},
    {"self_attn.q_proj.weight", 0, 35, 0, 4096, 4096},
    {"self_attn.q_norm.weight", 0, 35, 0, 128, 0},
    {"self_attn.k_proj.weight", 0, 35, 0, 1024, 4096},
    {"self_attn.k_norm.weight", 0, 35, 0, 128, 0},
    {"self_attn.v_proj.weight", 0, 35, 0, 1024, 4096},
    {"self_attn.o_proj.weight", 0, 35, 0, 4096, 4096},
    {"mlp.gate_proj.weight", 0, 35, 0, 12288, 4096},
    {"mlp.up_proj.weight", 0, 35, 0, 12288, 4096},
    {"mlp.down_proj.weight", 0, 35, 0, 4096, 12288},
};
/* values: in all tensors; of V3 with the MTP block and its copies of embedding and head. */
static const struct {
    const char *name;
    const struct tensor_rows *rows;
    size_t n_rows;
    uint64_t values;
} releases[] = {
    {"deepseek-v3", v3, N(v3), 684489845504},
    {"deepseek-v2-lite", v2_lite, N(v2_lite), 15706484224},
    {"r1-distill-qwen-7b", qwen_7b, N(qwen_7b), 7615616512},
    {"r1-distill-llama-70b", llama_70b, N(llama_70b), 70553706496},
    {"qwen3-8b", qwen3_8b, N(qwen3_8b), 8190735360},
};

/* The bytes of a tensor are nowhere: a plan looks at names and shapes. */
static void add_tensor(struct tensors *t, const char *name, const struct tensor_rows *row)
{
    static const unsigned char nothing[1];
    struct file_tensor f = {.name = (char *)(uintptr_t)name,
                            .dtype = MK_BF16,
                            .n_dims = row->columns ? 2 : 1,
                            .shape = {row->rows, row->columns},
                            .data = nothing,
                            .bytes = (uint64_t)(row->rows * (row->columns ? row->columns : 1) * 2)};
    struct mk_error err;

    assert_int_equal(tensors_add(t, &f, &err), 0);
}

static void add_rows(struct tensors *t, const struct tensor_rows *row)
{
    char name[MK_NAME_BYTES];

    if (row->last < row->first)
        add_tensor(t, row->name, row);
    for (int l = row->first; l <= row->last; l++) {
        if (!row->n_experts) {
            snprintf(name, sizeof name, "model.layers.%d.%s", l, row->name);
            add_tensor(t, name, row);
        }
        for (int e = 0; e < row->n_experts; e++) {
            snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.%s", l, e, row->name);
            add_tensor(t, name, row);
        }
    }
}

/* A release whose files hold the tensors of the rows. */
static void open_release(struct model_file *f, const char *name, const struct tensor_rows *rows,
                         size_t n)
{
    struct map_file no_bytes = {0};
    struct mk_error err;

    *f = (struct model_file){.arch = read_official(name)};
    assert_int_equal(tensors_add_file(&f->gguf.tensors, &no_bytes, name, &err), 0);
    for (size_t i = 0; i < n; i++)
        add_rows(&f->gguf.tensors, &rows[i]);
    assert_int_equal(tensors_finish(&f->gguf.tensors, &err), 0);
}

static void the_tensors_asked_for_are_exactly_those_of_the_releases(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(releases); i++) {
        struct convert_report report = {0};
        struct mk_error err = {0};
        struct model_file f;
        struct plan p;
        uint64_t asked = 0;

        open_release(&f, releases[i].name, releases[i].rows, releases[i].n_rows);
        if (plan_init(&p, &f, MK_BF16, false, &report, &err))
            fail_msg("%s", err.text);
        assert_int_equal(p.n_items, f.gguf.tensors.n_items);
        for (int64_t k = 0; k < p.n_items; k++) {
            const struct file_tensor *t = tensors_find(&f.gguf.tensors, p.items[k].name);

            assert_non_null(t);
            assert_int_equal(p.items[k].n_dims, t->n_dims);
            assert_memory_equal(p.items[k].shape, t->shape, (size_t)t->n_dims * sizeof *t->shape);
            asked += (uint64_t)(p.items[k].n_rows * p.items[k].n_in);
        }
        assert_int_equal(asked, releases[i].values);
        plan_release(&p);
        model_file_release(&f);
    }
}

static void a_release_with_one_shape_changed_is_refused(void **state)
{
    struct convert_report report = {0};
    struct mk_error err = {0};
    struct tensor_rows rows[N(v2_lite)];

    (void)state;
    for (size_t i = 0; i < N(v2_lite); i++) {
        struct model_file f;
        struct plan p;

        memcpy(rows, v2_lite, sizeof rows);
        rows[i].rows++;
        open_release(&f, "deepseek-v2-lite", rows, N(rows));
        assert_int_equal(plan_init(&p, &f, MK_BF16, false, &report, &err), MK_EFORMAT);
        assert_non_null(strstr(err.text, v2_lite[i].name));
        model_file_release(&f);
    }
}

/* As llama.cpp has them: experts stacked, the up-projection of the latent in two, no MTP. */
static void gguf_of_v3_has_stacks_and_split_projections(void **state)
{
    static const struct {
        const char *name;
        int64_t shape[3];
    } want[] = {
        {"blk.0.attn_k_b.weight", {128, 512, 128}},
        {"blk.0.attn_v_b.weight", {128, 128, 512}},
        {"blk.60.attn_q_b.weight", {24576, 1536, 0}},
        {"blk.2.ffn_down.weight", {7168, 18432, 0}},
        {"blk.3.ffn_gate_inp.weight", {256, 7168, 0}},
        {"blk.3.exp_probs_b.bias", {256, 0, 0}},
        {"blk.60.ffn_gate_exps.weight", {256, 2048, 7168}},
        {"blk.60.ffn_down_exps.weight", {256, 7168, 2048}},
        {"blk.60.ffn_up_shexp.weight", {2048, 7168, 0}},
        {"output.weight", {129280, 7168, 0}},
    };
    struct convert_report report = {0};
    struct mk_error err = {0};
    struct model_file f;
    struct plan p;
    size_t n = 0;

    (void)state;
    open_release(&f, "deepseek-v3", v3, N(v3));
    if (plan_init(&p, &f, MK_F16, true, &report, &err))
        fail_msg("%s", err.text);
    for (int64_t k = 0; k < p.n_items; k++) {
        assert_null(strstr(p.items[k].name, "blk.61."));
        for (size_t i = 0; i < N(want); i++)
            if (!strcmp(p.items[k].name, want[i].name)) {
                assert_memory_equal(p.items[k].shape, want[i].shape, sizeof want[i].shape);
                n++;
            }
    }
    assert_int_equal(n, N(want));
    assert_true(report.left_mtp);
    /* 3 outside the layers; 10 of norms and attention in each; 3 of a dense one, 8 of experts */
    assert_int_equal(p.n_items, 3 + 61 * 10 + 3 * 3 + 58 * 8);
    plan_release(&p);
    model_file_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dimensions_are_those_of_the_releases),
        cmocka_unit_test(experts_and_latents_are_those_of_the_releases),
        cmocka_unit_test(parameters_and_cache_are_those_of_a_count_by_tensor),
        cmocka_unit_test(rope_is_that_of_the_releases),
        cmocka_unit_test(the_tensors_asked_for_are_exactly_those_of_the_releases),
        cmocka_unit_test(a_release_with_one_shape_changed_is_refused),
        cmocka_unit_test(gguf_of_v3_has_stacks_and_split_projections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
