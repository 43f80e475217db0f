/* bf16_test.c: what a product of bf16 numbers is, case by case, on every instruction set that this
 * machine has; kernelcheck compares them on random shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/kernels.h"
#include "support/every_cpu.h"

/* sum + a[0] * b[0] + .., as a gradient of one weight over n tokens. */
static float sum_of(struct compute *c, float sum, const float *a, const float *b, int64_t n)
{
    struct gemm_job j = {.a = a,
                         .b = b,
                         .out = &sum,
                         .a_stride = 1,
                         .b_stride = 1,
                         .out_stride = 1,
                         .n_rows = n,
                         .n_out = 1,
                         .n_in = 1,
                         .bf16 = true};
    struct mk_error err;

    assert_int_equal(c->k->gemm_tn(c, &j, 1, &err), 0);
    return sum;
}

static void assert_bits(float got, float want)
{
    if (memcmp(&got, &want, sizeof got))
        fail_msg("got %a, expected %a", got, want);
}

static void check_subnormal(struct compute *c)
{
    static const struct {
        float sum, a, b, want;
    } cases[] = {
        {0x1p-126f, -0x1p-75f, 0x1p-75f, 0x0p+0f},     /* 2^-126 - 2^-150: 24 bits hold it */
        {0x1p-126f, -0x1p-75f, 0x1p-76f, 0x1p-126f},   /* - 2^-151: half way, to even */
        {-0x1p-126f, 0x1p-75f, 0x1p-75f, -0x0p+0f},    /* zeros keep the sign */
        {0x1.000002p-126f, -0x1p-75f, 0x1p-75f, 0x1p-126f},
        {0x1p-127f, 1, 1, 1},                          /* a subnormal sum is no sum */
        {0x1p-127f, 0x1p-100f, 0x1p-100f, 0x0p+0f},
        {0, 0x1p-127f, 0x1p+120f, 0x0p+0f},            /* a subnormal factor is none */
        {0, -0x1p-100f, 0x1p-100f, -0x0p+0f},
        {0, 0x1p-126f, 0x1p+120f, 0x1p-6f},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_bits(sum_of(c, cases[i].sum, &cases[i].a, &cases[i].b, 1), cases[i].want);
}

static void check_rounding(struct compute *c)
{
    const float one = 1, tie_down = 0x1.01p+0f, tie_up = 0x1.03p+0f, above = 0x1.010002p+0f;

    assert_bits(sum_of(c, 0, &tie_down, &one, 1), 0x1p+0f);
    assert_bits(sum_of(c, 0, &tie_up, &one, 1), 0x1.04p+0f);
    assert_bits(sum_of(c, 0, &one, &above, 1), 0x1.02p+0f);
}

/* 2^24 + 1 + 1: each FMA loses its 1, the two together would not. */
static void check_order(struct compute *c)
{
    const float a[] = {0x1p+12f, 1, 1}, b[] = {0x1p+12f, 1, 1}, back[] = {1, 1, 0x1p+12f};

    assert_bits(sum_of(c, 0, a, b, 3), 0x1p+24f);
    assert_bits(sum_of(c, 0, back, back, 3), 0x1.000002p+24f);
}

/* A pass that ends with an odd token leaves no trace, not even in a sum of -0. */
static void check_cuts(struct compute *c)
{
    enum { N = 37 };
    float a[N], b[N];

    for (uint64_t i = 0; i < N; i++) {
        a[i] = (float)(2 * rng_uniform(1, 1, i) - 1);
        b[i] = (float)(2 * rng_uniform(2, 1, i) - 1);
    }
    for (int64_t cut = 0; cut <= N; cut++)
        assert_bits(sum_of(c, sum_of(c, 0, a, b, cut), a + cut, b + cut, N - cut),
                    sum_of(c, 0, a, b, N));
    a[0] = -0x1p-100f;
    b[0] = 0x1p-100f;
    assert_bits(sum_of(c, 0, a, b, 1), -0.0f);
    a[1] = a[2] = -0.0f;
    assert_bits(sum_of(c, sum_of(c, 0, a, b, 1), a + 1, b + 1, 2), sum_of(c, 0, a, b, 3));
}

static void test_what_is_subnormal_counts_as_zero(void **state)
{
    (void)state;
    on_every_cpu(check_subnormal);
}

static void test_inputs_are_rounded_to_even(void **state)
{
    (void)state;
    on_every_cpu(check_rounding);
}

static void test_terms_are_added_one_after_the_other(void **state)
{
    (void)state;
    on_every_cpu(check_order);
}

static void test_no_bit_depends_on_where_a_sum_is_cut(void **state)
{
    (void)state;
    on_every_cpu(check_cuts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_subnormal_counts_as_zero),
        cmocka_unit_test(test_inputs_are_rounded_to_even),
        cmocka_unit_test(test_terms_are_added_one_after_the_other),
        cmocka_unit_test(test_no_bit_depends_on_where_a_sum_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
