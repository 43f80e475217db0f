/* backward_test.c: the backward operations against central differences of their forward formulas in
 * double precision, on every instruction set that this machine has; and their bits, which neither
 * threads nor the cutting of a batch may change. */
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

/* A forward formula: the sum of dout * f(x) over all its inputs, in one array. */
typedef double forward_fn(const double *x, const void *context);

/* Compares got[i] with the central difference of f along x[first + i]. */
static void assert_gradient(forward_fn *f, const void *context, double *x, int64_t first,
                            const float *got, int64_t n)
{
    const double step = 1e-5;

    for (int64_t i = 0; i < n; i++) {
        double old = x[first + i], up, down;

        x[first + i] = old + step;
        up = f(x, context);
        x[first + i] = old - step;
        down = f(x, context);
        x[first + i] = old;
        assert_close(got[i], (up - down) / (2 * step), 2e-5 + 2e-5 * fabs(got[i]));
    }
}

static void widen(double *out, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i];
}

/* ---- Row operations -------------------------------------------------------------------------- */

enum { T = 3, N = 37 };

struct row_context {
    const float *dout; /* [T, N] */
    const int32_t *target;
    const float *scale;
    enum rope_pairs pairs;
};

/* x [T, N] then w [N]. */
static double rmsnorm_forward(const double *x, const void *context)
{
    const struct row_context *r = context;
    double loss = 0.0;

    for (int t = 0; t < T; t++) {
        double sum = 0.0;

        for (int i = 0; i < N; i++)
            sum += x[t * N + i] * x[t * N + i];
        for (int i = 0; i < N; i++)
            loss += r->dout[t * N + i] * x[t * N + i] * x[T * N + i] / sqrt(sum / N + 1e-5);
    }
    return loss;
}

/* Two batches, of two rows and of one, give dw the bits that one batch gives it. */
static void check_rmsnorm_cut(struct compute *c, const float *x, const float *dout)
{
    float dx[T * N] = {0}, whole[N] = {0}, cut[N] = {0};
    const float *w = x + T * N, *last_x = x + 2 * N, *last = dout + 2 * N;
    struct mk_error err;

    assert_int_equal(
        c->k->rmsnorm_backward(c, dx, N, whole, dout, N, x, N, w, T, N, 1e-5f, &err), 0);
    assert_int_equal(c->k->rmsnorm_backward(c, dx, N, cut, dout, N, x, N, w, 2, N, 1e-5f, &err),
                     0);
    assert_int_equal(
        c->k->rmsnorm_backward(c, dx, N, cut, last, N, last_x, N, w, 1, N, 1e-5f, &err), 0);
    assert_memory_equal(cut, whole, sizeof whole);
}

static void check_rmsnorm(struct compute *c)
{
    float x[T * N + N], dout[T * N], d[T * N + N];
    double wide[T * N + N];
    struct row_context r = {.dout = dout};
    struct mk_error err;

    fill(x, T * N + N, 1, 2.0f);
    fill(dout, T * N, 2, 1.0f);
    for (int i = 0; i < T * N + N; i++)
        d[i] = 0.5f;
    assert_int_equal(c->k->rmsnorm_backward(c, d, N, d + T * N, dout, N, x, N, x + T * N, T, N,
                                            1e-5f, &err),
                     0);
    for (int i = 0; i < T * N + N; i++)
        d[i] -= 0.5f; /* it was added to */
    widen(wide, x, T * N + N);
    assert_gradient(rmsnorm_forward, &r, wide, 0, d, T * N + N);
    check_rmsnorm_cut(c, x, dout);
    /* ones, frozen */
    for (int i = 0; i < N; i++)
        wide[T * N + i] = 1.0;
    memset(d, 0, sizeof d);
    assert_int_equal(
        c->k->rmsnorm_backward(c, d, N, NULL, dout, N, x, N, NULL, T, N, 1e-5f, &err), 0);
    assert_gradient(rmsnorm_forward, &r, wide, 0, d, T * N);
}

