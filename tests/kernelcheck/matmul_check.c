/* matmul_check.c: matrix products of every weight type.
 *
 * Sums are defined to the bit (cpu/matmul_rows.h, bf16_rows.h), so variants must give the
 * reference's bits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernelcheck/check.h"
#include "kernels/cpu/matmul_rows.h"

#define MAX_JOBS 3

#define ROUNDED "matmul_bf16_inputs" /* bf16 weights and inputs */

/* The type stands in the operation's name: "matmul_q4_0". */
static enum dtype type_of(const char *op)
{
    enum dtype type = MK_F32;

    if (!strcmp(op, ROUNDED))
        return MK_BF16;
    dtype_from_name(op + strlen("matmul_"), &type);
    return type;
}

/* ---- Random weights ---- */

static const int scale_at[MK_N_DTYPES][2] = {
    [MK_Q8_0] = {0, -1},    [MK_Q4_0] = {0, -1},  [MK_Q4_1] = {0, 2},   [MK_Q5_0] = {0, -1},
    [MK_Q5_1] = {0, 2},     [MK_Q2_K] = {80, 82}, [MK_Q3_K] = {108, -1}, [MK_Q4_K] = {0, 2},
    [MK_Q5_K] = {0, 2},     [MK_Q6_K] = {208, -1}, [MK_IQ4_NL] = {0, -1}, [MK_IQ4_XS] = {0, -1},
};

/* Any bits for quants, sometimes the ends of their range; finite f16 scales. */
static void fill_blocks(struct check *c, enum dtype type, unsigned char *file, int64_t bytes)
{
    static const unsigned char ends[] = {0x00, 0x80, 0xff, 0x7f, 0x88};
    int32_t block = dtype_info(type)->bytes, kind = check_range(c, 0, 9);

    for (int64_t i = 0; i < bytes; i++)
        file[i] = (unsigned char)(kind < 5 ? ends[kind] : check_range(c, 0, 255));
    for (int64_t b = 0; b < bytes; b += block)
        for (int s = 0; s < 2 && scale_at[type][s] >= 0; s++) {
            uint16_t h = (uint16_t)check_range(c, 0, 0xffff);

            if ((h & 0x7c00) == 0x7c00)
                h &= 0xbfff;
            memcpy(file + b + scale_at[type][s], &h, sizeof h);
        }
}

/* Inputs and weights of bf16 products: now and then so small that products and sums lie about the
 * smallest normal number. */
static float size_of(struct check *c, float usual)
{
    return !strcmp(c->op, ROUNDED) && check_range(c, 0, 1) ? 0x1p-62f : usual;
}

static void fill_plain(struct check *c, enum dtype type, unsigned char *file, int64_t n)
{
    float *values = check_random(c, n, size_of(c, 4.0f));

    for (int64_t i = 0; i < n; i++) {
        uint16_t h = type == MK_F16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);

        if (type == MK_F32)
            memcpy(file + 4 * i, &values[i], 4);
        else if (type == MK_F8_E4M3)
            file[i] = f32_to_e4m3(values[i]);
        else
            memcpy(file + 2 * i, &h, 2);
    }
}

static void pack(struct check *c, struct packed *p, enum dtype type, int32_t n_out, int32_t n_in,
                 struct arena *arena)
{
    struct weight_src src = {.dtype = type, .n_out = n_out, .n_in = n_in};
    struct mk_error err;
    uint64_t bytes = 0;
    unsigned char *file;

    dtype_bytes(type, (uint64_t)n_out * (uint64_t)n_in, &bytes);
    file = check_take(c, (int64_t)bytes, 1);
    if (dtype_is_quantised(type))
        fill_blocks(c, type, file, (int64_t)bytes);
    else
        fill_plain(c, type, file, (int64_t)n_out * n_in);
    src.data = file;
    if (type == MK_F8_E4M3 && check_range(c, 0, 3)) {
        src.block_out = check_range(c, 1, 40);
        src.block_in = check_range(c, 1, 200);
        src.row0 = check_range(c, 0, 100);
        src.n_scale_cols = (n_in - 1) / src.block_in + 1;
        src.scales = check_random(
            c, ((src.row0 + n_out - 1) / src.block_out + 1) * src.n_scale_cols, 3.0f);
    }
    if (packed_init(p, &src, arena, &err)) {
        fprintf(stderr, "kernelcheck: %s\n", err.text);
        exit(2);
    }
}

/* ---- A case: one to three jobs ---- */

struct job {
    struct packed w;
    struct matmul_job ref, got;
    int64_t n; /* values of out, gaps included */
};

static void draw_job(struct check *c, struct job *j, enum dtype type, int32_t n_in,
                     struct arena *arena)
{
    int32_t n_out = check_size(c, 70);
    int64_t out_stride = n_out + check_range(c, 0, 3) * 5;
    float *ref, *got;

    pack(c, &j->w, type, n_out, n_in, arena);
    j->ref.w = &j->w;
    j->ref.bias = check_range(c, 0, 1) ? check_random(c, n_out, 1.0f) : NULL;
    j->ref.out_stride = out_stride;
    j->n = j->ref.n_rows ? (j->ref.n_rows - 1) * out_stride + n_out : 0;
    check_pair(c, j->n, 1.0f, &ref, &got);
    j->ref.out = ref;
    j->got = j->ref;
    j->got.out = got;
}

