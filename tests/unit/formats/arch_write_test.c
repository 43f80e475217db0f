/* arch_write_test.c: what arch_to_hf writes reads back to the same model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "formats/arch.h"
#include "formats/gguf.h"
#include "support/same_arch.h"

#define GOLDEN "tests/golden/"

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

static struct arch written_and_read(const struct arch *a)
{
    struct arch back = {0};
    struct mk_error err = {0};
    char *json;

    if (arch_to_hf(a, "float32", &json, &err) ||
        arch_from_hf_text(&back, "w", json, strlen(json), &err))
        fail_msg("%s", err.text);
    free(json);
    return back;
}

static void every_golden_config_survives_writing(void **state)
{
    static const char *const names[] = {"v2-lite",      "v2-groups",  "v3",     "v3-bf16",
                                        "v3-noq",       "v3-fp8",     "llama3", "mistral",
                                        "qwen2-untied", "qwen2-tied", "qwen3"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct arch a = read_hf(names[i]);

        assert_same_config(written_and_read(&a), a);
    }
}

static void a_deepseek2_gguf_becomes_the_config_it_came_from(void **state)
{
    struct arch a = read_gguf(GOLDEN "gguf/v3-mla.gguf"), want = read_hf("v3");

    (void)state;
    want.n_mtp = 0; /* the converter leaves it out */
    assert_same_config(written_and_read(&a), want);
}

static void the_rope_factors_of_a_gguf_become_llama3_scaling(void **state)
{
    struct arch a = read_gguf(GOLDEN "gguf/llama3.gguf");

    (void)state;
    assert_same_config(written_and_read(&a), read_hf("llama3"));
}

static void factors_of_another_kind_are_refused(void **state)
{
    struct arch a = read_gguf(GOLDEN "gguf/llama3.gguf");
    struct mk_error err;
    char *json;

    (void)state;
    a.rope_freq_factors[1] = 3;
    assert_int_equal(arch_to_hf(&a, NULL, &json, &err), MK_EUNSUPPORTED);
    assert_null(json);
    for (int i = 0; i < a.n_rope_freq_factors; i++)
        a.rope_freq_factors[i] = i % 2 ? 8 : 1; /* nothing blended */
    assert_int_equal(arch_to_hf(&a, NULL, &json, &err), MK_EUNSUPPORTED);
}

static void what_config_json_has_no_key_for_is_refused(void **state)
{
    struct arch a = read_hf("qwen2-tied");
    struct mk_error err;
    char *json;

    (void)state;
    a.attention_bias = false;
    assert_int_equal(arch_to_hf(&a, NULL, &json, &err), MK_EUNSUPPORTED);
    a = read_hf("llama3");
    a.sliding_window = 8;
    assert_int_equal(arch_to_hf(&a, NULL, &json, &err), MK_EUNSUPPORTED);
    a.sliding_window = -8;
    assert_int_equal(arch_to_hf(&a, NULL, &json, &err), MK_EFORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_config_survives_writing),
        cmocka_unit_test(a_deepseek2_gguf_becomes_the_config_it_came_from),
        cmocka_unit_test(the_rope_factors_of_a_gguf_become_llama3_scaling),
        cmocka_unit_test(factors_of_another_kind_are_refused),
        cmocka_unit_test(what_config_json_has_no_key_for_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
