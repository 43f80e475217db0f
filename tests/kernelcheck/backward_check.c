/* backward_check.c: the backward operations. All but attention give the reference's bits; what
 * their formulas are worth, tests/unit/kernels/backward_test.c asks of differences in double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernelcheck/check.h"
#include "kernels/cpu/backward_rows.h"

#define EPS 0x1p-24
#define EXP_ERROR 4e-7
#define F32 ((int64_t)sizeof(float))

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

/* n indices below `end`, NULL now and then. */
static int32_t *draw_index(struct check *c, int32_t n, int32_t end)
{
    int32_t *index;

    if (!check_range(c, 0, 2))
        return NULL;
    index = check_take(c, n * (int64_t)sizeof *index, sizeof *index);
    for (int32_t i = 0; i < n; i++)
        index[i] = check_range(c, 0, end - 1);
    return index;
}

/* ---- Products -------------------------------------------------------------------------------- */

/* bf16: now and then so small that products and sums lie about the smallest normal number. */
static struct gemm_job draw_job(struct check *c, bool transposed, bool bf16, float **ref,
                                int64_t *n_out)
{
    float size = bf16 && check_range(c, 0, 1) ? 0x1p-62f : 3.0f;
    int32_t t = check_range(c, 0, 6) ? check_size(c, transposed ? 600 : 110) : 0;
    struct gemm_job j = {.n_rows = t,
                         .n_out = check_size(c, transposed ? 110 : 600),
                         .n_in = check_size(c, 300),
                         .accumulate = check_range(c, 0, 1),
                         .bf16 = bf16};
    int32_t m = transposed ? j.n_out : t, b_rows = transposed ? t : j.n_out;

    j.a_stride = j.n_out + check_range(c, 0, 9);
    j.b_stride = j.n_in + check_range(c, 0, 9);
    j.out_stride = j.n_in + check_range(c, 0, 9);
    j.a = check_random(c, t ? (t - 1) * j.a_stride + j.n_out : 0, size);
    j.b = check_random(c, b_rows ? (b_rows - 1) * j.b_stride + j.n_in : 0, size);
    j.a_rows = t ? draw_index(c, t, t) : NULL;
    j.b_rows = b_rows ? draw_index(c, b_rows, b_rows) : NULL;
    *n_out = m ? (m - 1) * j.out_stride + j.n_in : 0;
    check_pair(c, *n_out, size * size, ref, &j.out);
    check_describe(c, "t %d, r %d, k %d%s", t, j.n_out, j.n_in,
                   j.a_rows || j.b_rows ? ", gathered" : "");
    return j;
}

static void check_gemm(struct check *c, bool transposed, bool bf16)
{
    struct gemm_job ref_jobs[3], got_jobs[3];
    int32_t n_jobs = check_range(c, 1, 3);
    int64_t n_out[3];
    struct mk_error err;

    for (int32_t i = 0; i < n_jobs; i++) {
        float *ref;

        got_jobs[i] = ref_jobs[i] = draw_job(c, transposed, bf16, &ref, &n_out[i]);
        ref_jobs[i].out = ref;
    }
    if (transposed) {
        c->ref->k->gemm_tn(c->ref, ref_jobs, n_jobs, &err);
        c->got->k->gemm_tn(c->got, got_jobs, n_jobs, &err);
    } else {
        c->ref->k->gemm_nn(c->ref, ref_jobs, n_jobs, &err);
        c->got->k->gemm_nn(c->got, got_jobs, n_jobs, &err);
    }
    for (int32_t i = 0; i < n_jobs; i++)
        check_same(c, "out", got_jobs[i].out, ref_jobs[i].out, n_out[i] * F32);
}

static void check_gemm_nn(struct check *c)
{
    check_gemm(c, false, false);
}

static void check_gemm_tn(struct check *c)
{
    check_gemm(c, true, false);
}

static void check_gemm_nn_bf16(struct check *c)
{
    check_gemm(c, false, true);
}