/* gate [T, N] then up [T, N]. */
static double silu_mul_forward(const double *x, const void *context)
{
    const struct row_context *r = context;
    double loss = 0.0;

    for (int i = 0; i < T * N; i++)
        loss += r->dout[i] * x[i] / (1.0 + exp(-x[i])) * x[T * N + i];
    return loss;
}

static void check_silu_mul(struct compute *c)
{
    float x[2 * T * N], dout[T * N], d[2 * T * N];
    double wide[2 * T * N];
    struct row_context r = {.dout = dout};

    fill(x, 2 * T * N, 3, 4.0f);
    fill(dout, T * N, 4, 1.0f);
    c->k->silu_mul_backward(c, d, d + T * N, N, x, x + T * N, N, dout, N, T, N);
    widen(wide, x, 2 * T * N);
    assert_gradient(silu_mul_forward, &r, wide, 0, d, 2 * T * N);
    /* over its own inputs */
    c->k->silu_mul_backward(c, x, x + T * N, N, x, x + T * N, N, dout, N, T, N);
    assert_memory_equal(x, d, sizeof d);
}

static double xent_forward(const double *x, const void *context)
{
    const struct row_context *r = context;
    double loss = 0.0;

    for (int t = 0; t < T; t++) {
        double sum = 0.0;

        if (r->target[t] < 0)
            continue;
        for (int i = 0; i < N; i++)
            sum += exp(x[t * N + i]);
        loss += r->scale[t] * (log(sum) - x[t * N + r->target[t]]);
    }
    return loss;
}

/* What a sampler says of a token is what training says of it. */
static void check_xent_is_log_sum_exp(struct compute *c)
{
    enum { N_X = 1000 };
    float x[N_X];

    for (int32_t n = 1; n <= N_X; n += 37)
        for (int32_t target = 0; target < n; target += 1 + n / 5) {
            float loss, scale = 1, want;

            for (int32_t i = 0; i < n; i++)
                x[i] = (float)(20 * rng_uniform(9, (uint64_t)n, (uint64_t)i) - 10);
            want = c->k->log_sum_exp(c, x, n) - x[target];
            c->k->softmax_xent(c, x, n, &target, &scale, &loss, 1, n);
            if (memcmp(&loss, &want, sizeof loss))
                fail_msg("n %d, target %d: %.9g and %.9g", n, target, (double)loss, (double)want);
        }
}

static void check_xent(struct compute *c)
{
    static const int32_t target[T] = {N - 1, -1, 4};
    static const float scale[T] = {0.5f, 3.0f, 2.0f};
    float x[T * N], loss[T];
    double wide[T * N];
    struct row_context r = {.target = target, .scale = scale};

    fill(x, T * N, 5, 6.0f);
    widen(wide, x, T * N);
    c->k->softmax_xent(c, x, N, target, scale, loss, T, N);
    assert_gradient(xent_forward, &r, wide, 0, x, T * N);
    assert_true(loss[1] == 0.0f);
    for (int i = 0; i < N; i++)
        assert_true(x[N + i] == 0.0f);
    assert_close(0.5 * loss[0] + 2.0 * loss[2], xent_forward(wide, &r), 1e-5);
}

static double softmax_forward(const double *x, const void *context)
{
    const struct row_context *r = context;
    double loss = 0.0;

    for (int t = 0; t < T; t++) {
        double sum = 0.0;

        for (int i = 0; i < N; i++)
            sum += exp(x[t * N + i]);
        for (int i = 0; i < N; i++)
            loss += r->dout[t * N + i] * exp(x[t * N + i]) / sum;
    }
    return loss;
}

static void check_softmax(struct compute *c)
{
    float x[T * N], dout[T * N];
    double wide[T * N];
    struct row_context r = {.dout = dout};

    fill(x, T * N, 6, 3.0f);
    fill(dout, T * N, 7, 1.0f);
    widen(wide, x, T * N);
    c->k->softmax(c, x, N, T, N);
    c->k->softmax_backward(c, x, N, x, N, dout, N, T, N);
    assert_gradient(softmax_forward, &r, wide, 0, x, T * N);
}

