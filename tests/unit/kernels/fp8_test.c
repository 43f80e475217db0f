/* fp8_test.c: V3's FP8 scheme and bf16 against PyTorch (tools/golden/fp8.py), against the stored
 * types of tensor/dtype.h, and the bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/map_file.h"
#include "tensor/dtype.h"
#include "kernels/fp8.h"

#define ROWS 131 /* of the golden input */
#define COLUMNS 150
#define FEW 16 /* rows of e5m6.f32 and bf16.bin */
#define N (ROWS * COLUMNS)

struct golden {
    const char *name;
    struct fp8_rule rule;
    int64_t height, width; /* of a tile */
};

static const struct golden goldens[] = {
    {"rows", {FP8_ROWS, FP8_E4M3, false, false}, 1, 128},
    {"rows_pow2", {FP8_ROWS, FP8_E4M3, true, false}, 1, 128},
    {"columns", {FP8_COLUMNS, FP8_E4M3, false, false}, 128, 1},
    {"columns_pow2", {FP8_COLUMNS, FP8_E4M3, true, false}, 128, 1},
    {"blocks", {FP8_BLOCKS, FP8_E4M3, false, false}, 128, 128},
    {"blocks_pow2", {FP8_BLOCKS, FP8_E4M3, true, false}, 128, 128},
};
#define N_GOLDENS (sizeof goldens / sizeof *goldens)

static uint32_t scrambled(uint64_t i, uint64_t salt)
{
    uint64_t x = (i + 1000003u * salt) * 0x9E3779B97F4A7C15u;

    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 32;
    return (uint32_t)(x >> 40);
}

static float some_value(uint64_t i)
{
    float x = ((float)scrambled(i, 1) - (float)(1 << 23)) / (float)(1 << 23);

    return ldexpf(x, (int)(scrambled(i, 2) % 16) - 12);
}

/* As fp8.py: every tile has values that become subnormal or 0, rows 3 and 4 are full of ties,
 * row 7 reaches the subnormal numbers of E5M6. */
static void golden_input(float *x)
{
    for (int i = 0; i < N; i++)
        x[i] = some_value((uint64_t)i);
    for (int j = 0; j < COLUMNS; j++) {
        x[3 * COLUMNS + j] = j % 128 ? (float)j / 1024 : 448;
        x[4 * COLUMNS + j] = j % 128 ? -(float)j / 2 : 448;
        x[5 * COLUMNS + j] = j == 140 ? -3 : 0;
        x[6 * COLUMNS + j] *= 0x1p-20f;
        x[7 * COLUMNS + j] = j % 128 ? x[7 * COLUMNS + j] * 0x1p-21f : 1.9f;
    }
}

static struct map_file open_golden(const char *name, const char *ending, size_t bytes)
{
    struct map_file m;
    struct mk_error err;
    char path[128];

