/* gguf_config_test.c: what arch_from_gguf makes of the golden files, and of damaged keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/map_file.h"
#include "formats/arch.h"
#include "formats/gguf.h"
#include "support/same_arch.h"

#define GOLDEN "tests/golden/"

static struct arch read_gguf(const char *path)
{
    struct gguf g;
    struct arch a = {0};
    struct mk_error err = {0};

    if (gguf_open(&g, path, &err) || arch_from_gguf(&a, &g, path, &err))
        fail_msg("%s", err.text);
    gguf_release(&g);
    return a;
}

static struct arch read_hf(const char *name)
{
    char dir[256];
    struct arch a = {0};
    struct mk_error err = {0};

    snprintf(dir, sizeof dir, GOLDEN "models/%s", name);
    if (arch_from_hf(&a, dir, &err))
        fail_msg("%s", err.text);
    return a;
}

static void the_three_eras_of_deepseek2_read_alike(void **state)
{
    static const char *const files[] = {GOLDEN "gguf/v3-kv_b.gguf", GOLDEN "gguf/v3-mla.gguf",
                                        GOLDEN "gguf/v3-ik.gguf"};
    struct arch want = read_hf("v3");

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct arch a = read_gguf(files[i]);

        assert_same_shape(a, want);
        assert_int_equal(a.rope, ARCH_ROPE_INTERLEAVED);
        assert_int_equal(a.n_mtp, 0); /* the converters leave it out */
        assert_int_equal(a.scaling, ARCH_SCALING_YARN);
        assert_true(a.scaling_factor == 40 && a.beta_fast == 32 && a.beta_slow == 1);
        assert_true(a.mscale == 1 && a.mscale_all_dim == 1);
        assert_int_equal(a.original_context, 64);
    }
}

static void llama_is_interleaved_and_carries_rope_factors(void **state)
{
    struct arch a = read_gguf(GOLDEN "gguf/llama3.gguf");

    (void)state;
    assert_same_shape(a, read_hf("llama3"));
    assert_int_equal(a.rope, ARCH_ROPE_INTERLEAVED);
    assert_int_equal(a.scaling, ARCH_SCALING_NONE);
    assert_int_equal(a.n_rope_freq_factors, 9);
    assert_true(a.rope_freq_factors[0] == 1 && a.rope_freq_factors[8] == 8);
}

static void qwen2_has_biases_and_half_split_heads_in_one_file_or_two(void **state)
{
    struct arch want = read_hf("qwen2-untied"), a = read_gguf(GOLDEN "gguf/qwen2.gguf");

    (void)state;
    assert_same_shape(a, want);
    assert_int_equal(a.rope, ARCH_ROPE_HALF);
    assert_same_shape(read_gguf(GOLDEN "gguf/qwen2-split-00001-of-00002.gguf"), want);
}

static void keys_that_are_gone_or_wrong_are_named(void **state)
{
    static const struct {
        const char *key, *says;
    } rows[] = {
        {"general.architecture", "general.architecture is missing"},
        {"deepseek2.block_count", "deepseek2.block_count is missing"},
        {"deepseek2.attention.kv_lora_rank", "deepseek2.attention.kv_lora_rank is missing"},
        {"deepseek2.expert_used_count", "deepseek2.expert_used_count is missing"},
    };
    struct gguf g;
    struct arch a;
    struct mk_error err;

    (void)state;
    assert_int_equal(gguf_open(&g, GOLDEN "gguf/v3-mla.gguf", &err), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gguf_value *v = (struct gguf_value *)(uintptr_t)gguf_find(&g, rows[i].key);
        const char *name;

        assert_non_null(v);
        name = v->key.data;
        v->key.n--; /* a prefix sorts where the whole did */
        assert_int_equal(arch_from_gguf(&a, &g, "x.gguf", &err), MK_EFORMAT);
        assert_non_null(strstr(err.text, rows[i].says));
        v->key = (struct gguf_string){name, v->key.n + 1};
        v->type = v->element = GGUF_ARRAY; /* as in models whose layers differ */
        assert_int_equal(arch_from_gguf(&a, &g, "x.gguf", &err), MK_EFORMAT);
        gguf_release(&g);
        assert_int_equal(gguf_open(&g, GOLDEN "gguf/v3-mla.gguf", &err), 0);
    }
    gguf_release(&g);
}

#if defined(__SANITIZE_ADDRESS__)
enum { N_MUTATIONS = 10000 };
#else
enum { N_MUTATIONS = 500 };
#endif

/* Every value of the metadata is overwritten in turn; the reader may refuse, never crash, and what
 * it accepts has passed its own check. */
static void no_value_of_a_key_does_harm(void **state)
{
    static const unsigned char hostile[4][8] = {{0},
                                                {255, 255, 255, 255, 255, 255, 255, 255},
                                                {255, 255, 255, 127, 255, 255, 255, 127},
                                                {0, 0, 128, 127, 0, 0, 240, 127}};
    unsigned char bytes[8];
    struct gguf g;
    struct arch a;
    struct mk_error err;
    int n_refused = 0;

    (void)state;
    assert_int_equal(gguf_open(&g, GOLDEN "gguf/v3-mla.gguf", &err), 0);
    for (int i = 0; i < N_MUTATIONS; i++) {
        struct gguf_value *v = &g.values[i % g.n_values], kept = *v;

        if (v->type == GGUF_STRING || v->type == GGUF_ARRAY)
            continue;
        memcpy(bytes, hostile[i / g.n_values % 4], 8);
        bytes[i % 8] ^= (unsigned char)(i / 64);
        v->data = bytes;
        if (arch_from_gguf(&a, &g, "x.gguf", &err))
            n_refused++;
        else
            assert_int_equal(arch_check(&a, "x.gguf", &err), 0);
        *v = kept;
    }
    assert_true(n_refused > 50);
    assert_int_equal(arch_from_gguf(&a, &g, "x.gguf", &err), 0);
    gguf_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_eras_of_deepseek2_read_alike),
        cmocka_unit_test(llama_is_interleaved_and_carries_rope_factors),
        cmocka_unit_test(qwen2_has_biases_and_half_split_heads_in_one_file_or_two),
        cmocka_unit_test(keys_that_are_gone_or_wrong_are_named),
        cmocka_unit_test(no_value_of_a_key_does_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
