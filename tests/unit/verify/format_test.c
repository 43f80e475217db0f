/* format_test.c: tags, language, length and repetition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "verify/format.h"

static const struct format_rules strict = {.answer_tags = true};

static void judged(const char *text, struct format_rules rules, enum format_fault fault,
                   const char *think, const char *answer)
{
    struct format_verdict v;
    bool good = verify_format(text, strlen(text), &rules, &v);

    assert_string_equal(format_fault_text(v.fault), format_fault_text(fault));
    assert_int_equal(good, fault == FORMAT_GOOD);
    if (think) {
        assert_int_equal(v.think.n, strlen(think));
        assert_memory_equal(v.think.at, think, v.think.n);
    } else {
        assert_null(v.think.at);
    }
    if (answer) {
        assert_int_equal(v.answer.n, strlen(answer));
        assert_memory_equal(v.answer.at, answer, v.answer.n);
    } else {
        assert_null(v.answer.at);
    }
}

static void each_tag_stands_there_once_and_in_order(void **state)
{
    (void)state;
    judged("<think> a b </think>\n<answer> 5 </answer>\n", strict, FORMAT_GOOD, "a b", "5");
    judged("<think></think><answer></answer>", strict, FORMAT_GOOD, "", "");
    judged("", strict, FORMAT_THINK_MISSING, NULL, NULL);
    judged("5", strict, FORMAT_THINK_MISSING, NULL, NULL);
    judged("<answer>5</answer>", strict, FORMAT_THINK_MISSING, NULL, "5");
    judged("<think>a<answer>5</answer>", strict, FORMAT_THINK_MISSING, NULL, "5");
    judged("a</think><answer>5</answer>", strict, FORMAT_THINK_MISSING, NULL, "5");
    judged("<think>a</think>", strict, FORMAT_ANSWER_MISSING, "a", NULL);
    judged("<think>a</think><answer>5", strict, FORMAT_ANSWER_MISSING, "a", NULL);
    judged("<think>a</think>5</answer>", strict, FORMAT_ANSWER_MISSING, "a", NULL);
    judged("<think>a<think>b</think><answer>5</answer>", strict, FORMAT_THINK_TWICE, "a<think>b",
           "5");
    judged("<think>a</think></think><answer>5</answer>", strict, FORMAT_THINK_TWICE, "a", "5");
    judged("<think>a</think><answer>5</answer><answer>6</answer>", strict, FORMAT_ANSWER_TWICE, "a",
           "6");
    judged("<answer>5</answer><think>a</think>", strict, FORMAT_ORDER, "a", "5");
    judged("<think>a<answer>5</answer></think>", strict, FORMAT_ORDER, "a<answer>5</answer>", "5");
    judged("</think>a<think><answer>5</answer>", strict, FORMAT_ORDER, NULL, "5");
    judged("<think>a</think></answer>5<answer>", strict, FORMAT_ORDER, "a", NULL);
}

static void nothing_stands_outside_unless_allowed(void **state)
{
    struct format_rules loose = {.answer_tags = true, .loose = true};

    (void)state;
    judged("Well <think>a</think><answer>5</answer>", strict, FORMAT_OUTSIDE, "a", "5");
    judged("<think>a</think> so <answer>5</answer>", strict, FORMAT_OUTSIDE, "a", "5");
    judged("<think>a</think><answer>5</answer>!", strict, FORMAT_OUTSIDE, "a", "5");
    judged("Well <think>a</think> so <answer>5</answer>!", loose, FORMAT_GOOD, "a", "5");
    judged("<answer>5</answer><think>a</think>", loose, FORMAT_ORDER, "a", "5");
}

static void a_prompt_may_have_opened_the_thought(void **state)
{
    struct format_rules r = {.in_thought = true, .answer_tags = true};

    (void)state;
    judged("a</think><answer>5</answer>", r, FORMAT_GOOD, "a", "5");
    judged("<think>a</think><answer>5</answer>", r, FORMAT_THINK_TWICE, "<think>a", "5");
    judged("a<answer>5</answer>", r, FORMAT_THINK_MISSING, NULL, "5");
    r.answer_tags = false;
    judged("a</think>\n\n5", r, FORMAT_GOOD, "a", "5");
    judged("a</think> ", r, FORMAT_ANSWER_MISSING, "a", "");
    judged("a</think>b</think>5", r, FORMAT_THINK_TWICE, "a", "5");
    judged("a", r, FORMAT_THINK_MISSING, NULL, NULL);
}

static void an_answer_may_be_given_at_once_where_allowed(void **state)
{
    struct format_rules r = {.answer_tags = true, .direct = true};

    (void)state;
    judged("<answer>5</answer>", r, FORMAT_GOOD, NULL, "5");
    judged(" <answer>5</answer>\n", r, FORMAT_GOOD, NULL, "5");
    judged("<think>a</think><answer>5</answer>", r, FORMAT_GOOD, "a", "5");
    judged("a <answer>5</answer>", r, FORMAT_OUTSIDE, NULL, "5");
    judged("<answer>5</answer> a", r, FORMAT_OUTSIDE, NULL, "5");
    judged("</answer>5<answer>", r, FORMAT_ORDER, NULL, NULL);
    judged("5", r, FORMAT_ANSWER_MISSING, NULL, NULL);
    judged("<answer>5</answer><answer>6</answer>", r, FORMAT_ANSWER_TWICE, NULL, "6");
    judged("<think>a<answer>5</answer>", r, FORMAT_THINK_MISSING, NULL, "5");
    judged("a</think><answer>5</answer>", r, FORMAT_THINK_MISSING, NULL, "5");
    judged("<answer>5</answer>", strict, FORMAT_THINK_MISSING, NULL, "5");
}

static void any_cut_of_tags_is_read(void **state)
{
    static const char text[] = "<think>a</think><answer>5</answer><think></think></answer><answer>";

    (void)state;
    for (size_t from = 0; from < sizeof text; from++)
        for (size_t n = 0; from + n < sizeof text; n++) {
            char *copy = malloc(n + 1);

            memcpy(copy + 1, text + from, n);
            for (int i = 0; i < 16; i++) {
                struct format_rules r = {i & 1, i & 2, i & 4, i & 8};

                verify_format(copy + 1, n, &r, NULL);
            }
            free(copy);
        }
}

/* ---- Language -------------------------------------------------------------------------------- */