    snprintf(path, sizeof path, "tests/golden/fp8/%s.%s", name, ending);
    if (map_file_open(&m, path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(m.bytes, bytes);
    return m;
}

static struct exec *open_threads(int n)
{
    struct exec *ex;
    struct mk_error err;

    if (exec_create(&ex, n, &err))
        fail_msg("%s", err.text);
    return ex;
}

static void assert_same_bits(const char *what, const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            fail_msg("%s: value %d is %a, expected %a", what, (int)i, (double)got[i],
                     (double)want[i]);
}

/* What a file of these codes and scales holds. The caller frees it. */
static float *golden_values(const struct golden *g, float *scale_of)
{
    int64_t down = (ROWS - 1) / g->height + 1, across = (COLUMNS - 1) / g->width + 1;
    struct map_file codes = open_golden(g->name, "codes", N);
    struct map_file scales = open_golden(g->name, "scales", (size_t)(down * across) * 4);
    float *out = malloc(N * sizeof *out), s;

    for (int64_t i = 0; i < N; i++) {
        int64_t tile = i / COLUMNS / g->height * across + i % COLUMNS / g->width;

        memcpy(&s, scales.data + tile * 4, sizeof s);
        out[i] = e4m3_to_f32(codes.data[i]) * s;
        if (scale_of)
            scale_of[i] = s;
    }
    map_file_close(&codes);
    map_file_close(&scales);
    return out;
}

static void e4m3_values_are_those_of_torch(void **state)
{
    struct exec *ex = open_threads(2);
    float *x = malloc(N * sizeof *x), *got = malloc(N * sizeof *got);

    (void)state;
    golden_input(x);
    for (size_t i = 0; i < N_GOLDENS; i++) {
        float *want = golden_values(&goldens[i], NULL);

        fp8_round(ex, &goldens[i].rule, got, x, ROWS, COLUMNS);
        assert_same_bits(goldens[i].name, got, want, N);
        free(want);
    }
    free(x);
    free(got);
    exec_free(ex);
}

static void e5m6_and_bf16_are_those_of_python(void **state)
{
    struct exec *ex = open_threads(1);
    struct map_file e5m6 = open_golden("e5m6", "f32", FEW * COLUMNS * 4);
    struct map_file bf16 = open_golden("bf16", "bin", FEW * COLUMNS * 2);
    float *x = malloc(N * sizeof *x), *got = malloc(N * sizeof *got), want[FEW * COLUMNS];

    (void)state;
    golden_input(x);
    fp8_round(ex, &fp8_attention_out, got, x, ROWS, COLUMNS);
    memcpy(want, e5m6.data, sizeof want);
    assert_same_bits("e5m6", got, want, FEW * COLUMNS);
    bf16_round(ex, got, x, FEW * COLUMNS);
    for (int i = 0; i < FEW * COLUMNS; i++)
        want[i] = bf16_to_f32((uint16_t)(bf16.data[2 * i] | bf16.data[2 * i + 1] << 8));
    assert_same_bits("bf16", got, want, FEW * COLUMNS);
    map_file_close(&e5m6);
    map_file_close(&bf16);
    free(x);
    free(got);
    exec_free(ex);
}

/* The rules by name are those of the report. */
static void each_tensor_has_the_tiles_of_the_report(void **state)
{
    (void)state;
    assert_int_equal(fp8_activation.shape, FP8_ROWS);
    assert_int_equal(fp8_activation_turned.shape, FP8_COLUMNS);
    assert_int_equal(fp8_weight.shape, FP8_BLOCKS);
    assert_int_equal(fp8_attention_out.format, FP8_E5M6);
    assert_true(fp8_sent.power_of_two && fp8_attention_out.power_of_two);
    assert_false(fp8_activation.power_of_two || fp8_weight.power_of_two);
    assert_int_equal(fp8_gradient.shape, FP8_ROWS);
    assert_int_equal(fp8_gradient_turned.shape, FP8_COLUMNS);
    assert_int_equal(fp8_sent_turned.shape, FP8_COLUMNS);
    assert_true(fp8_sent_turned.power_of_two && !fp8_gradient.power_of_two);
}

/* The gradient of a mean keeps its bits however many tokens the mean is over; by the rule of
 * activations a tile below 1e-4 would not. */
static void small_gradients_are_rounded_like_large_ones(void **state)
{
    struct exec *ex = open_threads(1);
    float large[128], small[128], lost[128];

    (void)state;
    for (int i = 0; i < 128; i++) {
        large[i] = some_value((uint64_t)i);
        small[i] = lost[i] = large[i] * 0x1p-40f;
    }
    fp8_round(ex, &fp8_gradient, large, large, 1, 128);
    fp8_round(ex, &fp8_gradient, small, small, 1, 128);
    fp8_round(ex, &fp8_activation, lost, lost, 1, 128);
    for (int i = 0; i < 128; i++) {
        assert_true(small[i] == large[i] * 0x1p-40f);
        assert_true(lost[i] == 0);
        small[i] = 0;
    }
    fp8_round(ex, &fp8_gradient, small, small, 1, 128);
    for (int i = 0; i < 128; i++)
        assert_true(small[i] == 0);
    exec_free(ex);
}

/* Between every two values of E4M3: the middle, and the numbers beside it. */
static void rounding_is_that_of_the_stored_type(void **state)
{
    struct exec *ex = open_threads(1);

    (void)state;
    for (int code = 0; code < 0x7e; code++) {
        float middle = (e4m3_to_f32((uint8_t)code) + e4m3_to_f32((uint8_t)(code + 1))) / 2;
        float x[8] = {448, middle, nextafterf(middle, 0), nextafterf(middle, 448)}, want[8];

        for (int i = 0; i < 4; i++)
            x[4 + i] = -x[i];
        for (int i = 0; i < 8; i++)
            want[i] = e4m3_to_f32(f32_to_e4m3(x[i]));
        fp8_round(ex, &fp8_activation, x, x, 1, 8);
        assert_same_bits("E4M3", x, want, 8);
    }
    exec_free(ex);
}

static void bf16_is_that_of_the_stored_type(void **state)
{
    enum { N_BITS = 1 << 16 };
    struct exec *ex = open_threads(2);
    float *x = malloc(N_BITS * sizeof *x), *want = malloc(N_BITS * sizeof *want);

    (void)state;
    for (uint32_t half = 0; half < 4; half++) { /* no fraction, below, at and above the middle */
        static const uint32_t low[4] = {0, 0x7fff, 0x8000, 0x8001};

        for (uint32_t i = 0; i < N_BITS; i++) {
            uint32_t bits = i << 16 | low[half];

            memcpy(&x[i], &bits, sizeof bits);
            want[i] = bf16_to_f32(f32_to_bf16(x[i]));
        }
        bf16_round(ex, x, x, N_BITS);
        assert_memory_equal(x, want, N_BITS * sizeof *x);
    }
    free(x);
    free(want);
    exec_free(ex);
}

/* Rounds a copy of x in place, `step` rows at a time. */
static void assert_same_when_cut(struct exec *ex, const struct golden *g, const float *x,
                                 const float *want, int64_t rows, int64_t columns, int64_t step)
{
    int64_t n = rows * columns;
    float *got = malloc((size_t)n * sizeof *got);

    memcpy(got, x, (size_t)n * sizeof *got);
    for (int64_t r = 0; r < rows; r += step) {
        float *part = got + r * columns;

        fp8_round(ex, &g->rule, part, part, r + step < rows ? step : rows - r, columns);
    }
    assert_same_bits(g->name, got, want, n);
    free(got);
}

static void threads_and_cuts_at_128_rows_do_not_change_a_bit(void **state)
{
    enum { MANY = 300, WIDE = 400 };
    struct exec *one = open_threads(1);
    float *x = malloc(MANY * WIDE * sizeof *x), *want = malloc(MANY * WIDE * sizeof *want);

    (void)state;
    for (int i = 0; i < MANY * WIDE; i++)
        x[i] = some_value((uint64_t)i);
    for (size_t i = 0; i < N_GOLDENS; i++) {
        const struct golden *g = &goldens[i];

        fp8_round(one, &g->rule, want, x, MANY, WIDE);
        for (int threads = 1; threads <= 3; threads++) {
            struct exec *ex = open_threads(threads);

            assert_same_when_cut(ex, g, x, want, MANY, WIDE, MANY);
            assert_same_when_cut(ex, g, x, want, MANY, WIDE, FP8_TILE);
            if (g->rule.shape == FP8_ROWS)
                assert_same_when_cut(ex, g, x, want, MANY, WIDE, 7);
            exec_free(ex);
        }
    }
    free(x);
    free(want);
    exec_free(one);
}

/* Saved and rounded again, as activations kept for the backward pass are. */
static void with_powers_of_two_rounding_again_changes_nothing(void **state)
{
    static const struct fp8_rule wide = {FP8_BLOCKS, FP8_E5M6, true, false};
    struct exec *ex = open_threads(1);
    float *once = malloc(N * sizeof *once), *twice = malloc(N * sizeof *twice);

    (void)state;
    for (size_t i = 0; i <= N_GOLDENS; i++) {
        const struct fp8_rule *rule = i < N_GOLDENS ? &goldens[i].rule : &wide;

        if (!rule->power_of_two)
            continue;
        golden_input(once);
        fp8_round(ex, rule, once, once, ROWS, COLUMNS);
        fp8_round(ex, rule, twice, once, ROWS, COLUMNS);
        assert_same_bits("twice", twice, once, N);
    }
    free(once);
    free(twice);
    exec_free(ex);
}

static void a_value_that_is_no_number_spoils_its_tile_alone(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct exec *ex = open_threads(1);
    float *x = malloc(N * sizeof *x), *want = malloc(N * sizeof *want);

    (void)state;
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
        for (size_t i = 0; i < N_GOLDENS; i++) {
            const struct golden *g = &goldens[i];

            golden_input(x);
            fp8_round(ex, &g->rule, want, x, ROWS, COLUMNS);
            x[9 * COLUMNS + 130] = bad[b]; /* tile 9 / height, 130 / width */
            fp8_round(ex, &g->rule, x, x, ROWS, COLUMNS);
            for (int64_t j = 0; j < N; j++)
                if (j / COLUMNS / g->height == 9 / g->height &&
                    j % COLUMNS / g->width == 130 / g->width)
                    assert_true(isnan(x[j]));
                else
                    assert_same_bits(g->name, &x[j], &want[j], 1);
        }
    free(x);
    free(want);
    exec_free(ex);
}

/* The scheme: for each 128 inputs the sum of products of codes, times both scales. As products of
 * rounded values each factor has been rounded to f32, by 2^-24: twice for a term. */
static void products_of_rounded_values_are_the_scheme(void **state)
{
    float *sx = malloc(N * sizeof *sx), *sw = malloc(N * sizeof *sw);
    float *x = golden_values(&goldens[0], sx), *w = golden_values(&goldens[4], sw);

    (void)state;
    for (int t = 0; t < FEW; t++)
        for (int r = 0; r < ROWS; r++) {
            double scheme = 0, got = 0, terms = 0;

            for (int k = 0; k < COLUMNS; k++) {
                int i = t * COLUMNS + k, j = r * COLUMNS + k;
                double code_x = e4m3_to_f32(f32_to_e4m3(x[i] / sx[i]));
                double code_w = e4m3_to_f32(f32_to_e4m3(w[j] / sw[j]));

                scheme += code_x * code_w * sx[i] * sw[j];
                got += (double)x[i] * w[j];
                terms += fabs((double)x[i] * w[j]);
            }
            if (!(fabs(got - scheme) <= 0x1p-23 * 1.001 * terms))
                fail_msg("%d, %d: %.9g, expected %.9g", t, r, got, scheme);
        }
    free(sx);
    free(sw);
    free(x);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(e4m3_values_are_those_of_torch),
        cmocka_unit_test(e5m6_and_bf16_are_those_of_python),
        cmocka_unit_test(each_tensor_has_the_tiles_of_the_report),
        cmocka_unit_test(small_gradients_are_rounded_like_large_ones),
        cmocka_unit_test(rounding_is_that_of_the_stored_type),
        cmocka_unit_test(bf16_is_that_of_the_stored_type),
        cmocka_unit_test(threads_and_cuts_at_128_rows_do_not_change_a_bit),
        cmocka_unit_test(with_powers_of_two_rounding_again_changes_nothing),
        cmocka_unit_test(a_value_that_is_no_number_spoils_its_tile_alone),
        cmocka_unit_test(products_of_rounded_values_are_the_scheme),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
