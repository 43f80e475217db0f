/* attention_ref.c: one block of attention in plain C. */
#include <math.h>

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/exp_poly.h"
#include "kernels/cpu/vector_rows.h"

static void pack_keys_ref(float *panels, const float *keys, int64_t stride, int32_t n_keys,
                          int32_t d)
{
    for (int32_t first = 0; first < n_keys; first += MK_KEY_PANEL, panels += d * MK_KEY_PANEL)
        for (int32_t i = 0; i < MK_KEY_PANEL; i++)
            for (int32_t c = 0; c < d; c++)
                panels[c * MK_KEY_PANEL + i] =
                    first + i < n_keys ? keys[(first + i) * stride + c] : 0.0f;
}

static void scores_ref(float *scores, const float *q, int64_t q_stride, int32_t n_q,
                       const float *panels, int32_t d, int32_t first, int32_t n_panels)
{
    for (int32_t m = 0; m < n_q; m++)
        for (int32_t i = first * MK_KEY_PANEL; i < (first + n_panels) * MK_KEY_PANEL; i++) {
            const float *k = panels + (i / MK_KEY_PANEL) * d * MK_KEY_PANEL + i % MK_KEY_PANEL;
            float sum = 0.0f;

            for (int32_t c = 0; c < d; c++)
                sum += q[m * q_stride + c] * k[c * MK_KEY_PANEL];
            scores[m * MK_KEY_BLOCK + i] = sum;
        }
}

static float softmax_step_ref(float *scores, float scale, int32_t lo, int32_t hi, float *max,
                              float *sum)
{
    float lanes[MK_SUM_LANES] = {0}, old = *max, factor;

    for (int32_t i = 0; i < MK_KEY_BLOCK; i++) {
        scores[i] = i >= lo && i < hi ? scores[i] * scale : -INFINITY;
        *max = scores[i] > *max ? scores[i] : *max;
    }
    for (int32_t i = 0; i < MK_KEY_BLOCK; i++) {
        scores[i] = exp_poly(scores[i] - *max);
        lanes[i % MK_SUM_LANES] += scores[i];
    }
    for (int half = MK_SUM_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    factor = exp_poly(old - *max);
    *sum = fmaf(*sum, factor, lanes[0]);
    return factor;
}

static void values_ref(float *acc, int64_t acc_stride, const float *p, const float *factor,
                       int32_t n_q, const float *v, int64_t v_stride, int32_t d, int32_t n_keys)
{
    for (int32_t m = 0; m < n_q; m++, acc += acc_stride, p += MK_KEY_BLOCK)
        for (int32_t c = 0; c < d; c++) {
            float sum = acc[c] * factor[m];

            for (int32_t i = 0; i < n_keys; i++)
                sum += p[i] * v[i * v_stride + c];
            acc[c] = sum;
        }
}

static const struct attention_rows table = {
    .pack_keys = pack_keys_ref,
    .scores = scores_ref,
    .softmax_step = softmax_step_ref,
    .values = values_ref,
};

void attention_fill_ref(struct kernels *k)
{
    k->attention_rows = &table;
}
