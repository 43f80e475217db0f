/* golden_test.c: the ids of Python `tokenizers`, for real tokenizers cut to a thousand merges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tokenizer/tokenizer.h"

#define ROOT "tests/golden/tokenizer/"

static struct tokenizer *open_golden(const char *name, const char *want_pre)
{
    struct mk_error err = {0};
    struct tokenizer *t = NULL;
    struct vocab v;
    char path[256];

    snprintf(path, sizeof path, ROOT "%s", name);
    if (vocab_from_tokenizer_json(&v, path, &err))
        fail_msg("%s", err.text);
    assert_string_equal(v.pre_name, want_pre);
    if (tokenizer_create(&t, &v, &err))
        fail_msg("%s", err.text);
    return t;
}

static void check_case(const char *name, const struct tokenizer *t, const json_t *item, size_t at)
{
    const json_t *text = json_object_get(item, "text"), *want = json_object_get(item, "ids");
    struct mk_error err = {0};
    struct ids ids = {0};

    assert_true(json_is_string(text) && json_is_array(want));
    if (tokenizer_encode(t, json_string_value(text), json_string_length(text),
                         json_is_true(json_object_get(item, "special")), &ids, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ids.n && i < json_array_size(want); i++)
        if (ids.data[i] != json_integer_value(json_array_get(want, i)))
            fail_msg("%s: case %zu: id %zu is %d, not %d", name, at, i, ids.data[i],
                     (int)json_integer_value(json_array_get(want, i)));
    assert_int_equal(ids.n, json_array_size(want));
    ids_release(&ids);
}

static void check(const char *name, const char *want_pre)
{
    struct tokenizer *t = open_golden(name, want_pre);
    const json_t *item;
    char path[256];
    json_t *cases;
    size_t i;

    snprintf(path, sizeof path, ROOT "%s/cases.json", name);
    cases = json_load_file(path, 0, NULL);
    assert_true(json_array_size(cases) > 10);
    json_array_foreach(cases, i, item)
        check_case(name, t, item, i);
    json_decref(cases);
    tokenizer_free(t);
}

static void deepseek_v3_has_the_ids_of_python(void **state)
{
    (void)state;
    check("deepseek_v3", "deepseek-v3");
}

static void deepseek_llm_has_the_ids_of_python(void **state)
{
    (void)state;
    check("deepseek_llm", "deepseek-llm");
}

static void deepseek_coder_has_the_ids_of_python(void **state)
{
    (void)state;
    check("deepseek_coder", "deepseek-coder");
}

static void qwen3_has_the_ids_of_python(void **state)
{
    (void)state;
    check("qwen3", "qwen2");
}

static void llama3_has_the_ids_of_python(void **state)
{
    (void)state;
    check("llama3_1", "llama-bpe");
}

static void llama2_has_the_ids_of_python(void **state)
{
    (void)state;
    check("llama2", "");
}

static void mistral_nemo_has_the_ids_of_python(void **state)
{
    (void)state;
    check("mistral_nemo", "mistral");
}

static void smollm_has_the_ids_of_python(void **state)
{
    (void)state;
    check("smollm", "smollm");
}

static void gpt2_has_the_ids_of_python(void **state)
{
    (void)state;
    check("gpt2", "gpt-2");
}

/* Llama 2: the space put in front goes again, a character without a token comes back from bytes. */
static void sentencepiece_text_comes_back(void **state)
{
    static const char text[] = " two  spaces \360\237\246\234 \344\272\260\n";
    struct tokenizer *t = open_golden("llama2", "");
    struct mk_error err = {0};
    struct ids ids = {0};
    struct decoder d;
    struct buf out;
    int n_bytes = 0;

    (void)state;
    buf_init(&out, 1000);
    assert_int_equal(tokenizer_encode(t, text, sizeof text - 1, false, &ids, &err), 0);
    decoder_init(&d, t, false);
    for (size_t i = 0; i < ids.n; i++) {
        n_bytes += tokenizer_vocab(t)->kinds[ids.data[i]] == TOKEN_BYTE;
        assert_int_equal(decoder_push(&d, ids.data[i], &out, &err), 0);
    }
    assert_int_equal(decoder_finish(&d, &out, &err), 0);
    assert_string_equal(out.data, text);
    assert_true(n_bytes >= 4); /* the parrot at least */
    ids_release(&ids);
    buf_release(&out);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deepseek_v3_has_the_ids_of_python),
        cmocka_unit_test(deepseek_llm_has_the_ids_of_python),
        cmocka_unit_test(deepseek_coder_has_the_ids_of_python),
        cmocka_unit_test(qwen3_has_the_ids_of_python),
        cmocka_unit_test(llama3_has_the_ids_of_python),
        cmocka_unit_test(llama2_has_the_ids_of_python),
        cmocka_unit_test(mistral_nemo_has_the_ids_of_python),
        cmocka_unit_test(smollm_has_the_ids_of_python),
        cmocka_unit_test(gpt2_has_the_ids_of_python),
        cmocka_unit_test(sentencepiece_text_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