static double share(const char *text, enum format_script script)
{
    return format_language(text, strlen(text), script);
}

static void words_are_counted_by_script(void **state)
{
    (void)state;
    assert_true(share("So the sum is 7.", SCRIPT_LATIN) == 1);
    assert_true(share("So the sum is 7.", SCRIPT_HAN) == 0);
    assert_true(share("", SCRIPT_LATIN) == 1);
    assert_true(share("3 + 4 = 7", SCRIPT_HAN) == 1);
    assert_true(share("we \xe6\x89\x80\xe4\xbb\xa5 go", SCRIPT_LATIN) == 0.5); /* two Han */
    assert_true(share("\xd1\x82\xd0\xb0\xd0\xba \xd0\xb8 so on", SCRIPT_CYRILLIC) == 0.5);
    assert_true(share("\xce\xb1\xce\xb2 caf\xc3\xa9", SCRIPT_GREEK) == 0.5);
    assert_true(share("\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4 ok", SCRIPT_HANGUL) == 0.5);
    assert_true(share("\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", SCRIPT_HEBREW) == 1);
    assert_true(share("\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7", SCRIPT_ARABIC) == 1);
    assert_true(share("\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\xa8\xe0\xa5\x8d\xe0\xa4\xa6\xe0\xa5\x80",
                      SCRIPT_DEVANAGARI) == 1);
    assert_true(share("\xe0\xb9\x84\xe0\xb8\x97\xe0\xb8\xa2", SCRIPT_THAI) == 1);
}

static void mathematics_has_no_language(void **state)
{
    (void)state;
    assert_true(share("\xe6\x89\x80\xe4\xbb\xa5 \\frac{1}{2}", SCRIPT_HAN) == 1);
    assert_true(share("\xe6\x89\x80\xe4\xbb\xa5 $x + y$", SCRIPT_HAN) == 1);
    assert_true(share("costs $ five", SCRIPT_LATIN) == 1);
    assert_true(share("$x \xe6\x89\x80", SCRIPT_HAN) == 0.5); /* a dollar that never closes */
}

static void scripts_have_names(void **state)
{
    enum format_script read;
    struct mk_error err;

    (void)state;
    for (int s = 0; s < N_SCRIPTS; s++) {
        assert_int_equal(format_script_read(&read, format_script_name(s), "--script", &err), 0);
        assert_int_equal(read, s);
    }
    assert_int_equal(format_script_read(&read, "klingon", "--script", &err), MK_EINVAL);
    assert_string_equal(err.text, "--script: there is no script 'klingon': say one of latin, han, "
                                  "cyrillic, greek, hangul, arabic, hebrew, devanagari, thai");
}

static void any_bytes_have_a_language(void **state)
{
    char text[512];

    (void)state;
    for (int i = 0; i < 512; i++)
        text[i] = (char)(i * 37);
    for (size_t n = 0; n < sizeof text; n++) {
        double d = format_language(text, n, SCRIPT_LATIN);

        assert_true(d >= 0 && d <= 1);
    }
}

/* ---- Length, repetition ---------------------------------------------------------------------- */

static void lengths_are_counted(void **state)
{
    static const char text[] = "One caf\xc3\xa9,\n  two\n";
    struct format_length l = format_length(text, strlen(text));

    (void)state;
    assert_int_equal(l.bytes, 17);
    assert_int_equal(l.characters, 16);
    assert_int_equal(l.words, 3);
    assert_int_equal(l.lines, 2);
    assert_int_equal(format_length("", 0).lines, 0);
    assert_int_equal(format_length("a", 1).lines, 1);
}

static double repeats(const char *text, int n_gram)
{
    struct mk_error err;
    double d = -1;

    assert_int_equal(format_repetition(text, strlen(text), n_gram, &d, &err), 0);
    return d;
}

static void what_is_said_again_is_counted(void **state)
{
    struct mk_error err;
    double d;

    (void)state;
    assert_true(repeats("", 4) == 0);
    assert_true(repeats("a b c", 4) == 0);
    assert_true(repeats("a b c d e f g", 2) == 0);
    assert_true(repeats("a b a b", 2) == 1.0 / 3);
    assert_true(repeats("a b  a\nb", 2) == 1.0 / 3); /* blanks do not matter */
    assert_true(repeats("a a a a a", 1) == 0.8);
    assert_true(repeats("ab c a bc", 2) == 0); /* words have ends */
    assert_int_equal(format_repetition("a", 1, 0, &d, &err), MK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tag_stands_there_once_and_in_order),
        cmocka_unit_test(nothing_stands_outside_unless_allowed),
        cmocka_unit_test(a_prompt_may_have_opened_the_thought),
        cmocka_unit_test(an_answer_may_be_given_at_once_where_allowed),
        cmocka_unit_test(any_cut_of_tags_is_read),
        cmocka_unit_test(words_are_counted_by_script),
        cmocka_unit_test(mathematics_has_no_language),
        cmocka_unit_test(scripts_have_names),
        cmocka_unit_test(any_bytes_have_a_language),
        cmocka_unit_test(lengths_are_counted),
        cmocka_unit_test(what_is_said_again_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
