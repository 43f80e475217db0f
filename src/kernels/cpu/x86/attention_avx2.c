/* attention_avx2.c: one block of attention in tiles of registers.
 *
 * A tile of n queries x w vectors of eight lanes keeps n * w sums in registers; each step
 * broadcasts one number a query and loads w vectors that all its queries use. Twelve sums hide the
 * latency of the FMA and leave room for the operands: 6 x 2 for many queries, 3 x 4 and 1 x 8 for
 * few. */
#include <math.h>

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/vector_rows.h"
#include "kernels/cpu/x86/lanes_avx2.h"

/* Four values of key i and of key i + 4, side by side. */
static inline __m256 load_two(const float *keys, int64_t stride, int32_t i, int32_t n_keys)
{
    __m128 a = i < n_keys ? _mm_loadu_ps(keys + i * stride) : _mm_setzero_ps();
    __m128 b = i + 4 < n_keys ? _mm_loadu_ps(keys + (i + 4) * stride) : _mm_setzero_ps();

    return _mm256_insertf128_ps(_mm256_castps128_ps256(a), b, 1);
}

/* Eight keys, four channels: panel[c][0..7] = keys[0..7][c]. */
static inline void transpose_8x4(float *panel, const float *keys, int64_t stride, int32_t n_keys)
{
    __m256 a = load_two(keys, stride, 0, n_keys), b = load_two(keys, stride, 1, n_keys);
    __m256 c = load_two(keys, stride, 2, n_keys), d = load_two(keys, stride, 3, n_keys);
    __m256 ab_low = _mm256_unpacklo_ps(a, b), ab_high = _mm256_unpackhi_ps(a, b);
    __m256 cd_low = _mm256_unpacklo_ps(c, d), cd_high = _mm256_unpackhi_ps(c, d);

    _mm256_store_ps(panel, _mm256_shuffle_ps(ab_low, cd_low, 0x44));
    _mm256_store_ps(panel + MK_KEY_PANEL, _mm256_shuffle_ps(ab_low, cd_low, 0xee));
    _mm256_store_ps(panel + 2 * MK_KEY_PANEL, _mm256_shuffle_ps(ab_high, cd_high, 0x44));
    _mm256_store_ps(panel + 3 * MK_KEY_PANEL, _mm256_shuffle_ps(ab_high, cd_high, 0xee));
}

static void pack_keys_avx2(float *panels, const float *keys, int64_t stride, int32_t n_keys,
                           int32_t d)
{
    for (int32_t first = 0; first < n_keys; first += 8) {
        float *panel = panels + (int64_t)(first / MK_KEY_PANEL) * d * MK_KEY_PANEL;
        const float *from = keys + first * stride;
        int32_t n = n_keys - first, c;

        panel += first % MK_KEY_PANEL;
        if (n >= 8) /* the usual case, without questions in its loop */
            for (c = 0; c + 4 <= d; c += 4)
                transpose_8x4(panel + c * MK_KEY_PANEL, from + c, stride, 8);
        else
            for (c = 0; c + 4 <= d; c += 4)
                transpose_8x4(panel + c * MK_KEY_PANEL, from + c, stride, n);
        for (; c < d; c++)
            for (int32_t i = 0; i < 8; i++)
                panel[c * MK_KEY_PANEL + i] = i < n ? from[i * stride + c] : 0.0f;
        if (n <= 8 && first % MK_KEY_PANEL == 0) /* the panel's other half has no keys */
            for (c = 0; c < d; c++)
                _mm256_store_ps(panel + c * MK_KEY_PANEL + 8, _mm256_setzero_ps());
    }
}

