/* vector_test.c: the row operations against their formulas in double precision, on every
 * instruction set that this machine has. tests/kernelcheck compares the sets with one another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/exp_poly.h"
#include "kernels/kernels.h"
#include "support/every_cpu.h"

static void fill(float *x, int64_t n, uint64_t seed, float scale)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = scale * (float)(2.0 * rng_uniform(seed, 7, (uint64_t)i) - 1.0);
}

static void assert_close(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, expected %.9g within %.3g", got, want, tolerance);
}

/* ---- Formulas -------------------------------------------------------------------------------- */

enum { T = 3, N = 83, STRIDE = 90 };

static void check_rmsnorm(struct compute *c)
{
    float x[T * STRIDE], w[N], out[T * STRIDE];

    fill(x, T * STRIDE, 1, 3.0f);
    fill(w, N, 2, 2.0f);
    for (int with = 0; with < 2; with++) {
        c->k->rmsnorm(c, out, STRIDE, x, STRIDE, with ? w : NULL, T, N, 1e-5f);
        for (int t = 0; t < T; t++) {
            double sum = 0.0;

            for (int i = 0; i < N; i++)
                sum += (double)x[t * STRIDE + i] * x[t * STRIDE + i];
            for (int i = 0; i < N; i++) {
                double want = x[t * STRIDE + i] / sqrt(sum / N + 1e-5) * (with ? w[i] : 1.0f);

                assert_close(out[t * STRIDE + i], want, 1e-6 * fabs(want));
            }
        }
    }
    c->k->rmsnorm(c, x, STRIDE, x, STRIDE, w, T, N, 1e-5f);
    for (int t = 0; t < T; t++)
        assert_memory_equal(x + t * STRIDE, out + t * STRIDE, N * sizeof *x);
}

static void rmsnorm_divides_by_the_root_of_the_mean_square(void **state)
{
    (void)state;
    on_every_cpu(check_rmsnorm);
}

/* d of every remainder of a register, both pairings, two heads with room between them. */
static void check_rope(struct compute *c)
{
    for (int pairs = 0; pairs < 2; pairs++)
        for (int32_t d = 2; d <= 36; d += 2) {
            float x[2 * 2 * 40], was[2 * 2 * 40], table[2 * 36];

            fill(x, 160, 3, 1.0f);
            fill(table, 2 * d, 4, 1.0f);
            memcpy(was, x, sizeof x);
            c->k->rope(c, x, 80, 2, 2, 40, d, table, (enum rope_pairs)pairs);
            for (int v = 0; v < 4; v++) {
                const float *got = x + v * 40, *old = was + v * 40, *cs = table + v / 2 * d;

                for (int i = 0; i < d / 2; i++) {
                    int a = pairs == ROPE_HALF ? i : 2 * i,
                        b = pairs == ROPE_HALF ? i + d / 2 : a + 1;

                    assert_close(got[a],
                                 (double)old[a] * cs[2 * i] - (double)old[b] * cs[2 * i + 1], 2e-7);
                    assert_close(got[b],
                                 (double)old[b] * cs[2 * i] + (double)old[a] * cs[2 * i + 1], 2e-7);
                }
                assert_memory_equal(got + d, old + d, (size_t)(40 - d) * sizeof *got);
            }
        }
}

static void rope_rotates_each_pair_and_nothing_else(void **state)
{
    (void)state;
    on_every_cpu(check_rope);
}

static void check_silu(struct compute *c)
{
    float gate[N], up[N], out[N];

    fill(gate, N, 5, 120.0f); /* both ends of e^x */
    fill(up, N, 6, 2.0f);
    gate[0] = 0.0f;
    gate[1] = -200.0f;
    gate[2] = 200.0f;
    c->k->silu_mul(c, out, N, gate, up, N, 1, N);
    for (int i = 0; i < N; i++) {
        double want = gate[i] / (1.0 + exp(-(double)gate[i])) * up[i];

        assert_close(out[i], want, 6e-7 * fabs(want) + 1e-36);
    }
    c->k->silu_mul(c, gate, N, gate, up, N, 1, N);
    assert_memory_equal(gate, out, sizeof out);
}

static void silu_is_right_where_its_exponential_over_and_underflows(void **state)
{
    (void)state;
    on_every_cpu(check_silu);
}

static void check_softmax(struct compute *c)
{
    for (int32_t n = 1; n <= N; n++) {
        float x[N], was[N];
        double max = -INFINITY, sum = 0.0, lse;

        fill(x, n, 8, 20.0f);
        memcpy(was, x, sizeof x);
        for (int i = 0; i < n; i++)
            max = fmax(max, x[i]);
        for (int i = 0; i < n; i++)
            sum += exp(x[i] - max);
        lse = max + log(sum);
        assert_close(c->k->log_sum_exp(c, x, n), lse, 4e-7 * fabs(lse) + 4e-7);
        c->k->softmax(c, x, n, 1, n);
        for (int i = 0; i < n; i++) {
            double want = exp(was[i] - max) / sum;

            /* The difference is rounded before it is an exponent. */
            assert_close(x[i], want, (6e-7 + 0x1p-24 * (max - was[i])) * want);
        }
    }
}