static const float angles[T] = {0.3f, 1.7f, -2.5f};
enum { D = 10 };

static double rope_forward(const double *x, const void *context)
{
    const struct row_context *r = context;
    int step = r->pairs == ROPE_HALF ? 1 : 2, other = r->pairs == ROPE_HALF ? D / 2 : 1;
    double loss = 0.0;

    for (int t = 0; t < T; t++)
        for (int i = 0; i < D / 2; i++) {
            int a = t * D + i * step, b = a + other;
            double cosine = cosf(angles[t] * (float)i), sine = sinf(angles[t] * (float)i);

            loss += r->dout[a] * (x[a] * cosine - x[b] * sine);
            loss += r->dout[b] * (x[b] * cosine + x[a] * sine);
        }
    return loss;
}

static void check_rope(struct compute *c)
{
    float x[T * D], dout[T * D], dx[T * D], turn_back[T * D];
    double wide[T * D];
    struct row_context r = {.dout = dout};

    fill(x, T * D, 8, 3.0f);
    fill(dout, T * D, 9, 1.0f);
    widen(wide, x, T * D);
    for (int i = 0; i < T * D / 2; i++) {
        turn_back[2 * i] = cosf(angles[i / (D / 2)] * (float)(i % (D / 2)));
        turn_back[2 * i + 1] = -sinf(angles[i / (D / 2)] * (float)(i % (D / 2)));
    }
    for (int pairs = ROPE_HALF; pairs <= ROPE_INTERLEAVED; pairs++) {
        r.pairs = (enum rope_pairs)pairs;
        memcpy(dx, dout, sizeof dx);
        c->k->rope(c, dx, D, T, 1, D, D, turn_back, r.pairs);
        assert_gradient(rope_forward, &r, wide, 0, dx, T * D);
    }
}

enum { USED = 2, ROWS = 7 };
static const int32_t used[T * USED] = {3, 0, 6, 2, 1, 5};

/* y [ROWS, N] then weight [T, USED]. */
static double combine_forward(const double *x, const void *context)
{
    const struct row_context *r = context;
    double loss = 0.0;

    for (int i = 0; i < T * USED; i++)
        for (int ch = 0; ch < N; ch++)
            loss += r->dout[i / USED * N + ch] * x[ROWS * N + i] * x[used[i] * N + ch];
    return loss;
}

static void check_combine(struct compute *c)
{
    float x[ROWS * N + T * USED], dout[T * N], d[ROWS * N + T * USED] = {0};
    double wide[ROWS * N + T * USED];
    struct row_context r = {.dout = dout};

    fill(x, ROWS * N + T * USED, 10, 1.0f);
    fill(dout, T * N, 11, 1.0f);
    widen(wide, x, ROWS * N + T * USED);
    c->k->combine_backward(c, d, N, d + ROWS * N, x, N, used, x + ROWS * N, dout, N, T, USED, N);
    assert_gradient(combine_forward, &r, wide, 0, d, ROWS * N + T * USED);
}

static void check_embed(struct compute *c)
{
    static const int32_t id[T] = {1, 4, 1};
    float dx[T * N], de[5 * N], want[5 * N];

    fill(dx, T * N, 12, 1.0f);
    fill(de, 5 * N, 13, 1.0f);
    memcpy(want, de, sizeof want);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < N; i++)
            want[id[t] * N + i] += dx[t * N + i];
    /* in two batches */
    c->k->embed_backward(c, de, N, id, dx, N, 2, N);
    c->k->embed_backward(c, de, N, id + 2, dx + 2 * N, N, T - 2, N);
    assert_memory_equal(de, want, sizeof want);
}

/* ---- Attention ------------------------------------------------------------------------------- */

enum { MAX_ROWS = 200 };

struct attend_context {
    struct attend_shape s;
    int32_t t;
    const float *dout;
    double *out; /* [t, n_heads * d_v] or NULL */
    double *lse; /* [t, n_heads] with out */
};