static void draw_input(struct check *c, struct job *j, int32_t n_in)
{
    j->ref.n_rows = check_range(c, 0, 4) ? check_size(c, 20) : check_range(c, 0, 110);
    j->ref.x_stride = n_in + check_range(c, 0, 2) * 3;
    j->ref.x = check_random(c, j->ref.n_rows * j->ref.x_stride, size_of(c, 10.0f));
}

static void multiply(struct compute *compute, const struct matmul_job *jobs, int32_t n_jobs)
{
    struct mk_error err;

    if (compute->k->matmul(compute, jobs, n_jobs, &err)) {
        fprintf(stderr, "kernelcheck: %s\n", err.text);
        exit(2);
    }
}

static void check_matmul(struct check *c)
{
    enum dtype type = type_of(c->op);
    int32_t block = dtype_info(type)->block, n_jobs = check_range(c, 1, MAX_JOBS);
    int32_t n_in = block == 1 ? check_size(c, 300) : block * check_range(c, 1, 1024 / block);
    struct matmul_job ref[MAX_JOBS], got[MAX_JOBS];
    struct job jobs[MAX_JOBS] = {0};
    struct arena arena;

    arena_init(&arena, 64 << 20);
    for (int32_t i = 0; i < n_jobs; i++) {
        if (i && check_range(c, 0, 1)) /* shares the rows of the job before */
            jobs[i].ref = jobs[i - 1].ref;
        else
            draw_input(c, &jobs[i], n_in);
        draw_job(c, &jobs[i], type, n_in, &arena);
        ref[i] = jobs[i].ref;
        got[i] = jobs[i].got;
    }
    check_describe(c, "%s, %d jobs, k %d; first: rows %d, n_out %d", dtype_info(type)->name,
                   (int)n_jobs, (int)n_in, (int)ref[0].n_rows, (int)jobs[0].w.n_out);
    c->ref->table->bf16_inputs = c->got->table->bf16_inputs = !strcmp(c->op, ROUNDED);
    multiply(c->ref, ref, n_jobs);
    multiply(c->got, got, n_jobs);
    for (int32_t i = 0; i < n_jobs; i++)
        check_same(c, "out", got[i].out, ref[i].out, jobs[i].n * (int64_t)sizeof(float));
    arena_release(&arena);
}

/* ---- Benchmark ---- */

#define BENCH_K 2048
#define BENCH_N 2816
#define BENCH_ROWS 256

struct bench_job {
    struct compute *c;
    struct matmul_job job;
};

static void bench_call(void *context)
{
    struct bench_job *b = context;

    multiply(b->c, &b->job, 1);
}

/* The same bytes again and again: what the arithmetic allows; bench/matmul_bench reads memory. */
static void bench_matmul(struct bench *b, struct compute *compute)
{
    enum dtype type = type_of(b->op);
    uint64_t bytes = 0;
    float *memory = calloc((size_t)BENCH_ROWS * (BENCH_K + BENCH_N), sizeof *memory);
    unsigned char *file;
    struct packed w;
    struct arena arena;
    struct mk_error err;
    struct bench_job j = {.c = compute};

    compute->table->bf16_inputs = !strcmp(b->op, ROUNDED);
    dtype_bytes(type, (uint64_t)BENCH_K * BENCH_N, &bytes);
    file = calloc(1, bytes);
    arena_init(&arena, 64 << 20);
    if (memory && file &&
        !packed_init(&w, &(struct weight_src){.dtype = type, .n_out = BENCH_N, .n_in = BENCH_K,
                                              .data = file}, &arena, &err)) {
        j.job = (struct matmul_job){.w = &w, .x = memory, .x_stride = BENCH_K, .n_rows = BENCH_ROWS,
                                    .out = memory + (size_t)BENCH_ROWS * BENCH_K,
                                    .out_stride = BENCH_N};
        bench_report(b, "256 x 2048 x 2816", bench_seconds(bench_call, &j),
                     2.0 * BENCH_ROWS * BENCH_K * BENCH_N, (double)bytes);
    }
    arena_release(&arena);
    free(file);
    free(memory);
}

const struct check_op matmul_checks[] = {
    {"matmul_f32", check_matmul, 25, 300, bench_matmul},
    {"matmul_f16", check_matmul, 25, 300, bench_matmul},
    {"matmul_bf16", check_matmul, 25, 300, bench_matmul},
    {ROUNDED, check_matmul, 25, 300, bench_matmul},
    {"matmul_fp8", check_matmul, 25, 300, bench_matmul},
    {"matmul_q8_0", check_matmul, 25, 300, bench_matmul},
    {"matmul_q4_0", check_matmul, 25, 300, bench_matmul},
    {"matmul_q4_1", check_matmul, 25, 300, bench_matmul},
    {"matmul_q5_0", check_matmul, 25, 300, bench_matmul},
    {"matmul_q5_1", check_matmul, 25, 300, bench_matmul},
    {"matmul_q2_K", check_matmul, 25, 300, bench_matmul},
    {"matmul_q3_K", check_matmul, 25, 300, bench_matmul},
    {"matmul_q4_K", check_matmul, 25, 300, bench_matmul},
    {"matmul_q5_K", check_matmul, 25, 300, bench_matmul},
    {"matmul_q6_K", check_matmul, 25, 300, bench_matmul},
    {"matmul_iq4_nl", check_matmul, 25, 300, bench_matmul},
    {"matmul_iq4_xs", check_matmul, 25, 300, bench_matmul},
    {0},
};