static void softmax_and_log_sum_exp_agree_with_their_formulas(void **state)
{
    (void)state;
    on_every_cpu(check_softmax);
}

/* Two experts a token, one token taking the same row twice: one fmaf each, in order. */
static void check_combine(struct compute *c)
{
    static const int32_t index[] = {2, 0, 1, 1, 3, 2};
    float y[4 * N], out[T * N], want[T * N], weight[6];

    fill(y, 4 * N, 10, 1.0f);
    fill(out, T * N, 11, 1.0f);
    fill(weight, 6, 12, 1.0f);
    memcpy(want, out, sizeof out);
    for (int t = 0; t < T; t++)
        for (int j = 0; j < 2; j++)
            for (int i = 0; i < N; i++)
                want[t * N + i] =
                    fmaf(weight[t * 2 + j], y[index[t * 2 + j] * N + i], want[t * N + i]);
    c->k->combine(c, out, N, y, N, index, weight, T, 2, N);
    assert_memory_equal(out, want, sizeof out);
    for (int i = 0; i < T * N; i++)
        want[i] = fmaf(0.37f, y[i], want[i]);
    c->k->add_scaled(c, out, N, y, N, 0.37f, T, N);
    assert_memory_equal(out, want, sizeof out);
}

static void combine_adds_experts_in_order_with_one_rounding_each(void **state)
{
    (void)state;
    on_every_cpu(check_combine);
}

/* ---- Cached rows ----------------------------------------------------------------------------- */

static void check_rows(struct compute *c)
{
    static const int32_t dims[] = {1, 7, 31, 32, 33, 64, 83};
    unsigned char rows[T * 400];
    float x[T * STRIDE], back[T * STRIDE];

    fill(x, T * STRIDE, 13, 5.0f);
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        int32_t n = dims[d];

        c->k->store_rows(c, MK_F32, rows, x, STRIDE, T, n);
        c->k->load_rows(c, MK_F32, rows, back, STRIDE, T, n);
        for (int t = 0; t < T; t++)
            assert_memory_equal(x + t * STRIDE, back + t * STRIDE, (size_t)n * sizeof *x);
        c->k->store_rows(c, MK_BF16, rows, x, STRIDE, T, n);
        c->k->load_rows(c, MK_BF16, rows, back, STRIDE, T, n);
        for (int t = 0; t < T; t++)
            for (int i = t * STRIDE; i < t * STRIDE + n; i++)
                assert_close(back[i], x[i], 0x1p-8 * fabs(x[i]));
        c->k->store_rows(c, MK_I8, rows, x, STRIDE, T, n);
        c->k->load_rows(c, MK_I8, rows, back, STRIDE, T, n);
        for (int t = 0; t < T; t++)
            for (int i = 0; i < n; i++) {
                double largest = 0.0;

                for (int j = i / 32 * 32; j < i / 32 * 32 + 32 && j < n; j++)
                    largest = fmax(largest, fabs(x[t * STRIDE + j]));
                assert_close(back[t * STRIDE + i], x[t * STRIDE + i], largest / 127 * 0.50001);
            }
    }
}

static void cached_rows_lose_at_most_half_a_step(void **state)
{
    (void)state;
    on_every_cpu(check_rows);
}

static void check_tiny_rows(struct compute *c)
{
    unsigned char rows[2 * 36];
    float x[64] = {0}, back[64];

    assert_int_equal(kv_row_bytes(MK_I8, 33), 2 * 36);
    for (int i = 32; i < 64; i++)
        x[i] = 1e-40f; /* its reciprocal is infinite */
    memset(rows, 0xff, sizeof rows);
    c->k->store_rows(c, MK_I8, rows, x, 64, 1, 64);
    c->k->load_rows(c, MK_I8, rows, back, 64, 1, 64);
    for (int i = 0; i < 64; i++)
        assert_true(back[i] == 0.0f);
}

static void int8_rows_of_zeros_and_tiny_numbers_are_zeros(void **state)
{
    (void)state;
    on_every_cpu(check_tiny_rows);
}

/* ---- The same bits --------------------------------------------------------------------------- */

/* Enough rows that threads share them; each must equal the row computed alone. */
static void check_company(struct compute *c)
{
    enum { ROWS = 200, WIDE = 517 };
    float *x = malloc(ROWS * WIDE * sizeof *x), *out = malloc(ROWS * WIDE * sizeof *out);
    float alone[WIDE];

    fill(x, ROWS * WIDE, 14, 2.0f);
    c->k->rmsnorm(c, out, WIDE, x, WIDE, NULL, ROWS, WIDE, 1e-6f);
    for (int t = 0; t < ROWS; t++) {
        c->k->rmsnorm(c, alone, WIDE, x + t * WIDE, WIDE, NULL, 1, WIDE, 1e-6f);
        assert_memory_equal(alone, out + t * WIDE, sizeof alone);
    }
    memcpy(out, x, ROWS * WIDE * sizeof *x);
    c->k->softmax(c, out, WIDE, ROWS, WIDE);
    for (int t = 0; t < ROWS; t++) {
        memcpy(alone, x + t * WIDE, sizeof alone);
        c->k->softmax(c, alone, WIDE, 1, WIDE);
        assert_memory_equal(alone, out + t * WIDE, sizeof alone);
    }
    free(x);
    free(out);
}