/* One query of one head; returns dout * out. */
static double attend_one(const struct attend_context *a, const double *q, const double *rows,
                         int32_t i, int32_t h)
{
    const struct attend_shape *s = &a->s;
    int32_t kv = h / (s->n_heads / s->n_kv_heads), lo = 0;
    double p[MAX_ROWS], sum = 0.0, loss = 0.0;

    if (s->window > 0 && i - s->window + 1 > 0)
        lo = i - s->window + 1;
    for (int32_t j = lo; j <= i; j++) {
        double score = 0.0;

        for (int32_t ch = 0; ch < s->d_k; ch++)
            score += q[(i * s->n_heads + h) * s->d_k + ch] *
                     rows[j * s->row_dim + s->k_offset + kv * s->k_stride + ch];
        p[j] = exp(score * s->scale);
        sum += p[j];
    }
    if (a->out)
        a->lse[i * s->n_heads + h] = log(sum);
    for (int32_t ch = 0; ch < s->d_v; ch++) {
        double value = 0.0;

        for (int32_t j = lo; j <= i; j++)
            value += p[j] / sum * rows[j * s->row_dim + s->v_offset + kv * s->v_stride + ch];
        loss += a->dout[(i * s->n_heads + h) * s->d_v + ch] * value;
        if (a->out)
            a->out[(i * s->n_heads + h) * s->d_v + ch] = value;
    }
    return loss;
}

/* q [t, n_heads * d_k] then rows [t, row_dim]. */
static double attend_forward(const double *x, const void *context)
{
    const struct attend_context *a = context;
    double loss = 0.0;

    for (int32_t i = 0; i < a->t; i++)
        for (int32_t h = 0; h < a->s.n_heads; h++)
            loss += attend_one(a, x, x + a->t * a->s.n_heads * a->s.d_k, i, h);
    return loss;
}

static void check_attend_shape(struct compute *c, const struct attend_shape *s, int32_t t,
                               int64_t n_checked)
{
    int64_t n_q = (int64_t)t * s->n_heads * s->d_k, n_rows = (int64_t)t * s->row_dim;
    int64_t n_out = (int64_t)t * s->n_heads * s->d_v, n_lse = (int64_t)t * s->n_heads;
    float *x = malloc((size_t)(n_q + n_rows) * sizeof *x);
    float *d = calloc((size_t)(n_q + n_rows), sizeof *d);
    float *out = malloc((size_t)n_out * sizeof *out), *dout = malloc((size_t)n_out * sizeof *dout);
    float *lse = malloc((size_t)n_lse * sizeof *lse);
    double *wide = calloc((size_t)(n_q + n_rows + n_out + n_lse), sizeof *wide);
    struct attend_context a = {*s, t, dout, wide + n_q + n_rows, wide + n_q + n_rows + n_out};
    struct attend_backward_seq seq = {.q = x,
                                      .q_stride = n_q / t,
                                      .rows = x + n_q,
                                      .row_stride = s->row_dim,
                                      .out = out,
                                      .out_stride = n_out / t,
                                      .lse = lse,
                                      .dout = dout,
                                      .dout_stride = n_out / t,
                                      .dq = d,
                                      .dq_stride = n_q / t,
                                      .drows = d + n_q,
                                      .drow_stride = s->row_dim,
                                      .n_rows = t};
    struct mk_error err;

    fill(x, n_q + n_rows, 14, 1.0f);
    fill(dout, n_out, 15, 1.0f);
    widen(wide, x, n_q + n_rows);
    attend_forward(wide, &a);
    for (int64_t i = 0; i < n_out; i++)
        out[i] = (float)a.out[i];
    for (int64_t i = 0; i < n_lse; i++)
        lse[i] = (float)a.lse[i];
    a.out = NULL;
    assert_int_equal(c->k->attend_backward(c, s, &seq, 1, &err), 0);
    if (n_checked >= n_q + n_rows) {
        assert_gradient(attend_forward, &a, wide, 0, d, n_q + n_rows);
    } else {
        for (int64_t i = 0; i < n_checked; i++) {
            int64_t at = (n_q + n_rows - 1) * i / (n_checked - 1);

            assert_gradient(attend_forward, &a, wide, at, d + at, 1);
        }
    }
    free(x);
    free(d);
    free(out);
    free(dout);
    free(lse);
    free(wide);
}

