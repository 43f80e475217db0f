/* vector_check.c: the row operations. Strides are wider than rows; what lies between must stay. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernelcheck/check.h"

#define EPS 0x1p-24
#define TINY 1e-37 /* results below the smallest normal number may be flushed */
#define EXP_ERROR 4e-7

struct rows {
    int32_t t, n, stride;
    int64_t all; /* values, with what lies between rows */
};

static struct rows draw_rows(struct check *c, int32_t high)
{
    struct rows r = {.t = check_range(c, 0, 5), .n = check_size(c, high)};

    if (check_range(c, 0, 9) == 0)
        r.t = check_range(c, 30, 90); /* enough for several tasks */
    r.stride = r.n + check_range(c, 0, 3) * check_range(c, 0, 9);
    r.all = r.t ? (int64_t)(r.t - 1) * r.stride + r.n : 0;
    check_describe(c, "rows %d, n %d, stride %d", r.t, r.n, r.stride);
    return r;
}

/* Zero everywhere: what an operation does not own must not change. */
static double *tolerances(struct check *c, int64_t n)
{
    double *t = check_doubles(c, n);

    memset(t, 0, (size_t)n * sizeof *t);
    return t;
}

static void check_rmsnorm(struct check *c)
{
    struct rows r = draw_rows(c, 3000);
    float *x = check_random(c, r.all, 100.0f), *ref, *got;
    float *w = check_range(c, 0, 3) ? check_random(c, r.n, 2.0f) : NULL;
    double *tolerance = tolerances(c, r.all);

    check_pair(c, r.all, 1.0f, &ref, &got);
    c->ref->k->rmsnorm(c->ref, ref, r.stride, x, r.stride, w, r.t, r.n, 1e-6f);
    c->got->k->rmsnorm(c->got, got, r.stride, x, r.stride, w, r.t, r.n, 1e-6f);
    for (int32_t t = 0; t < r.t; t++)
        for (int64_t i = t * (int64_t)r.stride; i < t * (int64_t)r.stride + r.n; i++)
            tolerance[i] = (r.n + 6) * EPS * fabs(ref[i]) + TINY;
    check_close(c, "out", got, ref, tolerance, r.all);
    c->got->k->rmsnorm(c->got, x, r.stride, x, r.stride, w, r.t, r.n, 1e-6f);
    for (int32_t t = 0; t < r.t; t++)
        check_same(c, "in place", x + t * (int64_t)r.stride, got + t * (int64_t)r.stride,
                   r.n * (int64_t)sizeof *x);
}

static void check_rope(struct check *c)
{
    int32_t d = 2 * check_size(c, 96), heads = check_range(c, 1, 5), t = check_range(c, 0, 7);
    int32_t head_stride = d + check_range(c, 0, 8), stride = heads * head_stride;
    int64_t all = (int64_t)t * stride;
    enum rope_pairs pairs = check_range(c, 0, 1) ? ROPE_HALF : ROPE_INTERLEAVED;
    float *table = check_random(c, (int64_t)t * d, 1.0f), *ref, *got;
    double *tolerance = tolerances(c, all), largest = 0.0;

    check_pair(c, all, 10.0f, &ref, &got);
    for (int64_t i = 0; i < all; i++)
        largest = fmax(largest, fabs(ref[i]));
    check_describe(c, "rows %d, heads %d, d %d, stride %d, %s", t, heads, d, head_stride,
                   pairs == ROPE_HALF ? "halves" : "interleaved");
    c->ref->k->rope(c->ref, ref, stride, t, heads, head_stride, d, table, pairs);
    c->got->k->rope(c->got, got, stride, t, heads, head_stride, d, table, pairs);
    for (int64_t i = 0; i < all; i++)
        tolerance[i] = i % head_stride < d ? 2 * EPS * 2 * largest + TINY : 0.0;
    check_close(c, "x", got, ref, tolerance, all);
}