static void check_gemm_tn_bf16(struct check *c)
{
    check_gemm(c, true, true);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static void check_rmsnorm(struct check *c)
{
    struct rows r = draw_rows(c, 3000);
    float *x = check_random(c, r.all, 100.0f), *dout = check_random(c, r.all, 1.0f);
    float *w = check_range(c, 0, 3) ? check_random(c, r.n, 2.0f) : NULL;
    float *ref, *got, *ref_w, *got_w;
    bool frozen = check_range(c, 0, 4) == 0;
    struct mk_error err;

    check_pair(c, r.all, 1.0f, &ref, &got);
    check_pair(c, r.n, 1.0f, &ref_w, &got_w);
    c->ref->k->rmsnorm_backward(c->ref, ref, r.stride, frozen ? NULL : ref_w, dout, r.stride, x,
                                r.stride, w, r.t, r.n, 1e-6f, &err);
    c->got->k->rmsnorm_backward(c->got, got, r.stride, frozen ? NULL : got_w, dout, r.stride, x,
                                r.stride, w, r.t, r.n, 1e-6f, &err);
    check_same(c, "dx", got, ref, r.all * F32);
    check_same(c, "dw", got_w, ref_w, r.n * F32);
}

static void check_silu_mul(struct check *c)
{
    struct rows r = draw_rows(c, 3000);
    float *gate = check_random(c, r.all, check_range(c, 0, 1) ? 8.0f : 120.0f);
    float *up = check_random(c, r.all, 8.0f), *dout = check_random(c, r.all, 1.0f);
    float *ref[2], *got[2];

    check_pair(c, r.all, 1.0f, &ref[0], &got[0]);
    check_pair(c, r.all, 1.0f, &ref[1], &got[1]);
    c->ref->k->silu_mul_backward(c->ref, ref[0], ref[1], r.stride, gate, up, r.stride, dout,
                                 r.stride, r.t, r.n);
    c->got->k->silu_mul_backward(c->got, got[0], got[1], r.stride, gate, up, r.stride, dout,
                                 r.stride, r.t, r.n);
    check_same(c, "dgate", got[0], ref[0], r.all * F32);
    check_same(c, "dup", got[1], ref[1], r.all * F32);
}

static void check_xent(struct check *c)
{
    struct rows r = draw_rows(c, 3000);
    float *scale = check_random(c, r.t, 2.0f), *ref, *got;
    float *ref_loss = check_floats(c, r.t), *got_loss = check_floats(c, r.t);
    int32_t *target = check_take(c, r.t * (int64_t)sizeof *target, sizeof *target);

    for (int32_t t = 0; t < r.t; t++)
        target[t] = check_range(c, 0, 4) ? check_range(c, 0, r.n - 1) : -1;
    check_pair(c, r.all, 60.0f, &ref, &got);
    c->ref->k->softmax_xent(c->ref, ref, r.stride, target, scale, ref_loss, r.t, r.n);
    c->got->k->softmax_xent(c->got, got, r.stride, target, scale, got_loss, r.t, r.n);
    check_same(c, "gradient", got, ref, r.all * F32);
    check_same(c, "loss", got_loss, ref_loss, r.t * F32);
}

static void check_softmax(struct check *c)
{
    struct rows r = draw_rows(c, 300);
    float *p = check_random(c, r.all, 1.0f), *dp = check_random(c, r.all, 3.0f), *ref, *got;

    check_pair(c, r.all, 1.0f, &ref, &got);
    c->ref->k->softmax_backward(c->ref, ref, r.stride, p, r.stride, dp, r.stride, r.t, r.n);
    c->got->k->softmax_backward(c->got, got, r.stride, p, r.stride, dp, r.stride, r.t, r.n);
    check_same(c, "dx", got, ref, r.all * F32);
}

static void check_combine(struct check *c)
{
    struct rows r = draw_rows(c, 700);
    int32_t n_used = check_range(c, 1, 6), n_y = r.t * n_used + check_range(c, 0, 3);
    int64_t all = n_y ? (int64_t)(n_y - 1) * r.stride + r.n : 0;
    int32_t *index = check_take(c, (int64_t)r.t * n_used * 4, 4);
    float *weight = check_random(c, (int64_t)r.t * n_used, 1.0f);
    float *y = check_random(c, all, 2.0f), *dout = check_random(c, r.all, 1.0f), *ref, *got;
    float *ref_w = check_floats(c, (int64_t)r.t * n_used);
    float *got_w = check_floats(c, (int64_t)r.t * n_used);
    bool frozen = check_range(c, 0, 3) == 0;

    for (int32_t i = 0; i < r.t * n_used; i++)
        index[i] = n_y - 1 - i;
    check_pair(c, all, 1.0f, &ref, &got);
    c->ref->k->combine_backward(c->ref, ref, r.stride, frozen ? NULL : ref_w, frozen ? NULL : y,
                                r.stride, index, weight, dout, r.stride, r.t, n_used, r.n);
    c->got->k->combine_backward(c->got, got, r.stride, frozen ? NULL : got_w, frozen ? NULL : y,
                                r.stride, index, weight, dout, r.stride, r.t, n_used, r.n);
    check_same(c, "dy", got, ref, all * F32);
    check_same(c, "dweight", got_w, ref_w, (int64_t)r.t * n_used * F32);
}

static void check_embed(struct check *c)
{
    struct rows r = draw_rows(c, 700);
    int32_t n_ids = check_range(c, 1, 9), *id = check_take(c, r.t * (int64_t)sizeof *id, 4);
    int64_t all = (int64_t)(n_ids - 1) * r.stride + r.n;
    float *dx = check_random(c, r.all, 2.0f), *ref, *got;

    for (int32_t t = 0; t < r.t; t++)
        id[t] = check_range(c, 0, n_ids - 1);
    check_pair(c, all, 1.0f, &ref, &got);
    c->ref->k->embed_backward(c->ref, ref, r.stride, id, dx, r.stride, r.t, r.n);
    c->got->k->embed_backward(c->got, got, r.stride, id, dx, r.stride, r.t, r.n);
    check_same(c, "de", got, ref, all * F32);
}

static void check_adamw(struct check *c)
{
    struct adamw_step step = {0.7f, 0.1f, 0.95f, 0.05f, 3e-4f, 0.22f, 1e-8f, 0.99997f};
    struct adamw_piece ref[3], got[3];
    int32_t n_pieces = check_range(c, 0, 3);

    for (int32_t i = 0; i < n_pieces; i++) {
        int32_t n = check_size(c, 3000);

        ref[i] = (struct adamw_piece){
            .grad = check_random(c, n, 1.0f), .n = n, .decay = check_range(c, 0, 1)};
        got[i] = ref[i];
        check_pair(c, n, 1.0f, &ref[i].w, &got[i].w);
        check_pair(c, n, 1.0f, &ref[i].m, &got[i].m);
        check_pair(c, n, 1.0f, &ref[i].v, &got[i].v);
        for (int32_t j = 0; j < n; j++)
            ref[i].v[j] = got[i].v[j] = fabsf(ref[i].v[j]);
    }
    check_describe(c, "%d pieces", n_pieces);
    c->ref->k->adamw(c->ref, &step, ref, n_pieces);
    c->got->k->adamw(c->got, &step, got, n_pieces);
    for (int32_t i = 0; i < n_pieces; i++) {
        check_same(c, "w", got[i].w, ref[i].w, ref[i].n * F32);
        check_same(c, "m", got[i].m, ref[i].m, ref[i].n * F32);
        check_same(c, "v", got[i].v, ref[i].v, ref[i].n * F32);
    }
}

/* ---- Attention ------------------------------------------------------------------------------- */

static void check_attend_step(struct check *c)
{
    float *x[4]; /* s and ds of the reference, then of the variant */
    int32_t lo = check_range(c, 0, MK_KEY_BLOCK - 1), hi = check_range(c, 0, MK_KEY_BLOCK);

    for (int i = 0; i < 4; i++)
        x[i] = check_take(c, MK_KEY_BLOCK * F32, 64);
    check_fill(c, x[0], MK_KEY_BLOCK, 60.0f);
    check_fill(c, x[1], MK_KEY_BLOCK, 3.0f);
    for (int i = 0; i < MK_KEY_BLOCK; i++) /* masked lanes hold anything */
        if (i < lo || i >= hi)
            x[0][i] = x[1][i] = NAN;
    memcpy(x[2], x[0], MK_KEY_BLOCK * sizeof(float));
    memcpy(x[3], x[1], MK_KEY_BLOCK * sizeof(float));
    check_describe(c, "keys %d to %d", lo, hi);
    c->ref->k->backward_rows->attend_step(x[0], x[1], 0.3f, 17.0f, 0.7f, lo, hi);
    c->got->k->backward_rows->attend_step(x[2], x[3], 0.3f, 17.0f, 0.7f, lo, hi);
    check_same(c, "weights", x[2], x[0], MK_KEY_BLOCK * F32);
    check_same(c, "ds", x[3], x[1], MK_KEY_BLOCK * F32);
}

static void check_turn(struct check *c)
{
    const int64_t all = (int64_t)MK_KEY_BLOCK * MK_KEY_BLOCK;
    float *x = check_take(c, all * F32, 64), *ref = check_take(c, all * F32, 64);
    float *got = check_take(c, all * F32, 64);
    int32_t n = check_range(c, 1, MK_KEY_BLOCK);

    check_fill(c, x, all, 3.0f);
    check_describe(c, "%d rows", n);
    c->ref->k->backward_rows->turn(ref, x, n);
    c->got->k->backward_rows->turn(got, x, n);
    for (int j = 0; j < MK_KEY_BLOCK; j++)
        check_same(c, "column", got + j * MK_KEY_BLOCK, ref + j * MK_KEY_BLOCK, n * F32);
}

static struct attend_shape draw_shape(struct check *c)
{
    struct attend_shape s = {.scale = 0.2f, .row_dtype = MK_F32, .n_kv_heads = 1};

    if (check_range(c, 0, 1)) { /* MLA absorbed: the values are the first part of the keys */
        s.d_v = check_size(c, 70);
        s.d_k = s.d_v + 2 * check_range(c, 1, 9);
        s.row_dim = s.d_k;
    } else {
        s.n_kv_heads = check_range(c, 1, 3);
        s.d_k = check_size(c, 70);
        s.d_v = check_size(c, 70);
        s.k_stride = s.v_stride = s.d_k + s.d_v; /* [k | v] a head */
        s.v_offset = s.d_k;
        s.row_dim = s.n_kv_heads * s.k_stride;
    }
    s.n_heads = s.n_kv_heads * check_range(c, 1, 3);
    s.window = check_range(c, 0, 2) ? 0 : check_range(c, 1, 90);
    return s;
}

static double largest(const float *x, int64_t n)
{
    double max = 0.0;

    for (int64_t i = 0; i < n; i++)
        max = fabs(x[i]) > max ? fabs(x[i]) : max;
    return max;
}

/* With P's relative error e, |P (dP - D)| is off by at most 2 e d_v max|dout| max|row|; the weights
 * of a query sum to 1, those of a key to no more than queries times heads. */
static void check_gradients(struct check *c, const struct attend_shape *s,
                            const struct attend_backward_seq *ref,
                            const struct attend_backward_seq *got, int64_t n_q, int64_t n_rows)
{
    int64_t n_terms = (int64_t)ref->n_rows * s->n_heads / s->n_kv_heads;
    double q = largest(ref->q, n_q), row = largest(ref->rows, n_rows);
    double dout = largest(ref->dout, (int64_t)ref->n_rows * ref->dout_stride);
    double e = EXP_ERROR + EPS * (2.0 * s->d_k * s->d_k * q * row * s->scale + s->d_v + 70.0);
    double ds = 2.0 * (2.0 * e + EPS * s->d_v) * s->d_v * dout * row * s->scale;
    double drow = (double)n_terms * (ds * q + 2.0 * e * dout);
    double *tolerance = check_doubles(c, n_q > n_rows ? n_q : n_rows);

    for (int64_t i = 0; i < n_q; i++)
        tolerance[i] = 2.0 * ds * row + 1e-30;
    check_close(c, "dq", got->dq, ref->dq, tolerance, n_q);
    for (int64_t i = 0; i < n_rows; i++)
        tolerance[i] = drow * 2.0 + 4.0 * EPS + 1e-30;
    check_close(c, "drows", got->drows, ref->drows, tolerance, n_rows);
}

static void check_attend(struct check *c)
{
    struct attend_shape s = draw_shape(c);
    int32_t t = check_range(c, 0, 1) ? check_size(c, 150) : check_range(c, 60, 140);
    int32_t past = check_range(c, 0, 1) ? 0 : check_range(c, 1, 140);
    int64_t q_dim = s.n_heads * s.d_k, out_dim = s.n_heads * s.d_v;
    struct attend_backward_seq ref = {.q = check_random(c, t * q_dim, 1.0f),
                                      .q_stride = q_dim,
                                      .rows =
                                          check_random(c, (int64_t)(past + t) * s.row_dim, 1.0f),
                                      .row_stride = s.row_dim,
                                      .dout = check_random(c, t * out_dim, 1.0f),
                                      .dout_stride = out_dim,
                                      .out_stride = out_dim,
                                      .dq_stride = q_dim,
                                      .drow_stride = s.row_dim,
                                      .n_rows = t,
                                      .n_past = past};
    struct attend_backward_seq got;
    float *out = check_floats(c, t * out_dim);
    struct attend_seq forward = {.q = ref.q,
                                 .q_stride = q_dim,
                                 .n_rows = t,
                                 .position = past,
                                 .rows = ref.rows,
                                 .out = out,
                                 .out_stride = out_dim,
                                 .lse = check_floats(c, t * s.n_heads)};
    struct mk_error err;

    check_describe(c, "t %d behind %d, heads %d/%d, d_k %d, d_v %d, window %d", t, past, s.n_heads,
                   s.n_kv_heads, s.d_k, s.d_v, s.window);
    c->ref->k->attend(c->ref, &s, &forward, 1, &err);
    ref.out = out;
    ref.lse = forward.lse;
    got = ref;
    check_pair(c, t * q_dim, 1.0f, &ref.dq, &got.dq);
    check_pair(c, (int64_t)(past + t) * s.row_dim, 1.0f, &ref.drows, &got.drows);
    c->ref->k->attend_backward(c->ref, &s, &ref, 1, &err);
    c->got->k->attend_backward(c->got, &s, &got, 1, &err);
    check_gradients(c, &s, &ref, &got, t * q_dim, (int64_t)(past + t) * s.row_dim);
}

/* ---- Benchmarks ------------------------------------------------------------------------------ */

struct bench_back {
    struct compute *c;
    const char *op;
    struct gemm_job job;
    struct attend_shape shape;
    struct attend_backward_seq seq;
};

static void bench_call(void *context)
{
    struct bench_back *b = context;
    struct mk_error err;

    if (!strcmp(b->op, "gemm_nn"))
        b->c->k->gemm_nn(b->c, &b->job, 1, &err);
    else if (!strcmp(b->op, "gemm_tn"))
        b->c->k->gemm_tn(b->c, &b->job, 1, &err);
    else
        b->c->k->attend_backward(b->c, &b->shape, &b->seq, 1, &err);
}

static float *some_values(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);

    for (int64_t i = 0; x && i < n; i++)
        x[i] = (float)(i % 17) / 17.0f - 0.5f;
    return x;
}

