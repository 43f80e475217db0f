/* balance_test.c: what one number says about which experts serve which source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "train/balance.h"

enum { N = 4 };

static void sources_that_share_all_experts_tell_nothing(void **state)
{
    /* Ten times the text, the same shares; two experts that nobody is sent to. */
    const int64_t counts[2 * N] = {3, 5, 0, 0, 30, 50, 0, 0};

    (void)state;
    assert_true(fabs(balance_information(counts, 2, N, N)) < 1e-12);
}

static void sources_without_a_common_expert_tell_all(void **state)
{
    const int64_t counts[3 * N] = {7, 0, 1, 0, 0, 900, 0, 0, 0, 0, 0, 2};

    (void)state;
    assert_true(fabs(balance_information(counts, 3, N, N) - 1) < 1e-12);
}

/* Worked by hand: one source has expert 0 alone, the other 0 and 1 evenly. p(0) = 3/4, p(1) = 1/4;
 * I = 1/2 ln(4/3) + 1/4 ln(2/3) + 1/4 ln 2, over ln 2. */
static void in_between_it_is_the_mutual_information(void **state)
{
    const int64_t counts[2 * N] = {40, 0, 0, 0, 5, 5, 0, 0};
    double want = (0.5 * log(4.0 / 3) + 0.25 * log(2.0 / 3) + 0.25 * log(2)) / log(2);

    (void)state;
    assert_true(fabs(balance_information(counts, 2, N, N) - want) < 1e-12);
}

static void a_single_source_and_layers_far_apart(void **state)
{
    const int64_t counts[3 * 2 * N] = {1, 2, 0, 0, 9, 9, 9, 9, /* two layers of each source */
                                       0, 0, 0, 0, 9, 9, 9, 9, 0, 0, 3, 0, 9, 9, 9, 9};

    (void)state;
    assert_true(isnan(balance_information(counts, 1, 2 * N, N)));
    assert_true(isnan(balance_information(counts, 2, 2 * N, N))); /* the second has no tokens */
    assert_true(fabs(balance_information(counts, 3, 2 * N, N) - 1) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_that_share_all_experts_tell_nothing),
        cmocka_unit_test(sources_without_a_common_expert_tell_all),
        cmocka_unit_test(in_between_it_is_the_mutual_information),
        cmocka_unit_test(a_single_source_and_layers_far_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