static void a_row_alone_has_the_bits_it_has_among_many(void **state)
{
    (void)state;
    on_every_cpu(check_company);
}

static void check_nothing(struct compute *c)
{
    float x[1] = {3.0f};

    c->k->rmsnorm(c, x, 1, x, 1, NULL, 0, 1, 1e-6f);
    c->k->softmax(c, x, 1, 0, 1);
    c->k->add_scaled(c, x, 1, x, 1, 1.0f, 1, 0);
    c->k->silu_mul(c, x, 1, x, x, 1, 0, 5);
    assert_true(x[0] == 3.0f);
}

static void no_rows_and_no_columns_change_nothing(void **state)
{
    (void)state;
    on_every_cpu(check_nothing);
}

/* ---- e^x ------------------------------------------------------------------------------------- */

/* A sample of what docs/numerics.md states for all floats. */
static void exp_poly_stays_within_its_bound(void **state)
{
    union {
        uint32_t u;
        float f;
    } x;

    (void)state;
    for (uint32_t step = 0; step < 0x42b17218u; step += 4099)
        for (uint32_t sign = 0; sign < 2; sign++) {
            double want;

            x.u = step | sign << 31;
            if (x.f < EXP_LOW)
                continue;
            want = exp((double)x.f);
            assert_close(exp_poly(x.f), want, 0x1p-23 * want);
        }
    assert_true(exp_poly(-88.0f) == 0.0f);
    assert_true(exp_poly(-INFINITY) == 0.0f);
    assert_true(exp_poly(0.0f) == 1.0f);
    assert_true(exp_poly(89.0f) == INFINITY);
    assert_true(isnan(exp_poly(NAN)));
}

/* ---- Choosing -------------------------------------------------------------------------------- */

static void wide_registers_need_the_operating_system_too(void **state)
{
    struct cpu_features f;
    struct cpu_answers a = {.leaf1_ecx = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29,
                            .leaf7_ebx = 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31,
                            .leaf7_ecx = 1u << 11,
                            .leaf7_1_eax = 1u << 5,
                            .xcr0 = 0xe7};

    (void)state;
    cpu_features_decode(&f, &a);
    assert_true(f.avx2 && f.avx512 && f.avx512_vnni && f.avx512_bf16);
    a.xcr0 = 0x07; /* the system saves ymm only */
    cpu_features_decode(&f, &a);
    assert_true(f.avx2 && !f.avx512 && !f.avx512_vnni && !f.avx512_bf16);
    a.xcr0 = 0x03;
    cpu_features_decode(&f, &a);
    assert_false(f.avx2 || f.avx512);
    a.xcr0 = 0xe7;
    a.leaf1_ecx &= ~(1u << 12); /* AVX2 without FMA */
    cpu_features_decode(&f, &a);
    assert_false(f.avx2 || f.avx512);
}

static void an_unknown_cpu_is_refused_by_name(void **state)
{
    struct compute c;
    struct mk_error err;

    (void)state;
    assert_int_equal(compute_init(&c, "mmx", 1, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "mmx"));
    assert_int_equal(compute_init(&c, "ref", -1, &err), MK_EINVAL);
}

static void a_table_names_the_operation_it_lacks(void **state)
{
    struct compute c;
    struct kernels k;
    struct mk_error err;

    (void)state;
    assert_int_equal(compute_init(&c, NULL, 1, &err), 0);
    k = *c.k;
    k.combine = NULL;
    assert_non_null(kernels_missing(&k));
    k.matmul = NULL;
    assert_string_equal(kernels_missing(&k), "matmul");
    compute_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmsnorm_divides_by_the_root_of_the_mean_square),
        cmocka_unit_test(rope_rotates_each_pair_and_nothing_else),
        cmocka_unit_test(silu_is_right_where_its_exponential_over_and_underflows),
        cmocka_unit_test(softmax_and_log_sum_exp_agree_with_their_formulas),
        cmocka_unit_test(combine_adds_experts_in_order_with_one_rounding_each),
        cmocka_unit_test(cached_rows_lose_at_most_half_a_step),
        cmocka_unit_test(int8_rows_of_zeros_and_tiny_numbers_are_zeros),
        cmocka_unit_test(a_row_alone_has_the_bits_it_has_among_many),
        cmocka_unit_test(no_rows_and_no_columns_change_nothing),
        cmocka_unit_test(exp_poly_stays_within_its_bound),
        cmocka_unit_test(wide_registers_need_the_operating_system_too),
        cmocka_unit_test(an_unknown_cpu_is_refused_by_name),
        cmocka_unit_test(a_table_names_the_operation_it_lacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
