/* count_test.c: the numbers of the released models (deepseek.md 1.1, 2.7, 11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/count.h"

static const struct arch v2_lite = {.n_layers = 27,
                                    .d_model = 2048,
                                    .n_vocab = 102400,
                                    .n_heads = 16,
                                    .n_kv_heads = 16,
                                    .attention = ARCH_MLA,
                                    .kv_lora_rank = 512,
                                    .qk_nope_dim = 128,
                                    .qk_rope_dim = 64,
                                    .v_head_dim = 128,
                                    .d_ff = 10944,
                                    .n_experts = 64,
                                    .n_experts_used = 6,
                                    .n_shared_experts = 2,
                                    .d_expert = 1408,
                                    .first_k_dense = 1,
                                    .moe_layer_freq = 1,
                                    .router = ARCH_ROUTER_SOFTMAX};

static struct arch v2(void)
{
    struct arch a = v2_lite;

    a.n_layers = 60;
    a.d_model = 5120;
    a.n_heads = a.n_kv_heads = 128;
    a.q_lora_rank = 1536;
    a.d_ff = 12288;
    a.n_experts = 160;
    a.d_expert = 1536;
    a.router = ARCH_ROUTER_GROUP_MAX;
    return a;
}

static struct arch v3(void)
{
    struct arch a = v2();

    a.n_layers = 61;
    a.n_mtp = 1;
    a.d_model = 7168;
    a.n_vocab = 129280;
    a.d_ff = 18432;
    a.n_experts = 256;
    a.n_experts_used = 8;
    a.n_shared_experts = 1;
    a.d_expert = 2048;
    a.first_k_dense = 3;
    a.router = ARCH_ROUTER_NOAUX;
    return a;
}

static void totals_are_those_of_the_releases(void **state)
{
    struct arch big = v2(), huge = v3();
    struct count c;

    (void)state;
    count_arch(&c, &v2_lite, MK_MLA_AUTO);
    assert_int_equal(c.total, 15706484224);
    assert_int_equal((c.active + 5000000) / 10000000, 266); /* 2.66 B with embedding and head */
    count_arch(&c, &big, MK_MLA_AUTO);
    assert_int_equal(c.total, 235741434880);
    assert_int_equal((c.active + 5000000) / 10000000, 2138);
    count_arch(&c, &huge, MK_MLA_AUTO);
    assert_int_equal(c.total, 671026419200);
    assert_int_equal((c.active + 5000000) / 10000000, 3755);
    assert_int_equal(c.mtp, 11610068224);
}

static void caches_are_those_of_the_reports(void **state)
{
    struct arch huge = v3();
    struct arch qwen = {.n_layers = 28,
                        .d_model = 1536,
                        .n_vocab = 151936,
                        .n_heads = 12,
                        .n_kv_heads = 2,
                        .head_dim = 128,
                        .attention_bias = true,
                        .d_ff = 8960,
                        .tie_word_embeddings = true};
    struct count c;

    (void)state;
    count_arch(&c, &v2_lite, MK_MLA_ABSORBED);
    assert_int_equal(c.kv_values, 15552);
    count_arch(&c, &huge, MK_MLA_AUTO);
    assert_int_equal(c.kv_values, 35136);
    assert_int_equal(c.mha_values, 61 * 128 * 320);
    count_arch(&c, &huge, MK_MLA_EXPANDED);
    assert_int_equal(c.kv_values, c.mha_values);
    count_arch(&c, &qwen, MK_MLA_AUTO);
    assert_int_equal(c.kv_values, 14336);
    assert_int_equal(c.total, 1543714304); /* Qwen2.5-1.5B's model card: 1.54 B */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_are_those_of_the_releases),
        cmocka_unit_test(caches_are_those_of_the_reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