static const struct attend_shape grouped = {4, 2, 6, 5, 1, 6, 13, 5, MK_F32, 24, 0.4f, 0};
static const struct attend_shape windowed = {2, 1, 6, 5, 0, 0, 6, 0, MK_F32, 11, 0.4f, 3};
/* keys are the whole row, values its first part */
static const struct attend_shape absorbed = {3, 1, 7, 5, 0, 0, 0, 0, MK_F32, 7, 0.4f, 0};
/* [k | v] a head */
static const struct attend_shape expanded = {2, 2, 6, 4, 0, 10, 6, 10, MK_F32, 20, 0.4f, 0};

static void check_attend(struct compute *c)
{
    check_attend_shape(c, &grouped, 5, 1 << 20);
    check_attend_shape(c, &windowed, 7, 1 << 20);
    check_attend_shape(c, &absorbed, 5, 1 << 20);
    check_attend_shape(c, &expanded, 5, 1 << 20);
    check_attend_shape(c, &absorbed, 131, 12);
    check_attend_shape(c, &windowed, 131, 12);
}

/* Several sequences at once, and each alone with another number of threads. */
static void test_neither_threads_nor_neighbours_change_a_gradient(void **state)
{
    enum { LONG = 150, SHORT = 9, HEADS = 3, ALL = LONG + SHORT, Q = HEADS * 7, OUT = HEADS * 5 };
    static float x[ALL * 7], q[ALL * Q], out[ALL * OUT], dout[ALL * OUT], lse[ALL * HEADS];
    static float dq[2][ALL * Q], drows[2][ALL * 7];
    static const int n_threads[2] = {1, 3};
    struct mk_error err;

    (void)state;
    fill(x, ALL * 7, 20, 1.0f);
    fill(q, ALL * Q, 21, 1.0f);
    fill(out, ALL * OUT, 22, 1.0f);
    fill(dout, ALL * OUT, 23, 1.0f);
    fill(lse, ALL * HEADS, 24, 1.0f);
    for (int i = 0; i < 2; i++) {
        struct attend_backward_seq seqs[2];
        struct compute c;

        for (int j = 0; j < 2; j++) {
            int first = j ? LONG : 0;

            seqs[j] = (struct attend_backward_seq){
                .q = q + first * Q,
                .rows = x + first * 7,
                .out = out + first * OUT,
                .lse = lse + first * HEADS,
                .dout = dout + first * OUT,
                .dq = dq[i] + first * Q,
                .drows = drows[i] + first * 7,
                .q_stride = Q,
                .row_stride = 7,
                .out_stride = OUT,
                .dout_stride = OUT,
                .dq_stride = Q,
                .drow_stride = 7,
                .n_rows = j ? SHORT : LONG};
        }
        assert_int_equal(compute_init(&c, NULL, n_threads[i], &err), 0);
        if (i) {
            assert_int_equal(c.k->attend_backward(&c, &absorbed, seqs, 2, &err), 0);
        } else {
            assert_int_equal(c.k->attend_backward(&c, &absorbed, seqs, 1, &err), 0);
            assert_int_equal(c.k->attend_backward(&c, &absorbed, seqs + 1, 1, &err), 0);
        }
        compute_release(&c);
    }
    assert_memory_equal(dq[0], dq[1], sizeof dq[0]);
    assert_memory_equal(drows[0], drows[1], sizeof drows[0]);
}

/* ---- Products -------------------------------------------------------------------------------- */

enum { PT = 131, PR = 107, PK = 270, PA = PR + 3, PB = PK + 1 };

