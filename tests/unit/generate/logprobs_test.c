/* logprobs_test.c: log-probabilities, the best alternatives and ranks against plain arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "base/rng.h"
#include "generate/logprobs.h"

static void logprobs_are_logits_less_the_log_of_their_sum(void **state)
{
    struct compute c;
    struct mk_error err;
    float x[1000], sum;
    double total = 0, whole = 0;

    (void)state;
    assert_int_equal(compute_init(&c, "ref", 1, &err), 0);
    for (int i = 0; i < 1000; i++) {
        x[i] = (float)(20 * rng_uniform(1, 2, (uint64_t)i) - 5);
        total += exp((double)x[i]);
    }
    sum = logprobs_sum(&c, x, 1000);
    for (int i = 0; i < 1000; i++) {
        float p = logprobs_of(x, sum, i);

        assert_true(fabs((double)p - ((double)x[i] - log(total))) < 4e-6);
        assert_true(p <= 0);
        whole += exp((double)p);
    }
    assert_true(fabs(whole - 1) < 1e-5);
    compute_release(&c);
}

static void top_is_sorted_and_equals_stand_by_id(void **state)
{
    const float x[] = {1, 5, 3, 5, -INFINITY, 3, 4};
    const int32_t order[] = {1, 3, 6, 2, 5, 0, 4};
    struct mk_token_logprob top[MK_MAX_TOP_LOGPROBS];

    (void)state;
    for (int32_t n = 0; n <= MK_MAX_TOP_LOGPROBS; n++) {
        int32_t found = logprobs_top(x, 7, 10.0f, n, top);

        assert_int_equal(found, n < 7 ? n : 7);
        for (int32_t i = 0; i < found; i++) {
            assert_int_equal(top[i].id, order[i]);
            assert_true(top[i].logprob == x[order[i]] - 10.0f);
        }
    }
}

static void rank_is_the_place_in_that_order(void **state)
{
    const float x[] = {1, 5, 3, 5, -INFINITY, 3, 4};
    const int32_t ranks[] = {6, 1, 4, 2, 7, 5, 3};

    (void)state;
    for (int32_t i = 0; i < 7; i++)
        assert_int_equal(logprobs_rank(x, 7, i), ranks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logprobs_are_logits_less_the_log_of_their_sum),
        cmocka_unit_test(top_is_sorted_and_equals_stand_by_id),
        cmocka_unit_test(rank_is_the_place_in_that_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