static void bench_gemm(struct bench *b, struct compute *c)
{
    static const int32_t sizes[] = {64, 512, 1024};

    for (int i = 0; i < 3; i++) {
        int32_t n = sizes[i];
        int64_t all = (int64_t)n * n;
        float *x = some_values(3 * all);
        struct bench_back r = {.c = c, .op = b->op};
        char label[40];

        if (!x)
            return;
        r.job = (struct gemm_job){.a = x, .b = x + all, .out = x + 2 * all, .a_stride = n};
        r.job.bf16 = strstr(b->op, "bf16") != NULL;
        r.job.b_stride = r.job.out_stride = r.job.n_rows = r.job.n_out = r.job.n_in = n;
        snprintf(label, sizeof label, "%d x %d x %d", n, n, n);
        bench_report(b, label, bench_seconds(bench_call, &r), 2.0 * (double)all * n, 0.0);
        free(x);
    }
}

/* FLOPs as they are counted for FlashAttention: five products, though two are done twice where the
 * walks are two. */
static void bench_attend_shape(struct bench *b, struct compute *c, struct attend_shape s,
                               int32_t t, const char *name)
{
    int64_t n_q = (int64_t)t * s.n_heads * s.d_k, n_out = (int64_t)t * s.n_heads * s.d_v;
    int64_t n_rows = (int64_t)t * s.row_dim, n_lse = (int64_t)t * s.n_heads;
    float *x = some_values(2 * n_q + 2 * n_out + 2 * n_rows + n_lse);
    struct bench_back r = {.c = c, .op = b->op, .shape = s};
    double flops = (double)t * t * s.n_heads * (3.0 * s.d_k + 2.0 * s.d_v);

    if (!x)
        return;
    r.seq = (struct attend_backward_seq){
        .q = x, .dq = x + n_q, .out = x + 2 * n_q, .dout = x + 2 * n_q + n_out, .n_rows = t};
    r.seq.rows = r.seq.dout + n_out;
    r.seq.drows = x + 2 * n_q + 2 * n_out + n_rows;
    r.seq.lse = r.seq.drows + n_rows;
    r.seq.q_stride = r.seq.dq_stride = n_q / t;
    r.seq.out_stride = r.seq.dout_stride = n_out / t;
    r.seq.row_stride = r.seq.drow_stride = s.row_dim;
    bench_report(b, name, bench_seconds(bench_call, &r), flops, 0.0);
    free(x);
}

