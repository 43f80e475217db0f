/* backward_ref.c: one row of each backward operation in plain C. */
#include <math.h>

#include "kernels/cpu/backward_rows.h"
#include "kernels/cpu/exp_poly.h"

static float sum_lanes(float lanes[MK_SUM_LANES])
{
    for (int half = MK_SUM_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return lanes[0];
}

static float dot_ref(const float *a, const float *b, int32_t n)
{
    float lanes[MK_SUM_LANES] = {0};

    for (int32_t i = 0; i < n; i++)
        lanes[i % MK_SUM_LANES] = fmaf(a[i], b[i], lanes[i % MK_SUM_LANES]);
    return sum_lanes(lanes);
}

static void scale_ref(float *out, const float *x, float a, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        out[i] = a * x[i];
}

static float rmsnorm_ref(float *dx, const float *dout, const float *x, const float *w, int32_t n,
                         float eps)
{
    float lanes[MK_SUM_LANES] = {0}, s = 1.0f / sqrtf(dot_ref(x, x, n) / (float)n + eps), mean;

    for (int32_t i = 0; i < n; i++)
        lanes[i % MK_SUM_LANES] =
            fmaf(w ? dout[i] * w[i] : dout[i], x[i], lanes[i % MK_SUM_LANES]);
    mean = sum_lanes(lanes) * s / (float)n * s; /* of g * x, times s^2 */
    for (int32_t i = 0; i < n; i++)
        dx[i] = fmaf(s, fmaf(-mean, x[i], w ? dout[i] * w[i] : dout[i]), dx[i]);
    return s;
}

static void rmsnorm_weight_ref(float *dw, const float *dout, const float *x, float s, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        dw[i] = fmaf(dout[i], x[i] * s, dw[i]);
}

static void silu_mul_ref(float *dgate, float *dup, const float *gate, const float *up,
                         const float *dout, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        float g = gate[i], u = up[i], d = dout[i], s = 1.0f / (1.0f + exp_poly(-g));

        dgate[i] = d * u * (s * fmaf(g, 1.0f - s, 1.0f));
        dup[i] = d * (g * s);
    }
}

static float softmax_xent_ref(float *x, int32_t n, int32_t target, float scale)
{
    float lanes[MK_SUM_LANES] = {0}, max = -INFINITY, sum, inverse;
    float right = x[target];

    for (int32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int32_t i = 0; i < n; i++) {
        x[i] = exp_poly(x[i] - max);
        lanes[i % MK_SUM_LANES] += x[i];
    }
    sum = sum_lanes(lanes);
    inverse = 1.0f / sum;
    x[target] -= sum; /* (p - 1) * sum */
    for (int32_t i = 0; i < n; i++)
        x[i] = x[i] * inverse * scale;
    return max + logf(sum) - right;
}

static void softmax_ref(float *dx, const float *p, const float *dp, int32_t n)
{
    float sum = dot_ref(p, dp, n);

    for (int32_t i = 0; i < n; i++)
        dx[i] = p[i] * (dp[i] - sum);
}

static void turn_ref(float *out, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < MK_KEY_BLOCK; j++)
            out[j * MK_KEY_BLOCK + i] = x[i * MK_KEY_BLOCK + j];
}

static void adamw_ref(const struct adamw_step *a, const struct adamw_piece *p)
{
    float shrink = p->decay ? a->shrink : 1;

    for (int64_t i = 0; i < p->n; i++) {
        float g = a->scale * p->grad[i];

        p->m[i] += a->rest1 * (g - p->m[i]);
        p->v[i] = a->beta2 * p->v[i] + a->rest2 * g * g;
        p->w[i] = p->w[i] * shrink - a->step * p->m[i] / (sqrtf(p->v[i]) / a->root2 + a->eps);
    }
}

static void attend_step_ref(float *s, float *ds, float scale, float lse, float delta, int32_t lo,
                            int32_t hi)
{
    for (int32_t i = 0; i < MK_KEY_BLOCK; i++) {
        bool seen = i >= lo && i < hi;

        s[i] = seen ? exp_poly(fmaf(s[i], scale, -lse)) : 0.0f;
        ds[i] = seen ? (ds[i] - delta) * s[i] * scale : 0.0f;
    }
}

static const struct backward_rows table = {
    .dot = dot_ref,
    .scale = scale_ref,
    .rmsnorm = rmsnorm_ref,
    .rmsnorm_weight = rmsnorm_weight_ref,
    .silu_mul = silu_mul_ref,
    .softmax_xent = softmax_xent_ref,
    .softmax = softmax_ref,
    .turn = turn_ref,
    .adamw = adamw_ref,
    .attend_step = attend_step_ref,
};

void backward_fill_ref(struct kernels *k)
{
    k->backward_rows = &table;
}