/* n queries by w panels of sixteen keys. */
MK_INLINE void score_tile(const int n, const int w, float *scores, const float *q, int64_t q_stride,
                          const float *panels, int32_t d)
{
    __m256 sum[12];

    MK_UNROLL
    for (int i = 0; i < n * w * 2; i++)
        sum[i] = _mm256_setzero_ps();
    for (int32_t c = 0; c < d; c++) {
        __m256 k[8];

        MK_UNROLL
        for (int j = 0; j < 2 * w; j++) {
            k[j] = _mm256_load_ps(panels + ((int64_t)(j / 2) * d + c) * MK_KEY_PANEL + j % 2 * 8);
        }
        MK_UNROLL
        for (int m = 0; m < n; m++) {
            __m256 x = _mm256_broadcast_ss(q + m * q_stride + c);

            MK_UNROLL
            for (int j = 0; j < 2 * w; j++) {
                sum[m * 2 * w + j] = _mm256_fmadd_ps(x, k[j], sum[m * 2 * w + j]);
            }
        }
    }
    MK_UNROLL
    for (int m = 0; m < n; m++) {
        MK_UNROLL
        for (int j = 0; j < 2 * w; j++) {
            _mm256_store_ps(scores + m * MK_KEY_BLOCK + j * 8, sum[m * 2 * w + j]);
        }
    }
}

/* As many panels at a time as n queries leave registers for. */
MK_INLINE void score_rows(const int n, const int w, float *scores, const float *q, int64_t q_stride,
                          const float *panels, int32_t d, int32_t first, int32_t n_panels)
{
    int32_t p = first;

    for (; p + w <= first + n_panels; p += w)
        score_tile(n, w, scores + p * MK_KEY_PANEL, q, q_stride,
                   panels + (int64_t)p * d * MK_KEY_PANEL, d);
    for (; p < first + n_panels; p++)
        score_tile(n, 1, scores + p * MK_KEY_PANEL, q, q_stride,
                   panels + (int64_t)p * d * MK_KEY_PANEL, d);
}

static void scores_avx2(float *scores, const float *q, int64_t q_stride, int32_t n_q,
                        const float *panels, int32_t d, int32_t first, int32_t n_panels)
{
    int32_t m = 0;

    for (; m + 6 <= n_q; m += 6)
        score_rows(6, 1, scores + m * MK_KEY_BLOCK, q + m * q_stride, q_stride, panels, d, first,
                   n_panels);
    scores += m * MK_KEY_BLOCK;
    q += m * q_stride;
    switch (n_q - m) {
    case 5:
        score_rows(5, 1, scores, q, q_stride, panels, d, first, n_panels);
        break;
    case 4:
        score_rows(4, 1, scores, q, q_stride, panels, d, first, n_panels);
        break;
    case 3:
        score_rows(3, 2, scores, q, q_stride, panels, d, first, n_panels);
        break;
    case 2:
        score_rows(2, 2, scores, q, q_stride, panels, d, first, n_panels);
        break;
    case 1:
        score_rows(1, 4, scores, q, q_stride, panels, d, first, n_panels);
        break;
    default:
        break;
    }
}

/* Scales the scores and hides the keys that the query may not see. */
static inline __m256 visible_scores(const float *scores, __m256 scale, int j, int32_t lo,
                                    int32_t hi)
{
    __m256i key =
        _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(8 * j));
    __m256i hidden = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(lo), key),
                                     _mm256_cmpgt_epi32(key, _mm256_set1_epi32(hi - 1)));
    __m256 s = _mm256_mul_ps(_mm256_load_ps(scores + 8 * j), scale);

    return _mm256_blendv_ps(s, _mm256_set1_ps(-INFINITY), _mm256_castsi256_ps(hidden));
}

static float softmax_step_avx2(float *scores, float scale, int32_t lo, int32_t hi, float *max,
                               float *sum)
{
    __m256 s[8], lanes[4], largest = _mm256_set1_ps(*max), all = _mm256_set1_ps(scale);
    float old = *max, factor;

    MK_UNROLL
    for (int j = 0; j < 8; j++) {
        s[j] = visible_scores(scores, all, j, lo, hi);
        largest = _mm256_max_ps(largest, s[j]);
    }
    *max = max8(largest);
    largest = _mm256_set1_ps(*max);
    MK_UNROLL
    for (int j = 0; j < 8; j++) {
        s[j] = exp8(_mm256_sub_ps(s[j], largest));
        _mm256_store_ps(scores + 8 * j, s[j]);
    }
    MK_UNROLL
    for (int j = 0; j < 4; j++)
        lanes[j] = _mm256_add_ps(s[j], s[j + 4]);
    factor = old == *max ? 1.0f : exp_poly(old - *max);
    *sum = fmaf(*sum, factor, sum32(lanes));
    return factor;
}