static void bench_attend(struct bench *b, struct compute *c)
{
    struct attend_shape gqa = {9, 3, 64, 64, 0, 64, 192, 64, MK_F32, 384, 0.125f, 0};
    struct attend_shape mla = {16, 1, 576, 512, 0, 0, 0, 0, MK_F32, 576, 0.07f, 0};

    bench_attend_shape(b, c, gqa, 512, "gqa 9/3 x 64, 512 rows");
    bench_attend_shape(b, c, mla, 256, "mla 16 x 576, 256 rows");
}

const struct check_op backward_checks[] = {
    {"gemm_nn", check_gemm_nn, 20, 150, bench_gemm},
    {"gemm_tn", check_gemm_tn, 20, 150, bench_gemm},
    {"gemm_nn_bf16", check_gemm_nn_bf16, 20, 150, bench_gemm},
    {"gemm_tn_bf16", check_gemm_tn_bf16, 20, 150, bench_gemm},
    {"rmsnorm_backward", check_rmsnorm, 60, 400, NULL},
    {"silu_mul_backward", check_silu_mul, 60, 400, NULL},
    {"softmax_xent", check_xent, 60, 400, NULL},
    {"softmax_backward", check_softmax, 60, 400, NULL},
    {"combine_backward", check_combine, 60, 400, NULL},
    {"embed_backward", check_embed, 60, 400, NULL},
    {"adamw", check_adamw, 60, 400, NULL},
    {"attend_step", check_attend_step, 90, 900, NULL},
    {"turn", check_turn, 30, 300, NULL},
    {"attend_backward", check_attend, 15, 150, bench_attend},
    {0},
};
