/* matmul_test.c: products are right, and a row's bits depend on nothing but the row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/kernels.h"

#define MAX_ROWS 130

static const enum dtype all_types[] = {MK_F32,  MK_F16,  MK_BF16, MK_F8_E4M3, MK_Q8_0, MK_Q4_0,
                                       MK_Q4_1, MK_Q5_0, MK_Q5_1, MK_Q2_K,    MK_Q3_K, MK_Q4_K,
                                       MK_Q5_K, MK_Q6_K, MK_IQ4_NL, MK_IQ4_XS};
#define N_TYPES (sizeof all_types / sizeof all_types[0])

/* ---- A random matrix of any type ---- */

struct matrix {
    struct arena arena;
    struct packed p;
    unsigned char *file;
    float scales[16];
};

static uint32_t draw(uint64_t sequence, uint64_t i)
{
    uint32_t w[4];

    rng_words(20, sequence, i / 4, w);
    return w[i % 4];
}

static float draw_f32(uint64_t sequence, uint64_t i)
{
    return (float)(2 * rng_uniform(21, sequence, i) - 1);
}

/* Offsets of the f16 scales inside a file block; -1: none. */
static void scale_offsets(enum dtype type, int at[2])
{
    at[0] = type == MK_Q2_K ? 80 : type == MK_Q3_K ? 108 : type == MK_Q6_K ? 208 : 0;
    at[1] = type == MK_Q2_K                                              ? 82
            : type == MK_Q4_1 || type == MK_Q5_1 || type == MK_Q4_K || type == MK_Q5_K ? 2
                                                                         : -1;
}

static void fill_blocks(unsigned char *file, enum dtype type, size_t bytes)
{
    const struct dtype_info *info = dtype_info(type);
    int at[2];

    for (size_t i = 0; i < bytes; i++)
        file[i] = (unsigned char)draw(type, i);
    scale_offsets(type, at);
    for (size_t b = 0; b < bytes / (size_t)info->bytes; b++)
        for (int i = 0; i < 2 && at[i] >= 0; i++) {
            uint16_t h = f32_to_f16(0.02f * draw_f32(100 + type, 2 * b + (size_t)i));

            memcpy(file + b * (size_t)info->bytes + at[i], &h, 2);
        }
}

static void fill_plain(unsigned char *file, enum dtype type, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float f = draw_f32(type, i);
        uint16_t h = type == MK_F16 ? f32_to_f16(f) : f32_to_bf16(f);

        if (type == MK_F32)
            memcpy(file + 4 * i, &f, 4);
        else if (type == MK_F8_E4M3)
            file[i] = f32_to_e4m3(f);
        else
            memcpy(file + 2 * i, &h, 2);
    }
}

static void matrix_init(struct matrix *m, enum dtype type, int64_t n_out, int64_t n_in)
{
    struct weight_src src = {.dtype = type, .n_out = n_out, .n_in = n_in};
    struct mk_error err;
    uint64_t bytes;

    assert_true(dtype_bytes(type, (uint64_t)(n_out * n_in), &bytes));
    m->file = malloc(bytes);
    if (dtype_is_quantised(type))
        fill_blocks(m->file, type, bytes);
    else
        fill_plain(m->file, type, (size_t)(n_out * n_in));
    src.data = m->file;
    if (type == MK_F8_E4M3) { /* scales of 128 x 128 blocks: at most 4 x 4 here */
        for (int i = 0; i < 16; i++)
            m->scales[i] = 0.3f + 0.1f * (float)i;
        src.scales = m->scales;
        src.n_scale_cols = 4;
        src.block_out = src.block_in = 128;
    }
    arena_init(&m->arena, 64 << 20);
    assert_int_equal(packed_init(&m->p, &src, &m->arena, &err), 0);
}

static void matrix_release(struct matrix *m)
{
    arena_release(&m->arena);
    free(m->file);
}

static void fill_x(float *x, int64_t n, uint64_t sequence)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = draw_f32(sequence, (uint64_t)i);
}

static void multiply(const char *cpu, int n_threads, const struct matmul_job *jobs, int n_jobs)
{
    struct compute c;
    struct mk_error err;

    if (compute_init(&c, cpu, n_threads, &err))
        fail_msg("%s", err.text);
    if (c.k->matmul(&c, jobs, n_jobs, &err))
        fail_msg("%s", err.text);
    compute_release(&c);
}

/* ---- Right ---- */