static void check_silu_mul(struct check *c)
{
    struct rows r = draw_rows(c, 2000);
    float *gate = check_random(c, r.all, 100.0f), *up = check_random(c, r.all, 3.0f), *ref, *got;
    double *tolerance = tolerances(c, r.all);

    check_pair(c, r.all, 1.0f, &ref, &got);
    c->ref->k->silu_mul(c->ref, ref, r.stride, gate, up, r.stride, r.t, r.n);
    c->got->k->silu_mul(c->got, got, r.stride, gate, up, r.stride, r.t, r.n);
    for (int32_t t = 0; t < r.t; t++)
        for (int64_t i = t * (int64_t)r.stride; i < t * (int64_t)r.stride + r.n; i++)
            tolerance[i] = (EXP_ERROR + 4 * EPS) * fabs(ref[i]) + TINY * fabs(up[i]) + TINY;
    check_close(c, "out", got, ref, tolerance, r.all);
}

static void check_add_scaled(struct check *c)
{
    struct rows r = draw_rows(c, 2000);
    float *x = check_random(c, r.all, 5.0f), *ref, *got, a;

    check_pair(c, r.all, 5.0f, &ref, &got);
    check_fill(c, &a, 1, 2.0f);
    c->ref->k->add_scaled(c->ref, ref, r.stride, x, r.stride, a, r.t, r.n);
    c->got->k->add_scaled(c->got, got, r.stride, x, r.stride, a, r.t, r.n);
    check_same(c, "out", got, ref, r.all * (int64_t)sizeof *ref);
}

static void check_combine(struct check *c)
{
    struct rows r = draw_rows(c, 600);
    int32_t n_used = check_range(c, 0, 8), n_y = check_range(c, 1, 12);
    float *y = check_random(c, (int64_t)n_y * r.stride, 3.0f), *ref, *got;
    float *weight = check_random(c, (int64_t)r.t * n_used, 1.0f);
    int32_t *index = check_take(c, (int64_t)r.t * n_used * 4, 4);

    for (int32_t i = 0; i < r.t * n_used; i++)
        index[i] = check_range(c, 0, n_y - 1);
    check_pair(c, r.all, 3.0f, &ref, &got);
    c->ref->k->combine(c->ref, ref, r.stride, y, r.stride, index, weight, r.t, n_used, r.n);
    c->got->k->combine(c->got, got, r.stride, y, r.stride, index, weight, r.t, n_used, r.n);
    check_same(c, "out", got, ref, r.all * (int64_t)sizeof *ref);
}

static const enum dtype row_types[] = {MK_F32, MK_BF16, MK_I8};

static void check_store_rows(struct check *c)
{
    struct rows r = draw_rows(c, 700);
    enum dtype type = row_types[check_range(c, 0, 2)];
    int64_t bytes = r.t * kv_row_bytes(type, r.n);
    float *x = check_random(c, r.all, 20.0f);
    unsigned char *ref = check_take(c, bytes, 4), *got = check_take(c, bytes, 4);

    c->ref->k->store_rows(c->ref, type, ref, x, r.stride, r.t, r.n);
    c->got->k->store_rows(c->got, type, got, x, r.stride, r.t, r.n);
    check_same(c, dtype_info(type)->name, got, ref, bytes);
}

static void check_load_rows(struct check *c)
{
    struct rows r = draw_rows(c, 700);
    enum dtype type = row_types[check_range(c, 0, 2)];
    unsigned char *cached = check_take(c, r.t * kv_row_bytes(type, r.n), 4);
    float *x = check_random(c, r.all, 20.0f), *ref, *got;

    c->ref->k->store_rows(c->ref, type, cached, x, r.stride, r.t, r.n);
    check_pair(c, r.all, 1.0f, &ref, &got);
    c->ref->k->load_rows(c->ref, type, cached, ref, r.stride, r.t, r.n);
    c->got->k->load_rows(c->got, type, cached, got, r.stride, r.t, r.n);
    check_same(c, dtype_info(type)->name, got, ref, r.all * (int64_t)sizeof *ref);
}

static float largest_of(const float *x, int32_t n)
{
    float max = -INFINITY;

    for (int32_t i = 0; i < n; i++)
        max = fmaxf(max, x[i]);
    return max;
}

static void check_softmax(struct check *c)
{
    struct rows r = draw_rows(c, 3000);
    double *tolerance = tolerances(c, r.all);
    float *ref, *got;

    check_pair(c, r.all, 60.0f, &ref, &got);
    for (int32_t t = 0; t < r.t; t++) {
        const float *x = ref + t * (int64_t)r.stride;
        float max = largest_of(x, r.n);

        for (int32_t i = 0; i < r.n; i++) /* relative, for now */
            tolerance[t * (int64_t)r.stride + i] =
                2 * EXP_ERROR + EPS * ((double)max - x[i] + r.n + 2);
    }
    c->ref->k->softmax(c->ref, ref, r.stride, r.t, r.n);
    c->got->k->softmax(c->got, got, r.stride, r.t, r.n);
    for (int64_t i = 0; i < r.all; i++)
        tolerance[i] = tolerance[i] > 0.0 ? tolerance[i] * fabs(ref[i]) + TINY : 0.0;
    check_close(c, "x", got, ref, tolerance, r.all);
}

