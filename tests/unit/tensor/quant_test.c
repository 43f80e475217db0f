/* quant_test.c: floats become the blocks that gguf-py writes, and come back near enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/map_file.h"
#include "base/rng.h"
#include "tensor/dequant.h"
#include "tensor/quant.h"

#define ROWS 4
#define COLS 512
#define N 4096 /* of random values */

static struct map_file open_golden(const char *name)
{
    struct map_file m;
    struct mk_error err;
    char path[128];

    snprintf(path, sizeof path, "tests/golden/quants/%s", name);
    if (map_file_open(&m, path, &err))
        fail_msg("%s", err.text);
    return m;
}

static void blocks_equal_those_of_gguf_py(void **state)
{
    static const struct { const char *file; enum dtype type; } types[] = {
        {"F16.quantised", MK_F16},   {"BF16.quantised", MK_BF16}, {"Q8_0.quantised", MK_Q8_0},
        {"Q4_0.quantised", MK_Q4_0}, {"Q4_1.quantised", MK_Q4_1},
    };
    struct map_file input = open_golden("input.f32");
    const float *x = (const float *)(const void *)input.data;

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct map_file want = open_golden(types[i].file);
        unsigned char got[COLS * 4];
        uint64_t row_bytes;

        assert_true(dtype_bytes(types[i].type, COLS, &row_bytes));
        assert_int_equal(want.bytes, ROWS * row_bytes);
        for (int r = 0; r < ROWS; r++) {
            assert_int_equal(quantise_row(types[i].type, x + r * COLS, COLS, got), 0);
            if (memcmp(got, want.data + (size_t)r * row_bytes, row_bytes) != 0)
                fail_msg("%s differs in row %d", types[i].file, r);
        }
        map_file_close(&want);
    }
    map_file_close(&input);
}

/* Standard normal values (Box-Muller) times `scale` plus `shift`. */
static void fill_normal(float *x, int n, uint64_t seed, double scale, double shift)
{
    for (int i = 0; i < n; i++) {
        double u = 1 - rng_uniform(seed, 0, (uint64_t)i), v = rng_uniform(seed, 1, (uint64_t)i);

        x[i] = (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979 * v) * scale + shift);
    }
}

/* Root of the mean squared error of a round trip, relative to that of the values. */
static double round_trip(enum dtype type, const float *x, int n)
{
    static unsigned char blocks[N * 4];
    static float back[N];
    double error = 0, sum = 0;

    assert_true(n <= N);
    memset(blocks, 0xaa, sizeof blocks); /* what the quantiser does not write shows */
    assert_int_equal(quantise_row(type, x, n, blocks), 0);
    assert_int_equal(dequantise_row(type, blocks, n, back), 0);
    for (int i = 0; i < n; i++) {
        error += ((double)back[i] - (double)x[i]) * ((double)back[i] - (double)x[i]);
        sum += (double)x[i] * (double)x[i];
    }
    return sum > 0 ? sqrt(error / sum) : error;
}

/* The bounds: measured on this data plus a tenth. For uniform steps of 2^-b of the range of a group
 * of normal values the theory gives 0.077, 0.018 and 0.0055 of the rms at 4, 6 and 8 bits. */
static void normal_weights_come_back_within_the_error_of_their_bits(void **state)
{
    static const struct { enum dtype type; double bound; } types[] = {
        {MK_F32, 0},       {MK_F16, 0.0003},  {MK_BF16, 0.0025}, {MK_F8_E4M3, 0.03},
        {MK_Q8_0, 0.0062}, {MK_Q4_0, 0.098},  {MK_Q4_1, 0.085},  {MK_Q4_K, 0.077},
        {MK_Q6_K, 0.020},
    };
    static float x[N];

    (void)state;
    fill_normal(x, N, 1, 1.0, 0);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        double error = round_trip(types[i].type, x, N);

        assert_true(quantise_can(types[i].type));
        if (!(error <= types[i].bound))
            fail_msg("%s: relative error %.5f, at most %.5f", dtype_info(types[i].type)->name,
                     error, types[i].bound);
    }
}

/* Values far from zero need the minimum: a group without one wastes all its codes on the shift. */
static void q4_k_stores_shifted_groups_with_a_minimum(void **state)
{
    static float x[N];

    (void)state;
    fill_normal(x, N, 2, 0.01, -0.1);
    assert_true(round_trip(MK_Q4_K, x, N) < 0.01);
    assert_true(round_trip(MK_Q4_K, x, N) < round_trip(MK_Q4_0, x, N) / 4);
}

/* No value of a group is farther away than half a step of the group, and the rounding of the
 * scales: with a range of 2 and 63 levels in Q6_K that is 1/63 + 1/100. */
static void q6_k_has_no_far_value(void **state)
{
    static float x[N], back[N];
    static unsigned char blocks[N];

    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = (float)(2 * rng_uniform(3, 0, (uint64_t)i) - 1);
    assert_int_equal(quantise_row(MK_Q6_K, x, N, blocks), 0);
    assert_int_equal(dequantise_row(MK_Q6_K, blocks, N, back), 0);
    for (int i = 0; i < N; i++)
        assert_true(fabsf(back[i] - x[i]) < 1.0f / 63 + 0.01f);
}

static void zeros_and_single_values_survive_every_block_type(void **state)
{
    static const enum dtype types[] = {MK_Q8_0, MK_Q4_0, MK_Q4_1, MK_Q4_K, MK_Q6_K};
    static float x[256];

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        memset(x, 0, sizeof x);
        assert_true(round_trip(types[i], x, 256) == 0);
        for (int k = 0; k < 256; k++)
            x[k] = -0.5f;
        assert_true(round_trip(types[i], x, 256) < 0.01);
        for (int k = 0; k < 256; k++)
            x[k] = 0.5f;
        assert_true(round_trip(types[i], x, 256) < 0.01);
        memset(x, 0, sizeof x);
        x[100] = 3.0f;
        assert_true(round_trip(types[i], x, 256) < 0.01);
    }
}

static void values_that_blocks_cannot_hold_are_refused(void **state)
{
    static const enum dtype types[] = {MK_Q8_0, MK_Q4_0, MK_Q4_1, MK_Q4_K, MK_Q6_K};
    static const float bad[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX};
    static unsigned char blocks[2048];
    static float x[256];

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
            x[77] = bad[k];
            assert_int_equal(quantise_row(types[i], x, 256, blocks), MK_EINVAL);
            x[77] = 0;
        }
    assert_int_equal(quantise_row(MK_Q6_K, x, 255, blocks), MK_EINVAL);
    assert_int_equal(quantise_row(MK_Q5_K, x, 256, blocks), MK_EINVAL);
    assert_false(quantise_can(MK_Q5_K));
    x[0] = FLT_MIN / 4; /* so small that its inverse is near the end of the range */
    assert_int_equal(quantise_row(MK_Q4_0, x, 32, blocks), 0);
    assert_int_equal(quantise_row(MK_Q4_K, x, 256, blocks), 0);
    x[0] = FLT_TRUE_MIN;
    assert_int_equal(quantise_row(MK_Q8_0, x, 32, blocks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_equal_those_of_gguf_py),
        cmocka_unit_test(normal_weights_come_back_within_the_error_of_their_bits),
        cmocka_unit_test(q4_k_stores_shifted_groups_with_a_minimum),
        cmocka_unit_test(q6_k_has_no_far_value),
        cmocka_unit_test(zeros_and_single_values_survive_every_block_type),
        cmocka_unit_test(values_that_blocks_cannot_hold_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
