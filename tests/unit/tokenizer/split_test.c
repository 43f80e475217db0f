/* split_test.c: where each pre-tokenizer cuts. Pieces are shown with "|" between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "formats/pre_names.h"
#include "tokenizer/split.h"

static int collect(void *context, const unsigned char *piece, size_t n, struct mk_error *err)
{
    struct buf *out = context;
    int rc = out->n ? buf_append(out, "|", 1, err) : 0;

    return rc ? rc : buf_append(out, piece, n, err);
}

static int make_classes(void **state)
{
    *state = malloc(UNICODE_N_CLASSES);
    if (*state)
        unicode_classes(*state);
    return *state ? 0 : -1;
}

static int free_classes(void **state)
{
    free(*state);
    return 0;
}

/* Cuts text by the patterns. */
static int cut(const uint8_t *classes, const struct vocab_text *patterns, int n_patterns,
               bool isolated, const char *text, struct buf *out, struct mk_error *err)
{
    bool keep[MK_MAX_SPLITS];
    struct vocab v = {.name = "test", .n_regexes = n_patterns, .regex_isolated = keep};
    struct splitter sp;
    int rc;

    for (int i = 0; i < n_patterns; i++)
        keep[i] = isolated;
    v.regexes = (struct vocab_text *)patterns;
    buf_init(out, SIZE_MAX / 4);
    rc = splitter_init(&sp, &v, classes, err);
    if (!rc)
        rc = splitter_run(&sp, (const unsigned char *)text, strlen(text), collect, out, err);
    splitter_release(&sp); /* does nothing after a failed init */
    return rc;
}

static void assert_cut(void *const *state, const char *name, const char *text, const char *want)
{
    const struct pre_row *row = pre_find(name);
    struct vocab_text patterns[MK_MAX_SPLITS];
    struct mk_error err = {0};
    struct buf out;

    assert_non_null(row);
    for (int i = 0; i < row->n_rules; i++) {
        const char *p = split_pattern(row->rules[i]);

        patterns[i] = (struct vocab_text){p, (uint32_t)strlen(p)};
    }
    if (cut(*state, patterns, row->n_rules, true, text, &out, &err))
        fail_msg("%s", err.text);
    assert_string_equal(out.data, want);
    buf_release(&out);
}

static void gpt2_keeps_a_space_with_the_word_and_all_digits_together(void **state)
{
    assert_cut(state, "gpt-2", "I'll pay 1234.50  now\n\n x",
               "I|'ll| pay| 1234|.|50| | now|\n\n| x");
    assert_cut(state, "gpt-2", "DON'T", "DON|'|T");
    assert_cut(state, "gpt-2", "a   ", "a|   ");
}

static void llama3_takes_three_digits_and_folds_contractions(void **state)
{
    assert_cut(state, "llama-bpe", "DON'T 12345 (x)\n\n  y", "DON|'T| |123|45| (|x|)\n\n| | y");
    assert_cut(state, "llama-bpe", "x.y \t\n  \n  z", "x|.y| \t\n  \n| | z");
    assert_cut(state, "llama-bpe", "it'\305\277", "it|'\305\277"); /* long s folds to s */
}

static void qwen2_takes_digits_one_by_one(void **state)
{
    assert_cut(state, "qwen2", "abc 123 we've", "abc| |1|2|3| we|'ve");
    assert_cut(state, "deepseek-r1-qwen", "12", "1|2");
}

static void mistral_cuts_where_small_letters_become_capitals(void **state)
{
    assert_cut(state, "mistral", "camelCase HTTPServer 12 //\n",
               "camel|Case| HTTPServer| |1|2| //\n");
    assert_cut(state, "mistral", "ABC DEFg", "ABC| DEFg");
}

static void smollm_takes_digits_one_by_one_before_gpt2(void **state)
{
    assert_cut(state, "smollm", "year 2024's", "year| |2|0|2|4|'s");
}

static void deepseek_v3_cuts_digits_in_threes_and_cjk_apart(void **state)
{
    assert_cut(state, "deepseek-v3", "n=12345", "n|=|123|45");
    assert_cut(state, "deepseek-v3", "ab\344\270\255\346\226\207cd",
               "ab|\344\270\255\346\226\207|cd");
    assert_cut(state, "deepseek-v3", "f(x) .name it's", "f|(x|)| .|name| it|'s");
    assert_cut(state, "deepseek-v3", "\001\001a", "\001|\001a"); /* controls stay in the gap */
}

static void deepseek_llm_cuts_lines_words_and_punctuation(void **state)
{
    assert_cut(state, "deepseek-llm", "Hi there,\nyou 42  ", "Hi| there|,|\n|you| |4|2|  ");
    /* Hebrew is not in its list of letters: it stays one gap */
    assert_cut(state, "deepseek-llm", "\327\220\327\221 a", "\327\220\327\221| a");
}

