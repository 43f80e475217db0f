/* vocab_test.c: what tokenizer.json says is taken over; what it should not say is refused by
 * name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "formats/gguf.h"
#include "support/tiny_tokenizer.h"

#define BYTE_LEVEL                                                                                 \
    "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "                  \
    "\"use_regex\": true}"
#define MODEL(vocab, merges)                                                                       \
    "\"model\": {\"type\": \"BPE\", \"vocab\": {" vocab "}, \"merges\": [" merges "]}"
#define AB "\"a\": 0, \"b\": 1, \"ab\": 2"

static int read_json(const char *json, const char *config, struct mk_error *err)
{
    struct tokenizer *t;
    struct vocab v;
    int rc = vocab_from_texts(&v, "test.json", json, strlen(json), config,
                              config ? strlen(config) : 0, err);

    if (rc)
        return rc;
    rc = tokenizer_create(&t, &v, err);
    if (rc)
        vocab_release(&v);
    else
        tokenizer_free(t);
    return rc;
}

static void a_plain_file_is_read(void **state)
{
    static const char json[] = "{" BYTE_LEVEL ", \"added_tokens\": [{\"id\": 3, \"content\": "
                               "\"<s>\", \"special\": true}], " MODEL(AB, "\"a b\"") "}";
    static const char config[] = "{\"bos_token\": {\"content\": \"<s>\"}, \"add_bos_token\": true, "
                                 "\"chat_template\": \"hi\"}";
    struct mk_error err = {0};
    struct vocab v;

    (void)state;
    if (vocab_from_texts(&v, "test.json", json, strlen(json), config, strlen(config), &err))
        fail_msg("%s", err.text);
    assert_int_equal(v.kind, VOCAB_BYTE_BPE);
    assert_int_equal(v.n_tokens, 4);
    assert_int_equal(v.n_merges, 1);
    assert_string_equal(v.pre_name, "gpt-2");
    assert_int_equal(v.bos_id, 3);
    assert_true(v.add_bos);
    assert_int_equal(v.kinds[3], TOKEN_SPECIAL);
    assert_string_equal(v.chat_template.data, "hi");
    vocab_release(&v);
}

/* Rows 7, 11-14 and 19 of the list of bad inputs: each is refused, and the text names the field. */
static void files_that_lie_are_refused_by_name(void **state)
{
    static const struct { const char *json, *config, *words; } rows[] = {
        {"", NULL, "test.json: byte"},
        {"[]", NULL, "test.json"},
        {"{\"model\": 1}", NULL, "neither a byte-level nor"},
        {"{" BYTE_LEVEL "}", NULL, "there is no \"model\""},
        {"{" BYTE_LEVEL ", \"model\": {\"type\": \"WordPiece\"}}", NULL, "WordPiece"},
        {"{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\"}}", NULL, "model.vocab is not an object"},
        {"{" BYTE_LEVEL ", " MODEL("", "") "}", NULL, "vocabulary is empty"},
        {"{" BYTE_LEVEL ", " MODEL("\"a\": -1", "") "}", NULL, "the id of \"a\""},
        {"{" BYTE_LEVEL ", " MODEL("\"a\": 4294967296", "") "}", NULL, "the id of \"a\""},
        {"{" BYTE_LEVEL ", " MODEL("\"a\": 1.5", "") "}", NULL, "the id of \"a\""},
        {"{" BYTE_LEVEL ", " MODEL("\"a\": 9000000", "") "}", NULL, "there are holes"},
        {"{" BYTE_LEVEL ", " MODEL("\"a\": 0, \"b\": 0", "") "}", NULL, "id 0 is used twice"},
        {"{" BYTE_LEVEL ", " MODEL("\"a\": 0, \"a\": 1", "") "}", NULL, "duplicate"},
        {"{" BYTE_LEVEL ", " MODEL(AB, "\"a x\"") "}", NULL, "model.merges[0]"},
        {"{" BYTE_LEVEL ", " MODEL(AB, "\"ab\"") "}", NULL, "model.merges[0]"},
        {"{" BYTE_LEVEL ", " MODEL(AB, "[\"a\"]") "}", NULL, "model.merges[0]"},
        {"{" BYTE_LEVEL ", " MODEL(AB, "7") "}", NULL, "model.merges[0]"},
        {"{" BYTE_LEVEL ", " MODEL(AB, "\"a b\", \"a b\"") "}", NULL, "merge 1 is there twice"},
        {"{" BYTE_LEVEL ", " MODEL(AB, "\"b a\"") "}", NULL, "merge 0 makes a text"},
        {"{" BYTE_LEVEL ", \"added_tokens\": [{\"id\": -3, \"content\": \"x\"}], "
         MODEL(AB, "") "}", NULL, "added_tokens[0].id"},
        {"{" BYTE_LEVEL ", \"added_tokens\": [{\"id\": 3}], " MODEL(AB, "") "}", NULL,
         "added_tokens[0].content"},
        {"{" BYTE_LEVEL ", \"added_tokens\": [{\"id\": 1, \"content\": \"x\"}], "
         MODEL(AB, "") "}", NULL, "id 1 belongs to another"},
        {"{\"normalizer\": {\"type\": \"Lowercase\"}, " BYTE_LEVEL ", " MODEL(AB, "") "}", NULL,
         "normalizer \"Lowercase\" is not supported"},
        {"{\"pre_tokenizer\": {\"type\": \"Whitespace\"}, " MODEL(AB, "") "}", NULL,
         "pre_tokenizer \"Whitespace\" is not supported"},
        {"{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
         "\"pattern\": {\"Regex\": \"(a\"}, \"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\","
         " \"use_regex\": false}]}, " MODEL(AB, "") "}", NULL, "pre_tokenizer pattern 0"},
        {"{" BYTE_LEVEL ", " MODEL(AB, "") "}", "{", "tokenizer_config.json: byte"},
        {"{" BYTE_LEVEL ", " MODEL(AB, "") "}", "{\"eos_token\": \"</s>\"}", "eos_token \"</s>\""},
        {"{" BYTE_LEVEL ", " MODEL(AB, "") "}", "{\"add_bos_token\": true}", "none is named"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mk_error err = {0};

        if (!read_json(rows[i].json, rows[i].config, &err))
            fail_msg("accepted: %s", rows[i].json);
        if (!strstr(err.text, rows[i].words) || !strstr(err.text, "test.json"))
            fail_msg("%s\nsays \"%s\", not \"%s\"", rows[i].json, err.text, rows[i].words);
    }
}

static void byte_tokens_are_two_hexadecimal_digits(void **state)
{
    static const char *const bad[] = {"<0x-1>", "<0x 1>", "<0xG1>", "<0x1>", "<0x001>", "0x0101"};

    (void)state;
    assert_int_equal(vocab_byte_value((struct vocab_text){"<0xfE>", 6}), 0xFE);
    assert_int_equal(vocab_byte_value((struct vocab_text){"<0x00>", 6}), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(vocab_byte_value((struct vocab_text){bad[i], (uint32_t)strlen(bad[i])}),
                         -1);
}

static void a_token_of_a_megabyte_is_refused(void **state)
{
    struct mk_error err = {0};
    struct buf b;

    (void)state;
    buf_init(&b, 4 << 20);
    buf_append_string(&b, "{" BYTE_LEVEL ", \"model\": {\"merges\": [], \"vocab\": {\"", &err);
    for (int i = 0; i < 1 << 20; i++)
        buf_append(&b, "a", 1, &err);
    buf_append_string(&b, "\": 0}}}", &err);
    assert_int_equal(read_json(b.data, NULL, &err), MK_ELIMIT);
    assert_non_null(strstr(err.text, "1048576 bytes"));
    buf_release(&b);
}

static void nesting_ten_thousand_deep_is_refused(void **state)
{
    struct mk_error err = {0};
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 10000; i++)
        buf_append_string(&b, "{\"pre_tokenizer\":", &err);
    assert_int_equal(read_json(b.data, NULL, &err), MK_EFORMAT);
    buf_release(&b);
}

/* A file with every feature, as the source of damaged ones. */
static char *full_json(void)
{
    static const char *const merges[] = {"a b", "ab c", "\304\240 a", NULL};

    return tiny_json(&(struct tiny){
        .pre = "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\p{N}{1,3}\"}, \"behavior\": "
               "\"Isolated\"}, {\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a-c]+|x\"}, "
               "\"behavior\": \"Removed\", \"invert\": true}, {\"type\": \"Digits\"}",
        .normalizer = "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}]}",
        .merges = merges,
        .added = "{\"id\": 259, \"content\": \"<s>\", \"special\": true, \"lstrip\": true}",
        .model = "\"unk_token\": \"a\", \"fuse_unk\": true, "});
}

/* Whatever comes of it, it ends and touches nothing it should not: the sanitizers watch. */
static void try_damaged(const char *json, size_t n)
{
    static const char text[] = "abc  \303\251 12 <s>x";
    struct mk_error err = {0};
    struct tokenizer *t;
    struct vocab v;
    struct ids ids = {0};

    if (vocab_from_texts(&v, "damaged", json, n, NULL, 0, &err)) {
        assert_int_not_equal(err.text[0], 0);
        return;
    }
    if (tokenizer_create(&t, &v, &err)) {
        vocab_release(&v);
        return;
    }
    tokenizer_encode(t, text, sizeof text - 1, true, &ids, &err);
    for (size_t i = 0; i < ids.n; i++)
        assert_in_range(ids.data[i], 0, tokenizer_vocab(t)->n_tokens - 1);
    ids_release(&ids);
    tokenizer_free(t);
}

static void damaged_files_end_in_an_error_or_a_sound_tokenizer(void **state)
{
    char *json = full_json(), *copy;
    size_t n = strlen(json);
    uint32_t seed = 11;
#ifdef __SANITIZE_ADDRESS__
    const int rounds = 10000;
#else
    const int rounds = 500;
#endif

    (void)state;
    copy = malloc(n);
    assert_non_null(copy);
    for (int round = 0; round < rounds; round++) {
        size_t length = n;

        memcpy(copy, json, n);
        seed = seed * 1664525u + 1013904223u;
        if (round % 3 == 0)
            length = (seed >> 4) % n;
        for (int k = 0; k < round % 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            copy[(seed >> 4) % n] = "0\"{}[],: -9a\\\377b1"[seed >> 28];
        }
        try_damaged(copy, length);
    }
    free(copy);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_file_is_read),
        cmocka_unit_test(files_that_lie_are_refused_by_name),
        cmocka_unit_test(byte_tokens_are_two_hexadecimal_digits),
        cmocka_unit_test(a_token_of_a_megabyte_is_refused),
        cmocka_unit_test(nesting_ten_thousand_deep_is_refused),
        cmocka_unit_test(damaged_files_end_in_an_error_or_a_sound_tokenizer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