/* The row as the product sees it: rounded in blocks of 32 for block types, as kernels.h says. */
static void rounded_row(double *out, const float *x, int64_t n, bool rounded)
{
    for (int64_t b = 0; b < n; b += 32) {
        int64_t end = b + 32 < n ? b + 32 : n;
        float largest = 0;

        for (int64_t k = b; k < end; k++)
            largest = fmaxf(largest, fabsf(x[k]));
        for (int64_t k = b; k < end; k++) {
            out[k] = x[k];
            if (rounded && largest >= 0x1p-100f)
                out[k] = rint((double)(x[k] * (127.0f / largest))) * (double)(largest / 127.0f);
            else if (rounded)
                out[k] = 0;
        }
    }
}

/* Class DOT: n_terms * 2^-24 of the sum of |terms|. A value with a minimum is two terms. */
static void check_product(const char *cpu, enum dtype type, const float *x, int64_t n_rows,
                          int64_t n_out, int64_t n_in)
{
    struct matrix m;
    float *out = malloc(sizeof(float) * (size_t)(n_rows * n_out)), *w = malloc(4 * (size_t)n_in);
    double *xr = malloc(sizeof(double) * (size_t)n_in);

    matrix_init(&m, type, n_out, n_in);
    multiply(cpu, 2, &(struct matmul_job){.w = &m.p, .x = x, .x_stride = n_in, .n_rows = n_rows,
                                          .out = out, .out_stride = n_out}, 1);
    for (int64_t r = 0; r < n_out; r++) {
        packed_row(&m.p, r, w);
        for (int64_t t = 0; t < n_rows; t++) {
            double sum = 0, size = 0, got = (double)out[t * n_out + r];

            rounded_row(xr, x + t * n_in, n_in, dtype_is_quantised(type));
            for (int64_t k = 0; k < n_in; k++) {
                sum += (double)w[k] * xr[k];
                size += 3 * fabs((double)w[k] * xr[k]) + 0x1p-126;
            }
            if (!(fabs(got - sum) <= (double)(n_in + 8) * 0x1p-24 * size))
                fail_msg("%s %s, row %d, output %d of %d x %d: %.9g, expected %.9g",
                         cpu ? cpu : "best", dtype_info(type)->name, (int)t, (int)r, (int)n_out,
                         (int)n_in, got, sum);
        }
    }
    matrix_release(&m);
    free(out);
    free(w);
    free(xr);
}

static int64_t narrowest(enum dtype type)
{
    return dtype_is_quantised(type) ? dtype_info(type)->block : 1;
}

static void products_equal_the_sum_in_double_precision(void **state)
{
    float *x = malloc(sizeof(float) * 9 * 768);

    (void)state;
    fill_x(x, 9 * 768, 1);
    for (size_t i = 0; i < N_TYPES; i++)
        for (int best = 0; best < 2; best++) {
            const char *cpu = best ? NULL : "ref";
            int64_t k = narrowest(all_types[i]);

            check_product(cpu, all_types[i], x, 9, 35, 3 * (k == 1 ? 77 : k));
            check_product(cpu, all_types[i], x, 1, 1, k);
            check_product(cpu, all_types[i], x, 2, 16, k == 1 ? 2 : k);
        }
    free(x);
}

/* Activations that would overflow 16-bit sums if the products were not arranged for it. */
static void worst_case_activations_stay_exact(void **state)
{
    enum { N = 512 };
    float x[5 * N];

    (void)state;
    for (int k = 0; k < N; k++) {
        x[k] = 127;
        x[N + k] = -127;
        x[2 * N + k] = k % 2 ? 127 : -127;
        x[3 * N + k] = k % 5 ? 0x1p-140f : 0;
        x[4 * N + k] = k / 32 % 2 ? 1e30f : 1e-30f;
    }
    for (size_t i = 0; i < N_TYPES; i++)
        if (dtype_is_quantised(all_types[i]))
            for (int best = 0; best < 2; best++)
                check_product(best ? NULL : "ref", all_types[i], x, 5, 33, N);
}

