/* attention_avx512.c: one block of attention in tiles of registers: the twin of attention_avx2.c.
 *
 * A panel row is one register. Sixteen sums hide the latency of the FMA; the broadcast of a query's
 * number is part of the FMA's memory operand. */
#include <math.h>

#include "kernels/cpu/x86/lanes_avx512.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/vector_rows.h"

/* Four values of each of the keys i, i + 4, i + 8, i + 12, side by side. */
static inline __m512 load_four(const float *keys, int64_t stride, int32_t i, int32_t n_keys)
{
    __m512 v = _mm512_setzero_ps();

    if (i < n_keys)
        v = _mm512_insertf32x4(v, _mm_loadu_ps(keys + i * stride), 0);
    if (i + 4 < n_keys)
        v = _mm512_insertf32x4(v, _mm_loadu_ps(keys + (i + 4) * stride), 1);
    if (i + 8 < n_keys)
        v = _mm512_insertf32x4(v, _mm_loadu_ps(keys + (i + 8) * stride), 2);
    if (i + 12 < n_keys)
        v = _mm512_insertf32x4(v, _mm_loadu_ps(keys + (i + 12) * stride), 3);
    return v;
}

/* Sixteen keys, four channels: panel[c][0..15] = keys[0..15][c]. */
static inline void transpose_16x4(float *panel, const float *keys, int64_t stride, int32_t n_keys)
{
    __m512 a = load_four(keys, stride, 0, n_keys), b = load_four(keys, stride, 1, n_keys);
    __m512 c = load_four(keys, stride, 2, n_keys), d = load_four(keys, stride, 3, n_keys);
    __m512 ab_low = _mm512_unpacklo_ps(a, b), ab_high = _mm512_unpackhi_ps(a, b);
    __m512 cd_low = _mm512_unpacklo_ps(c, d), cd_high = _mm512_unpackhi_ps(c, d);

    _mm512_store_ps(panel, _mm512_shuffle_ps(ab_low, cd_low, 0x44));
    _mm512_store_ps(panel + MK_KEY_PANEL, _mm512_shuffle_ps(ab_low, cd_low, 0xee));
    _mm512_store_ps(panel + 2 * MK_KEY_PANEL, _mm512_shuffle_ps(ab_high, cd_high, 0x44));
    _mm512_store_ps(panel + 3 * MK_KEY_PANEL, _mm512_shuffle_ps(ab_high, cd_high, 0xee));
}

static void pack_keys_avx512(float *panels, const float *keys, int64_t stride, int32_t n_keys,
                             int32_t d)
{
    for (int32_t first = 0; first < n_keys; first += MK_KEY_PANEL, panels += d * MK_KEY_PANEL) {
        const float *from = keys + first * stride;
        int32_t n = n_keys - first, c;

        if (n >= MK_KEY_PANEL) /* the usual case, without questions in its loop */
            for (c = 0; c + 4 <= d; c += 4)
                transpose_16x4(panels + c * MK_KEY_PANEL, from + c, stride, MK_KEY_PANEL);
        else
            for (c = 0; c + 4 <= d; c += 4)
                transpose_16x4(panels + c * MK_KEY_PANEL, from + c, stride, n);
        for (; c < d; c++)
            for (int32_t i = 0; i < MK_KEY_PANEL; i++)
                panels[c * MK_KEY_PANEL + i] = i < n ? from[i * stride + c] : 0.0f;
    }
}

/* n queries by w panels of sixteen keys. */
MK_INLINE void score_tile(const int n, const int w, float *scores, const float *q, int64_t q_stride,
                          const float *panels, int32_t d)
{
    __m512 sum[16];

    MK_UNROLL
    for (int i = 0; i < n * w; i++)
        sum[i] = _mm512_setzero_ps();
    for (int32_t c = 0; c < d; c++) {
        __m512 k[4];

        MK_UNROLL
        for (int j = 0; j < w; j++)
            k[j] = _mm512_load_ps(panels + ((int64_t)j * d + c) * MK_KEY_PANEL);
        MK_UNROLL
        for (int m = 0; m < n; m++) {
            __m512 x = _mm512_set1_ps(q[m * q_stride + c]);

            MK_UNROLL
            for (int j = 0; j < w; j++)
                sum[m * w + j] = _mm512_fmadd_ps(x, k[j], sum[m * w + j]);
        }
    }
    MK_UNROLL
    for (int i = 0; i < n * w; i++)
        _mm512_store_ps(scores + i / w * MK_KEY_BLOCK + i % w * MK_KEY_PANEL, sum[i]);
}

/* As many panels at a time as n queries leave registers for. */
MK_INLINE void score_rows(const int n, const int w, float *scores, const float *q, int64_t q_stride,
                          const float *panels, int32_t d, int32_t first, int32_t n_panels)
{
    int32_t p = first;

    for (; p + w <= first + n_panels; p += w)
        score_tile(n, w, scores + p * MK_KEY_PANEL, q, q_stride,
                   panels + (int64_t)p * d * MK_KEY_PANEL, d);
    for (; w > 2 && p + 2 <= first + n_panels; p += 2)
        score_tile(n, 2, scores + p * MK_KEY_PANEL, q, q_stride,
                   panels + (int64_t)p * d * MK_KEY_PANEL, d);
    for (; p < first + n_panels; p++)
        score_tile(n, 1, scores + p * MK_KEY_PANEL, q, q_stride,
                   panels + (int64_t)p * d * MK_KEY_PANEL, d);
}

