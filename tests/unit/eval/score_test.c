/* score_test.c: estimators against exact counting, errors against numbers worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "eval/score.h"

/* Of all ways to draw k of n answers, c of which are right, the share with a right one. */
static double count_draws(int n, int c, int k)
{
    int hits = 0, all = 0;

    for (unsigned set = 0; set < 1u << n; set++) {
        if (__builtin_popcount(set) != k)
            continue;
        all++;
        hits += (set & ((1u << c) - 1)) != 0;
    }
    return (double)hits / all;
}

static void pass_at_k_is_the_share_of_draws_with_a_right_answer(void **state)
{
    (void)state;
    for (int n = 1; n <= 10; n++)
        for (int c = 0; c <= n; c++)
            for (int k = 1; k <= n; k++)
                assert_true(fabs(score_pass(n, c, k) - count_draws(n, c, k)) < 1e-12);
}

static void pass_at_k_of_many_samples_stays_finite(void **state)
{
    (void)state;
    assert_true(fabs(score_pass(4096, 1, 1024) - 0.25) < 1e-12);
    assert_true(fabs(score_pass(4096, 0, 4096)) < 1e-12);
}

static struct text_span span(const char *text)
{
    return (struct text_span){text, text ? strlen(text) : 0};
}

static bool same(struct text_span a, struct text_span b)
{
    return a.n == b.n && !memcmp(a.at, b.at, a.n);
}

static int32_t majority(const char *const *answers, int32_t n)
{
    struct text_span spans[16];

    for (int32_t i = 0; i < n; i++)
        spans[i] = span(answers[i]);
    return score_majority(spans, n, same);
}

static void most_votes_win_and_no_answer_has_none(void **state)
{
    const char *const clear[] = {"1", "2", NULL, NULL, NULL, "2"};
    const char *const tie[] = {"7", "5", "5", "7"}, *const none[] = {NULL, NULL};

    (void)state;
    assert_int_equal(majority(clear, 6), 1); /* the first answer of its class */
    assert_int_equal(majority(tie, 4), 0);
    assert_int_equal(majority(none, 2), -1);
}

/* 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9) / 3, its root over 2. */
static void a_mean_has_the_error_of_the_sample(void **state)
{
    const double values[] = {1, 2, 3, 6};
    struct estimate e = score_mean(values, 4);

    (void)state;
    assert_true(fabs(e.value - 3) < 1e-15);
    assert_true(fabs(e.error - sqrt(14.0 / 3) / 2) < 1e-15);
    assert_true(isnan(score_mean(values, 1).error));
    assert_true(isnan(score_mean(values, 0).value));
}

/* 6 / 4; residuals 1 - 1.5, 2 - 1.5, 3 - 3. */
static void a_ratio_has_the_error_of_its_residuals(void **state)
{
    const double a[] = {1, 2, 3}, b[] = {1, 1, 2};
    struct estimate e = score_ratio(a, b, 3);

    (void)state;
    assert_true(fabs(e.value - 1.5) < 1e-15);
    assert_true(fabs(e.error - sqrt(0.5 * 3 / 2) / 4) < 1e-15);
    assert_true(isnan(score_ratio(a, b, 1).error));
}

static void a_table_keeps_series_apart(void **state)
{
    struct score_table t = {.n = 0};
    struct mk_error err;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(score_add(&t, "a", i, &err), 0);
        assert_int_equal(score_add(&t, "b", -i, &err), 0);
    }
    assert_int_equal(t.n, 2);
    assert_int_equal(score_find(&t, "b")->n, 1000);
    assert_true(score_find(&t, "b")->values[999] == -999);
    assert_null(score_find(&t, "c"));
    assert_int_equal(score_add(&t, "a name that is longer than thirty-one", 0, &err), MK_ELIMIT);
    score_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pass_at_k_is_the_share_of_draws_with_a_right_answer),
        cmocka_unit_test(pass_at_k_of_many_samples_stays_finite),
        cmocka_unit_test(most_votes_win_and_no_answer_has_none),
        cmocka_unit_test(a_mean_has_the_error_of_the_sample),
        cmocka_unit_test(a_ratio_has_the_error_of_its_residuals),
        cmocka_unit_test(a_table_keeps_series_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