/* Every byte of the quants 0x00, 0x80, 0xff or 0x7f: the ends of each range, -128 of Q8_0 too. */
static void the_ends_of_every_quant_range_equal_the_reference(void **state)
{
    enum { N_OUT = 19, N_IN = 512 };
    static const unsigned char ends[] = {0x00, 0x80, 0xff, 0x7f, 0x88, 0x0f, 0xf0};
    float x[3 * N_IN], want[3 * N_OUT], got[3 * N_OUT];

    (void)state;
    for (int k = 0; k < N_IN; k++) {
        x[k] = 1;
        x[N_IN + k] = -1;
        x[2 * N_IN + k] = k % 3 ? 1 : -1;
    }
    for (size_t i = 0; i < N_TYPES; i++)
        for (size_t e = 0; e < sizeof ends && dtype_is_quantised(all_types[i]); e++) {
            const struct dtype_info *info = dtype_info(all_types[i]);
            size_t bytes = (size_t)(N_OUT * N_IN / info->block * info->bytes);
            unsigned char *file = malloc(bytes);
            struct weight_src src = {.dtype = all_types[i], .n_out = N_OUT, .n_in = N_IN,
                                     .data = file};
            struct matmul_job job = {.x = x, .x_stride = N_IN, .n_rows = 3, .out_stride = N_OUT};
            struct arena a;
            struct packed p;
            struct mk_error err;
            int at[2];

            memset(file, ends[e], bytes);
            scale_offsets(all_types[i], at);
            for (size_t b = 0; b < bytes / (size_t)info->bytes; b++)
                for (int j = 0; j < 2 && at[j] >= 0; j++)
                    memcpy(file + b * (size_t)info->bytes + at[j], "\0\x3c", 2); /* 1.0 */
            arena_init(&a, 1 << 20);
            assert_int_equal(packed_init(&p, &src, &a, &err), 0);
            job.w = &p;
            job.out = want;
            multiply("ref", 1, &job, 1);
            job.out = got;
            multiply(NULL, 1, &job, 1);
            if (memcmp(want, got, sizeof want))
                fail_msg("%s with bytes 0x%02x", info->name, ends[e]);
            arena_release(&a);
            free(file);
        }
}

/* An infinity or a NaN in the activations must not turn into an innocent number. */
static void activations_that_are_not_finite_spoil_their_row_only(void **state)
{
    enum { N = 256 };
    float x[3 * N], out[3 * 4];

    (void)state;
    for (size_t i = 0; i < N_TYPES; i++)
        for (int best = 0; best < 2; best++) {
            struct matrix m;

            matrix_init(&m, all_types[i], 4, N);
            fill_x(x, 3 * N, 2);
            x[7] = NAN;
            x[2 * N + 200] = INFINITY;
            multiply(best ? NULL : "ref", 1,
                     &(struct matmul_job){.w = &m.p, .x = x, .x_stride = N, .n_rows = 3,
                                          .out = out, .out_stride = 4}, 1);
            for (int r = 0; r < 4; r++) {
                assert_false(isfinite(out[r]));
                assert_true(isfinite(out[4 + r]));
                assert_false(isfinite(out[8 + r]));
            }
            matrix_release(&m);
        }
}

static void bias_is_added_after_the_sum_and_strides_are_kept(void **state)
{
    enum { N_OUT = 21, N_IN = 64, ROWS = 5, X_STRIDE = 71, OUT_STRIDE = 30 };
    float x[ROWS * X_STRIDE], bias[N_OUT], plain[ROWS * OUT_STRIDE], out[ROWS * OUT_STRIDE];
    struct matrix m;
    struct matmul_job job = {.x = x, .x_stride = X_STRIDE, .n_rows = ROWS,
                             .out_stride = OUT_STRIDE};

    (void)state;
    matrix_init(&m, MK_Q4_0, N_OUT, N_IN);
    fill_x(x, ROWS * X_STRIDE, 3);
    fill_x(bias, N_OUT, 4);
    for (int i = 0; i < ROWS * OUT_STRIDE; i++)
        plain[i] = out[i] = 1234;
    job.w = &m.p;
    job.out = plain;
    multiply(NULL, 2, &job, 1);
    job.out = out;
    job.bias = bias;
    multiply(NULL, 2, &job, 1);
    for (int t = 0; t < ROWS; t++)
        for (int r = 0; r < OUT_STRIDE; r++) {
            float want = r < N_OUT ? plain[t * OUT_STRIDE + r] + bias[r] : 1234;

            assert_true(out[t * OUT_STRIDE + r] == want);
        }
    matrix_release(&m);
}

/* ---- The same bits ---- */

/* All rows at once against one row at a time, for every number of rows that tiles differ in. */
static void check_rows_alone(const char *cpu, enum dtype type, const float *x)
{
    enum { N_OUT = 45 };
    static const int counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 47, 48, 49, 97, MAX_ROWS};
    int64_t n_in = dtype_is_quantised(type) ? 256 + (dtype_info(type)->block == 32 ? 32 : 0) : 137;
    float *want = malloc(sizeof(float) * MAX_ROWS * N_OUT), *got = malloc(4 * MAX_ROWS * N_OUT);
    struct matrix m;
    struct matmul_job jobs[MAX_ROWS];

    matrix_init(&m, type, N_OUT, n_in);
    for (int t = 0; t < MAX_ROWS; t++)
        jobs[t] = (struct matmul_job){.w = &m.p, .x = x + t * n_in, .x_stride = n_in, .n_rows = 1,
                                      .out = want + t * N_OUT, .out_stride = N_OUT};
    multiply(cpu, 1, jobs, MAX_ROWS);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (int n_threads = 1; n_threads <= 3; n_threads++) {
            struct matmul_job job = {.w = &m.p, .x = x, .x_stride = n_in, .n_rows = counts[i],
                                     .out = got, .out_stride = N_OUT};

            memset(got, 0xff, sizeof(float) * MAX_ROWS * N_OUT);
            multiply(cpu, n_threads, &job, 1);
            if (memcmp(got, want, sizeof(float) * (size_t)counts[i] * N_OUT))
                fail_msg("%s %s: %d rows on %d threads differ from single rows", cpu ? cpu : "best",
                         dtype_info(type)->name, counts[i], n_threads);
        }
    matrix_release(&m);
    free(want);
    free(got);
}