static void check_gemm(struct compute *c)
{
    static float a[PT * PA], w[PR * PB], x[PT * PB], nn[PT * PB], tn[PR * PB], want[PT * PB];
    int32_t reversed[PT];
    struct gemm_job j = {.a = a,
                         .b = w,
                         .out = nn,
                         .a_stride = PA,
                         .b_stride = PB,
                         .out_stride = PB,
                         .a_rows = reversed,
                         .n_rows = PT,
                         .n_out = PR,
                         .n_in = PK};
    struct mk_error err;

    fill(a, PT * PA, 16, 1.0f);
    fill(w, PR * PB, 17, 1.0f);
    fill(x, PT * PB, 18, 1.0f);
    fill(tn, PR * PB, 19, 1.0f);
    for (int i = 0; i < PT; i++)
        reversed[i] = PT - 1 - i;
    for (int t = 0; t < PT; t++)
        for (int k = 0; k < PK; k++) {
            float sum = 0.0f;

            for (int r = 0; r < PR; r++)
                sum = fmaf(a[reversed[t] * PA + r], w[r * PB + k], sum);
            want[t * PB + k] = sum;
        }
    assert_int_equal(c->k->gemm_nn(c, &j, 1, &err), 0);
    for (int t = 0; t < PT; t++)
        assert_memory_equal(nn + t * PB, want + t * PB, PK * sizeof *want);
    memcpy(want, tn, sizeof tn);
    for (int t = 0; t < PT; t++)
        for (int r = 0; r < PR; r++)
            for (int k = 0; k < PK; k++)
                want[r * PB + k] = fmaf(a[t * PA + r], x[reversed[t] * PB + k], want[r * PB + k]);
    /* in two calls, the batch cut anywhere */
    j.a_rows = NULL;
    j.b = x;
    j.b_rows = reversed;
    j.out = tn;
    j.n_rows = 50;
    assert_int_equal(c->k->gemm_tn(c, &j, 1, &err), 0);
    j.a += 50 * PA;
    j.b_rows += 50;
    j.n_rows = PT - 50;
    assert_int_equal(c->k->gemm_tn(c, &j, 1, &err), 0);
    assert_memory_equal(tn, want, sizeof tn);
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static void test_gradient_of_rmsnorm_is_that_of_its_formula(void **state)
{
    (void)state;
    on_every_cpu(check_rmsnorm);
}

static void test_gradient_of_silu_mul_is_that_of_its_formula(void **state)
{
    (void)state;
    on_every_cpu(check_silu_mul);
}

static void test_cross_entropy_and_its_gradient_agree(void **state)
{
    (void)state;
    on_every_cpu(check_xent);
    on_every_cpu(check_xent_is_log_sum_exp);
}

static void test_gradient_of_softmax_is_that_of_its_formula(void **state)
{
    (void)state;
    on_every_cpu(check_softmax);
}

static void test_rope_with_negated_sines_is_its_backward(void **state)
{
    (void)state;
    on_every_cpu(check_rope);
}

static void test_gradient_of_combine_is_that_of_its_formula(void **state)
{
    (void)state;
    on_every_cpu(check_combine);
}

static void test_embedding_rows_collect_gradients_in_order(void **state)
{
    (void)state;
    on_every_cpu(check_embed);
}

static void test_gradient_of_attention_is_that_of_its_formula(void **state)
{
    (void)state;
    on_every_cpu(check_attend);
}

static void test_products_are_one_chain_of_fma_however_cut(void **state)
{
    (void)state;
    on_every_cpu(check_gemm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient_of_rmsnorm_is_that_of_its_formula),
        cmocka_unit_test(test_gradient_of_silu_mul_is_that_of_its_formula),
        cmocka_unit_test(test_cross_entropy_and_its_gradient_agree),
        cmocka_unit_test(test_gradient_of_softmax_is_that_of_its_formula),
        cmocka_unit_test(test_rope_with_negated_sines_is_its_backward),
        cmocka_unit_test(test_gradient_of_combine_is_that_of_its_formula),
        cmocka_unit_test(test_embedding_rows_collect_gradients_in_order),
        cmocka_unit_test(test_gradient_of_attention_is_that_of_its_formula),
        cmocka_unit_test(test_neither_threads_nor_neighbours_change_a_gradient),
        cmocka_unit_test(test_products_are_one_chain_of_fma_however_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
