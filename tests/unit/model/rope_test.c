/* rope_test.c: frequencies and scales of the released models (deepseek.md 2.3, 2.4, 1.3, 11). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/rope.h"

static const struct arch v3 = {.attention = ARCH_MLA,
                               .rope_theta = 10000,
                               .scaling = ARCH_SCALING_YARN,
                               .scaling_factor = 40,
                               .original_context = 4096,
                               .beta_fast = 32,
                               .beta_slow = 1,
                               .mscale = 1,
                               .mscale_all_dim = 1};

static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%.9g, expected %.9g", got, want);
}

/* V3: pairs up to 10 keep their frequency, pairs from 23 on turn 40 times slower, a ramp between.
 */
static void yarn_keeps_fast_waves_and_stretches_slow_ones(void **state)
{
    struct mk_error err;
    struct rope r;

    (void)state;
    assert_int_equal(rope_init(&r, &v3, 64, &err), 0);
    assert_int_equal(r.n_pairs, 32);
    assert_near(r.frequency[10], pow(10000, -20.0 / 64), 1e-6);
    assert_near(r.frequency[23], pow(10000, -46.0 / 64) / 40, 1e-6);
    assert_near(r.frequency[31], pow(10000, -62.0 / 64) / 40, 1e-6);
    assert_true(r.frequency[16] < pow(10000, -32.0 / 64));
    assert_true(r.frequency[16] > pow(10000, -32.0 / 64) / 40);
    assert_near(r.magnitude, 1, 0);
}

static void score_scales_are_those_of_the_releases(void **state)
{
    struct arch lite = v3, plain = v3;

    (void)state;
    lite.mscale = lite.mscale_all_dim = 0.707;
    plain.scaling = ARCH_SCALING_NONE;
    assert_near(rope_score_scale(&v3, 192), 0.1352338, 1e-6);
    assert_near(rope_score_scale(&lite, 192), 0.1147214, 1e-6);
    assert_near(rope_score_scale(&plain, 192), 0.0721688, 1e-6);
}

/* Llama 3.1: factor 8, bands at 8192 / 4 and 8192 / 1. */
static void llama3_scaling_has_three_bands(void **state)
{
    const struct arch a = {.rope_theta = 500000,
                           .scaling = ARCH_SCALING_LLAMA3,
                           .scaling_factor = 8,
                           .original_context = 8192,
                           .low_freq_factor = 1,
                           .high_freq_factor = 4};
    double wave, keep, f;
    struct mk_error err;
    struct rope r;

    (void)state;
    assert_int_equal(rope_init(&r, &a, 128, &err), 0);
    assert_near(r.frequency[0], 1, 0);
    assert_near(r.frequency[63], pow(500000, -126.0 / 128) / 8, 1e-6);
    f = pow(500000, -64.0 / 128); /* wavelength 4443, between 2048 and 8192 */
    wave = 2 * 3.14159265358979 / f;
    keep = (8192 / wave - 1) / 3;
    assert_near(r.frequency[32], (1 - keep) * f / 8 + keep * f, 1e-6);
}

static void a_row_holds_cosine_and_sine_of_each_pair(void **state)
{
    const struct arch a = {.rope_theta = 10000};
    struct mk_error err;
    struct rope r;
    float row[8];

    (void)state;
    assert_int_equal(rope_init(&r, &a, 8, &err), 0);
    rope_row(&r, 3, row);
    assert_near(row[0], cos(3), 1e-6);
    assert_near(row[1], sin(3), 1e-6);
    assert_near(row[2], cos(0.3), 1e-6);
}

static void odd_or_huge_dimensions_are_refused(void **state)
{
    struct mk_error err;
    struct rope r;

    (void)state;
    assert_int_equal(rope_init(&r, &v3, 63, &err), MK_EUNSUPPORTED);
    assert_int_equal(rope_init(&r, &v3, 1 << 20, &err), MK_EUNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yarn_keeps_fast_waves_and_stretches_slow_ones),
        cmocka_unit_test(score_scales_are_those_of_the_releases),
        cmocka_unit_test(llama3_scaling_has_three_bands),
        cmocka_unit_test(a_row_holds_cosine_and_sine_of_each_pair),
        cmocka_unit_test(odd_or_huge_dimensions_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