static void a_row_s_bits_do_not_depend_on_other_rows_or_threads(void **state)
{
    float *x = malloc(sizeof(float) * MAX_ROWS * 288);

    (void)state;
    fill_x(x, MAX_ROWS * 288, 5);
    for (size_t i = 0; i < N_TYPES; i++)
        check_rows_alone(NULL, all_types[i], x);
    check_rows_alone("ref", MK_Q4_1, x);
    free(x);
}

/* Jobs that share x, jobs that do not, one that has no rows, plain and block types side by side. */
static void jobs_together_equal_jobs_alone(void **state)
{
    enum { N_IN = 256, ROWS = 53, N_OUT = 70, N_JOBS = 6 };
    static const enum dtype types[N_JOBS] = {MK_Q4_K, MK_F32, MK_Q8_0, MK_Q4_1, MK_Q6_K, MK_BF16};
    static const int rows[N_JOBS] = {ROWS, ROWS, ROWS, 0, 7, 1};
    float *x = malloc(sizeof(float) * 2 * ROWS * N_IN);
    float *together = calloc(N_JOBS * ROWS * N_OUT, 4), *alone = calloc(N_JOBS * ROWS * N_OUT, 4);
    struct matrix m[N_JOBS];
    struct matmul_job jobs[N_JOBS];

    (void)state;
    fill_x(x, 2 * ROWS * N_IN, 6);
    for (int j = 0; j < N_JOBS; j++) {
        matrix_init(&m[j], types[j], N_OUT - 9 * j, N_IN);
        jobs[j] = (struct matmul_job){.w = &m[j].p, .x = j < 3 ? x : x + ROWS * N_IN,
                                      .x_stride = N_IN, .n_rows = rows[j],
                                      .out = alone + j * ROWS * N_OUT, .out_stride = N_OUT};
        multiply(NULL, 1, &jobs[j], 1);
        jobs[j].out = together + j * ROWS * N_OUT;
    }
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        memset(together, 0, sizeof(float) * N_JOBS * ROWS * N_OUT);
        multiply(NULL, n_threads, jobs, N_JOBS);
        assert_memory_equal(together, alone, sizeof(float) * N_JOBS * ROWS * N_OUT);
    }
    multiply(NULL, 2, jobs, 0);
    for (int j = 0; j < N_JOBS; j++)
        matrix_release(&m[j]);
    free(x);
    free(together);
    free(alone);
}

/* The definition of sums in cpu/matmul_rows.h leaves no choice, so an instruction set has none. */
static void the_best_variant_equals_the_reference_bit_for_bit(void **state)
{
    enum { N_OUT = 33, ROWS = 11 };
    float x[ROWS * 512], want[ROWS * N_OUT], got[ROWS * N_OUT];

    (void)state;
    fill_x(x, ROWS * 512, 8);
    for (size_t i = 0; i < N_TYPES; i++) {
        struct matrix m;
        struct matmul_job job = {.x = x, .x_stride = 512, .n_rows = ROWS, .out_stride = N_OUT};

        matrix_init(&m, all_types[i], N_OUT, 512);
        job.w = &m.p;
        job.out = want;
        multiply("ref", 1, &job, 1);
        job.out = got;
        multiply(NULL, 1, &job, 1);
        if (memcmp(want, got, sizeof want))
            fail_msg("%s", dtype_info(all_types[i])->name);
        matrix_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_the_sum_in_double_precision),
        cmocka_unit_test(worst_case_activations_stay_exact),
        cmocka_unit_test(the_ends_of_every_quant_range_equal_the_reference),
        cmocka_unit_test(activations_that_are_not_finite_spoil_their_row_only),
        cmocka_unit_test(bias_is_added_after_the_sum_and_strides_are_kept),
        cmocka_unit_test(a_row_s_bits_do_not_depend_on_other_rows_or_threads),
        cmocka_unit_test(jobs_together_equal_jobs_alone),
        cmocka_unit_test(the_best_variant_equals_the_reference_bit_for_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