/* n queries by w vectors of channels. partial: w is 1 and `left` channels are there. */
MK_INLINE void value_tile(const int n, const int w, const int partial, float *acc,
                          int64_t acc_stride, const float *p, const float *factor, const float *v,
                          int64_t v_stride, int32_t n_keys, int32_t left)
{
    __m256i mask = first_lanes(partial ? left : 8);
    __m256 sum[12];

    /* acc rows are padded to whole vectors; the rows of v are not. */
    MK_UNROLL
    for (int i = 0; i < n * w; i++)
        sum[i] = _mm256_mul_ps(_mm256_loadu_ps(acc + i / w * acc_stride + i % w * 8),
                               _mm256_broadcast_ss(factor + i / w));
    for (int32_t i = 0; i < n_keys; i++, v += v_stride) {
        __m256 x[8];

        MK_UNROLL
        for (int j = 0; j < w; j++)
            x[j] = partial ? _mm256_maskload_ps(v, mask) : _mm256_loadu_ps(v + 8 * j);
        MK_UNROLL
        for (int m = 0; m < n; m++) {
            __m256 weight = _mm256_broadcast_ss(p + m * MK_KEY_BLOCK + i);

            MK_UNROLL
            for (int j = 0; j < w; j++)
                sum[m * w + j] = _mm256_fmadd_ps(weight, x[j], sum[m * w + j]);
        }
    }
    MK_UNROLL
    for (int i = 0; i < n * w; i++)
        _mm256_storeu_ps(acc + i / w * acc_stride + i % w * 8, sum[i]);
}

MK_INLINE void value_rows(const int n, const int w, float *acc, int64_t acc_stride, const float *p,
                          const float *factor, const float *v, int64_t v_stride, int32_t d,
                          int32_t n_keys)
{
    int32_t c = 0;

    for (; c + 8 * w <= d; c += 8 * w)
        value_tile(n, w, 0, acc + c, acc_stride, p, factor, v + c, v_stride, n_keys, 8);
    for (; c + 8 <= d; c += 8)
        value_tile(n, 1, 0, acc + c, acc_stride, p, factor, v + c, v_stride, n_keys, 8);
    if (c < d)
        value_tile(n, 1, 1, acc + c, acc_stride, p, factor, v + c, v_stride, n_keys, d - c);
}

static void values_avx2(float *acc, int64_t acc_stride, const float *p, const float *factor,
                        int32_t n_q, const float *v, int64_t v_stride, int32_t d, int32_t n_keys)
{
    int32_t m = 0;

    for (; m + 6 <= n_q; m += 6)
        value_rows(6, 2, acc + m * acc_stride, acc_stride, p + m * MK_KEY_BLOCK, factor + m, v,
                   v_stride, d, n_keys);
    acc += m * acc_stride;
    p += m * MK_KEY_BLOCK;
    factor += m;
    switch (n_q - m) {
    case 5:
        value_rows(5, 2, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        break;
    case 4:
        value_rows(4, 2, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        break;
    case 3:
        value_rows(3, 4, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        break;
    case 2:
        value_rows(2, 4, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        break;
    case 1:
        value_rows(1, 8, acc, acc_stride, p, factor, v, v_stride, d, n_keys);
        break;
    default:
        break;
    }
}

static const struct attention_rows table = {
    .pack_keys = pack_keys_avx2,
    .scores = scores_avx2,
    .softmax_step = softmax_step_avx2,
    .values = values_avx2,
};

void attention_fill_avx2(struct kernels *k)
{
    k->attention_rows = &table;
}