static void scores_avx512(float *scores, const float *q, int64_t q_stride, int32_t n_q,
                          const float *panels, int32_t d, int32_t first, int32_t n_panels)
{
    while (n_q > 0) {
        int32_t n = n_q >= 8 ? 8 : n_q >= 4 ? 4 : n_q >= 2 ? 2 : 1;

        if (n == 8)
            score_rows(8, 2, scores, q, q_stride, panels, d, first, n_panels);
        else if (n == 4)
            score_rows(4, 4, scores, q, q_stride, panels, d, first, n_panels);
        else if (n == 2)
            score_rows(2, 4, scores, q, q_stride, panels, d, first, n_panels);
        else
            score_rows(1, 4, scores, q, q_stride, panels, d, first, n_panels);
        scores += n * MK_KEY_BLOCK;
        q += n * q_stride;
        n_q -= n;
    }
}

/* Lanes lo .. hi - 1 of the j-th sixteen keys of a block. */
static inline __mmask16 visible_mask(int j, int32_t lo, int32_t hi)
{
    uint64_t below_hi = hi >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << hi) - 1;

    return (__mmask16)((below_hi & ~(((uint64_t)1 << lo) - 1)) >> (16 * j));
}

static float softmax_step_avx512(float *scores, float scale, int32_t lo, int32_t hi, float *max,
                                 float *sum)
{
    __m512 s[4], largest = _mm512_set1_ps(*max), all = _mm512_set1_ps(scale);
    float old = *max, factor;

    MK_UNROLL
    for (int j = 0; j < 4; j++) {
        s[j] = _mm512_mask_mul_ps(_mm512_set1_ps(-INFINITY), visible_mask(j, lo, hi),
                                  _mm512_load_ps(scores + 16 * j), all);
        largest = _mm512_max_ps(largest, s[j]);
    }
    *max = max16(largest);
    largest = _mm512_set1_ps(*max);
    MK_UNROLL
    for (int j = 0; j < 4; j++) {
        s[j] = exp16(_mm512_sub_ps(s[j], largest));
        _mm512_store_ps(scores + 16 * j, s[j]);
    }
    factor = old == *max ? 1.0f : exp_poly(old - *max);
    *sum = fmaf(*sum, factor, sum32_of_two(_mm512_add_ps(s[0], s[2]), _mm512_add_ps(s[1], s[3])));
    return factor;
}

/* n queries by w vectors of channels, the last of them under `last`. acc is padded, v is not. */
MK_INLINE void value_tile(const int n, const int w, float *acc, int64_t acc_stride, const float *p,
                          const float *factor, const float *v, int64_t v_stride, int32_t n_keys,
                          __mmask16 last)
{
    __m512 sum[16];

    MK_UNROLL
    for (int i = 0; i < n * w; i++)
        sum[i] = _mm512_mul_ps(_mm512_loadu_ps(acc + i / w * acc_stride + i % w * 16),
                               _mm512_set1_ps(factor[i / w]));
    for (int32_t i = 0; i < n_keys; i++, v += v_stride) {
        __m512 x[8];

        MK_UNROLL
        for (int j = 0; j < w; j++)
            x[j] =
                j + 1 < w ? _mm512_loadu_ps(v + 16 * j) : _mm512_maskz_loadu_ps(last, v + 16 * j);
        MK_UNROLL
        for (int m = 0; m < n; m++) {
            __m512 weight = _mm512_set1_ps(p[m * MK_KEY_BLOCK + i]);

            MK_UNROLL
            for (int j = 0; j < w; j++)
                sum[m * w + j] = _mm512_fmadd_ps(weight, x[j], sum[m * w + j]);
        }
    }
    MK_UNROLL
    for (int i = 0; i < n * w; i++)
        _mm512_storeu_ps(acc + i / w * acc_stride + i % w * 16, sum[i]);
}

MK_INLINE void value_rows(const int n, const int w, float *acc, int64_t acc_stride, const float *p,
                          const float *factor, const float *v, int64_t v_stride, int32_t d,
                          int32_t n_keys)
{
    int32_t c = 0;

    for (; c + 16 * w <= d; c += 16 * w)
        value_tile(n, w, acc + c, acc_stride, p, factor, v + c, v_stride, n_keys, 0xffff);
    for (; w > 2 && c + 32 <= d; c += 32)
        value_tile(n, 2, acc + c, acc_stride, p, factor, v + c, v_stride, n_keys, 0xffff);
    for (; c < d; c += 16)
        value_tile(n, 1, acc + c, acc_stride, p, factor, v + c, v_stride, n_keys,
                   first_mask(d - c));
}

static void values_avx512(float *acc, int64_t acc_stride, const float *p, const float *factor,
                          int32_t n_q, const float *v, int64_t v_stride, int32_t d, int32_t n_keys)
{
    while (n_q > 0) {
        int32_t n = n_q >= 8 ? 8 : n_q >= 4 ? 4 : n_q >= 2 ? 2 : 1;

        if (n == 8)
            value_rows(8, 2, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        else if (n == 4)
            value_rows(4, 4, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        else if (n == 2)
            value_rows(2, 4, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        else
            value_rows(1, 4, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        acc += n * acc_stride;
        p += n * MK_KEY_BLOCK;
        factor += n;
        n_q -= n;
    }
}

static const struct attention_rows table = {
    .pack_keys = pack_keys_avx512,
    .scores = scores_avx512,
    .softmax_step = softmax_step_avx512,
    .values = values_avx512,
};

void attention_fill_avx512(struct kernels *k)
{
    k->attention_rows = &table;
}