static void check_log_sum_exp(struct check *c)
{
    int32_t n = check_size(c, 9000);
    float *x = check_random(c, n, 50.0f);
    float ref, got;
    double tolerance;

    check_describe(c, "n %d", n);
    ref = c->ref->k->log_sum_exp(c->ref, x, n);
    got = c->got->k->log_sum_exp(c->got, x, n);
    tolerance = 2 * EXP_ERROR + EPS * (n + 2.0 * fabs(ref));
    check_close(c, "sum", &got, &ref, &tolerance, 1);
}

/* ---- Benchmarks: sizes of a 512-token prefill of a small model ------------------------------- */

enum { BENCH_T = 512, BENCH_N = 1536 };
struct bench_rows {
    struct compute *c;
    const char *op;
    float *x, *y, *out, *table;
};

static void bench_call(void *context)
{
    struct bench_rows *b = context;
    const struct kernels *k = b->c->k;

    if (!strcmp(b->op, "rmsnorm"))
        k->rmsnorm(b->c, b->out, BENCH_N, b->x, BENCH_N, b->y, BENCH_T, BENCH_N, 1e-6f);
    else if (!strcmp(b->op, "rope"))
        k->rope(b->c, b->out, BENCH_N, BENCH_T, BENCH_N / 64, 64, 64, b->table, ROPE_HALF);
    else if (!strcmp(b->op, "silu_mul"))
        k->silu_mul(b->c, b->out, BENCH_N, b->x, b->y, BENCH_N, BENCH_T, BENCH_N);
    else if (!strcmp(b->op, "add_scaled"))
        k->add_scaled(b->c, b->out, BENCH_N, b->x, BENCH_N, 1e-3f, BENCH_T, BENCH_N);
    else if (!strcmp(b->op, "store_rows"))
        k->store_rows(b->c, MK_I8, b->out, b->x, BENCH_N, BENCH_T, BENCH_N);
    else if (!strcmp(b->op, "load_rows"))
        k->load_rows(b->c, MK_BF16, b->y, b->out, BENCH_N, BENCH_T, BENCH_N);
    else
        k->softmax(b->c, b->out, BENCH_N, BENCH_T, BENCH_N);
}

static void bench_rows(struct bench *b, struct compute *c)
{
    int64_t n = (int64_t)BENCH_T * BENCH_N;
    struct bench_rows r = {.c = c, .op = b->op};
    float *all = malloc((size_t)(n * 3 + BENCH_T * 64) * sizeof *all);
    double bytes = 4.0 * (double)n * 3;

    if (!all)
        return;
    for (int64_t i = 0; i < n * 3 + BENCH_T * 64; i++)
        all[i] = (float)(i % 17) / 17.0f - 0.5f;
    r.x = all;
    r.y = all + n;
    r.out = all + 2 * n;
    r.table = all + 3 * n;
    if (!strcmp(b->op, "softmax") || !strcmp(b->op, "rmsnorm") || !strcmp(b->op, "rope"))
        bytes = 4.0 * (double)n * 2;
    bench_report(b, "512 x 1536", bench_seconds(bench_call, &r), 0.0, bytes);
    free(all);
}

const struct check_op vector_checks[] = {
    {"rmsnorm", check_rmsnorm, 60, 400, bench_rows},
    {"rope", check_rope, 60, 400, bench_rows},
    {"silu_mul", check_silu_mul, 60, 400, bench_rows},
    {"add_scaled", check_add_scaled, 60, 400, bench_rows},
    {"combine", check_combine, 60, 400, NULL},
    {"store_rows", check_store_rows, 90, 600, bench_rows},
    {"load_rows", check_load_rows, 90, 600, bench_rows},
    {"softmax", check_softmax, 60, 400, bench_rows},
    {"log_sum_exp", check_log_sum_exp, 60, 400, NULL},
    {0},
};