static void deepseek_coder_knows_every_letter(void **state)
{
    assert_cut(state, "deepseek-coder", "if (\327\220) x\n", "if| (|\327\220|)| x|\n");
    assert_cut(state, "deepseek-coder", "a\344\270\255", "a|\344\270\255");
}

static void unknown_patterns_run_through_pcre2(void **state)
{
    static const struct vocab_text pattern = {"[aeiou]x*", 9};
    struct mk_error err = {0};
    struct buf out;

    assert_int_equal(cut(*state, &pattern, 1, true, "baxxce", &out, &err), 0);
    assert_string_equal(out.data, "b|axx|c|e");
    buf_release(&out);
    assert_int_equal(cut(*state, &pattern, 1, false, "baxxce", &out, &err), 0);
    assert_string_equal(out.data, "axx|e"); /* gaps are dropped */
    buf_release(&out);
}

static void a_pattern_that_takes_forever_is_refused(void **state)
{
    static const struct vocab_text pattern = {"(?:a+)+[bc]", 11};
    struct mk_error err = {0};
    struct buf out;

    assert_int_equal(cut(*state, &pattern, 1, true, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                         &out, &err), MK_ELIMIT);
    assert_non_null(strstr(err.text, "too many steps"));
    buf_release(&out);
}

static void a_broken_pattern_is_refused_by_name(void **state)
{
    static const struct vocab_text pattern = {"(a", 2};
    struct mk_error err = {0};
    struct buf out;

    assert_int_equal(cut(*state, &pattern, 1, true, "a", &out, &err), MK_EFORMAT);
    assert_non_null(strstr(err.text, "pre_tokenizer pattern 0"));
    buf_release(&out);
}

/* The scanners against PCRE2 with the same pattern: "(?:...)" around it makes it one they do not
 * know. Texts are drawn from the characters that the patterns tell apart. */
static void scanners_cut_as_pcre2_does(void **state)
{
    static const char *const chars[] = {
        "a", "Z", "s", "'", "'ll", "'RE", "1", "9", " ", "  ", "\n", "\r\n", "\t", ".", "/", "_",
        "$", "<", "\303\251", "\316\243", "\344\270\255", "\343\201\202", "\352\260\200",
        "\327\220",
        "\314\201", "\302\240", "\343\200\200", "\302\275", "\360\237\221\215", "\342\200\231",
        "\305\277", "\307\205", "\312\260", "\357\274\201", "\342\202\254", "\001", "\302\205"};
    const uint32_t n_chars = sizeof chars / sizeof *chars;
    uint32_t seed = 1;

    for (int rule = 0; rule < SPLIT_N_RULES; rule++) {
        const char *p = split_pattern((enum split_rule)rule);
        char text[512], wrapped[2048];
        struct vocab_text known = {p, (uint32_t)strlen(p)}, same = {wrapped, 0};

        same.n = (uint32_t)snprintf(wrapped, sizeof wrapped, rule == SPLIT_SPACE_END ? "(?m:%s)" :
                                    "(?:%s)", p);
        for (int round = 0; round < 40; round++) {
            struct mk_error err = {0};
            struct buf a, b;

            text[0] = 0;
            for (int k = 0; k < 60; k++) {
                seed = seed * 1664525u + 1013904223u;
                strcat(text, chars[(seed >> 8) % n_chars]);
            }
            assert_int_equal(cut(*state, &known, 1, true, text, &a, &err), 0);
            assert_int_equal(cut(*state, &same, 1, true, text, &b, &err), 0);
            if (strcmp(a.data, b.data))
                fail_msg("rule %d\n%s\nPCRE2 has\n%s", rule, a.data, b.data);
            buf_release(&a);
            buf_release(&b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_keeps_a_space_with_the_word_and_all_digits_together),
        cmocka_unit_test(llama3_takes_three_digits_and_folds_contractions),
        cmocka_unit_test(qwen2_takes_digits_one_by_one),
        cmocka_unit_test(mistral_cuts_where_small_letters_become_capitals),
        cmocka_unit_test(smollm_takes_digits_one_by_one_before_gpt2),
        cmocka_unit_test(deepseek_v3_cuts_digits_in_threes_and_cjk_apart),
        cmocka_unit_test(deepseek_llm_cuts_lines_words_and_punctuation),
        cmocka_unit_test(deepseek_coder_knows_every_letter),
        cmocka_unit_test(unknown_patterns_run_through_pcre2),
        cmocka_unit_test(a_pattern_that_takes_forever_is_refused),
        cmocka_unit_test(a_broken_pattern_is_refused_by_name),
        cmocka_unit_test(scanners_cut_as_pcre2_does),
    };

    return cmocka_run_group_tests(tests, make_classes, free_classes);
}
