/* vector_avx2.c: the row operations, eight lanes at a time. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/vector_rows.h"
#include "kernels/cpu/x86/lanes_avx2.h"

static void rmsnorm_avx2(float *out, const float *x, const float *w, int32_t n, float eps)
{
    __m256 lanes[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                       _mm256_setzero_ps()};
    float inverse;
    int32_t i;

    for (i = 0; i + MK_SUM_LANES <= n; i += MK_SUM_LANES)
        MK_UNROLL
    for (int j = 0; j < 4; j++) {
        __m256 v = _mm256_loadu_ps(x + i + 8 * j);

        lanes[j] = _mm256_fmadd_ps(v, v, lanes[j]);
    }
    for (int j = 0; i < n; j++, i += 8) {
        __m256 v = load_first(x + i, n - i);

        lanes[j] = _mm256_fmadd_ps(v, v, lanes[j]);
    }
    inverse = 1.0f / sqrtf(sum32(lanes) / (float)n + eps);
    for (i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(load_first(x + i, n - i), _mm256_set1_ps(inverse));

        store_first(out + i, w ? _mm256_mul_ps(v, load_first(w + i, n - i)) : v, n - i);
    }
}

/* Pairs (i, i + half). */
static void rope_half(float *x, const float *table, int32_t half)
{
    float *y = x + half;

    for (int32_t i = 0; i < half; i += 8) {
        /* cos sin cos sin .. -> cosines, sines */
        __m256 t0 = load_first(table + 2 * i, 2 * (half - i));
        __m256 t1 =
            half - i > 4 ? load_first(table + 2 * i + 8, 2 * (half - i) - 8) : _mm256_setzero_ps();
        __m256d cs = _mm256_castps_pd(_mm256_shuffle_ps(t0, t1, 0x88));
        __m256d sn = _mm256_castps_pd(_mm256_shuffle_ps(t0, t1, 0xdd));
        __m256 cosine = _mm256_castpd_ps(_mm256_permute4x64_pd(cs, 0xd8));
        __m256 sine = _mm256_castpd_ps(_mm256_permute4x64_pd(sn, 0xd8));
        __m256 a = load_first(x + i, half - i), b = load_first(y + i, half - i);

        store_first(x + i, _mm256_fmsub_ps(a, cosine, _mm256_mul_ps(b, sine)), half - i);
        store_first(y + i, _mm256_fmadd_ps(b, cosine, _mm256_mul_ps(a, sine)), half - i);
    }
}

/* Pairs (2i, 2i + 1). */
static void rope_interleaved(float *x, const float *table, int32_t d)
{
    for (int32_t i = 0; i < d; i += 8) {
        __m256 t = load_first(table + i, d - i), v = load_first(x + i, d - i);
        __m256 swapped = _mm256_permute_ps(v, 0xb1);
        __m256 other = _mm256_mul_ps(swapped, _mm256_movehdup_ps(t));

        store_first(x + i, _mm256_fmaddsub_ps(v, _mm256_moveldup_ps(t), other), d - i);
    }
}

static void rope_avx2(float *x, const float *table, int32_t d, enum rope_pairs pairs)
{
    if (pairs == ROPE_HALF)
        rope_half(x, table, d / 2);
    else
        rope_interleaved(x, table, d);
}

static void silu_mul_avx2(float *out, const float *gate, const float *up, int32_t n)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);

    for (int32_t i = 0; i < n; i += 8) {
        __m256 g = load_first(gate + i, n - i), u = load_first(up + i, n - i);
        __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, exp8(_mm256_xor_ps(g, sign))));

        store_first(out + i, _mm256_mul_ps(silu, u), n - i);
    }
}

static void add_scaled_avx2(float *out, const float *x, float a, int32_t n)
{
    for (int32_t i = 0; i < n; i += 8)
        store_first(out + i,
                    _mm256_fmadd_ps(_mm256_set1_ps(a), load_first(x + i, n - i),
                                    load_first(out + i, n - i)),
                    n - i);
}

static float max_of(const float *x, int32_t n)
{
    __m256 max = _mm256_set1_ps(-INFINITY);
    int32_t i;

    for (i = 0; i + 8 <= n; i += 8)
        max = _mm256_max_ps(max, _mm256_loadu_ps(x + i));
    if (i < n) {
        __m256 lanes = _mm256_castsi256_ps(first_lanes(n - i));

        max = _mm256_max_ps(max, _mm256_blendv_ps(max, load_first(x + i, n - i), lanes));
    }
    return max8(max);
}

/* Sum of e^(x - max); the terms go to out unless that is NULL. */
MK_INLINE float exp_sum(float *out, const float *x, float max, int32_t n)
{
    __m256 lanes[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                       _mm256_setzero_ps()};
    int32_t i;

    for (i = 0; i + MK_SUM_LANES <= n; i += MK_SUM_LANES)
        MK_UNROLL
    for (int j = 0; j < 4; j++) {
        __m256 v = _mm256_loadu_ps(x + i + 8 * j);

        v = exp8(_mm256_sub_ps(v, _mm256_set1_ps(max)));
        lanes[j] = _mm256_add_ps(lanes[j], v);
        if (out)
            _mm256_storeu_ps(out + i + 8 * j, v);
    }
    for (int j = 0; i < n; j++, i += 8) {
        int32_t left = n - i < 8 ? n - i : 8;
        __m256 v = exp8(_mm256_sub_ps(load_first(x + i, left), _mm256_set1_ps(max)));

        v = _mm256_and_ps(v, _mm256_castsi256_ps(first_lanes(left)));
        lanes[j] = _mm256_add_ps(lanes[j], v);
        if (out)
            store_first(out + i, v, left);
    }
    return sum32(lanes);
}

static void softmax_avx2(float *x, int32_t n)
{
    float inverse = 1.0f / exp_sum(x, x, max_of(x, n), n);

    for (int32_t i = 0; i < n; i += 8)
        store_first(x + i, _mm256_mul_ps(load_first(x + i, n - i), _mm256_set1_ps(inverse)), n - i);
}

static float log_sum_exp_avx2(const float *x, int32_t n)
{
    float max = max_of(x, n);

    return max + logf(exp_sum(NULL, x, max, n));
}

/* ---- Cached rows ----------------------------------------------------------------------------- */

/* f32_to_bf16() of each lane, in the low halves. */
static __m256i bf16_bits(__m256 x)
{
    __m256i u = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i even = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i nan = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));

    return _mm256_srli_epi32(_mm256_blendv_epi8(even, nan, is_nan), 16);
}

static void store_bf16(uint16_t *out, const float *x, int32_t n)
{
    int32_t i;

    for (i = 0; i + 16 <= n; i += 16) {
        __m256i low = bf16_bits(_mm256_loadu_ps(x + i));
        __m256i high = bf16_bits(_mm256_loadu_ps(x + i + 8));
        __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);

        _mm256_storeu_si256((__m256i *)(void *)(out + i), both);
    }
    for (; i < n; i++)
        out[i] = f32_to_bf16(x[i]);
    if (n % 2)
        out[n] = 0;
}

/* One whole block: 32 values, one scale. */
static void store_i8_block(int8_t *q, float *scale, const float *x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 v[4], largest = _mm256_setzero_ps(), inverse;
    __m256i low, high;
    float max;

    MK_UNROLL
    for (int j = 0; j < 4; j++) {
        v[j] = _mm256_loadu_ps(x + 8 * j);
        largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, v[j]));
    }
    max = max8(largest);
    if (max < 0x1p-100f)
        max = 0.0f;
    *scale = max / 127.0f;
    inverse = _mm256_set1_ps(max > 0.0f ? 127.0f / max : 0.0f);
    low = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v[0], inverse)),
                             _mm256_cvtps_epi32(_mm256_mul_ps(v[1], inverse)));
    high = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v[2], inverse)),
                              _mm256_cvtps_epi32(_mm256_mul_ps(v[3], inverse)));
    /* Packing works in halves: put the groups of four back in order. */
    low = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)q, low);
}

static void store_i8(unsigned char *row, const float *x, int32_t row_dim)
{
    float *scales = (float *)(void *)(row + i8_scales_at(row_dim)), last[MK_I8_BLOCK] = {0};

    for (int32_t b = 0; b < i8_blocks(row_dim); b++) {
        int32_t first = b * MK_I8_BLOCK, left = row_dim - first;
        const float *from = x + first;

        if (left < MK_I8_BLOCK)
            from = memcpy(last, from, (size_t)left * sizeof *last);
        store_i8_block((int8_t *)row + first, &scales[b], from);
    }
}

static void store_avx2(enum dtype type, void *row, const float *x, int32_t row_dim)
{
    if (type == MK_F32)
        memcpy(row, x, (size_t)row_dim * sizeof *x);
    else if (type == MK_BF16)
        store_bf16(row, x, row_dim);
    else
        store_i8(row, x, row_dim);
}

static void load_bf16(float *out, const uint16_t *x, int32_t n)
{
    int32_t i;

    for (i = 0; i + 8 <= n; i += 8) {
        __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(x + i));

        _mm256_storeu_si256((__m256i *)(void *)(out + i),
                            _mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
    for (; i < n; i++)
        out[i] = bf16_to_f32(x[i]);
}

static void load_i8(float *out, const unsigned char *row, int32_t row_dim, int32_t first, int32_t n)
{
    const int8_t *q = (const int8_t *)row + first;
    const float *scales = (const float *)(const void *)(row + i8_scales_at(row_dim));
    int32_t i = 0;

    while (i < n) { /* once for each scale */
        float scale = scales[(first + i) / MK_I8_BLOCK];
        int32_t end = i + MK_I8_BLOCK - (first + i) % MK_I8_BLOCK;

        end = end < n ? end : n;
        for (; i + 8 <= end; i += 8) {
            __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(q + i));
            __m256 v = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));

            _mm256_storeu_ps(out + i, _mm256_mul_ps(v, _mm256_set1_ps(scale)));
        }
        for (; i < end; i++)
            out[i] = (float)q[i] * scale;
    }
}

static void load_avx2(enum dtype type, float *out, const void *row, int32_t row_dim, int32_t first,
                      int32_t n)
{
    if (type == MK_F32)
        memcpy(out, (const float *)row + first, (size_t)n * sizeof *out);
    else if (type == MK_BF16)
        load_bf16(out, (const uint16_t *)row + first, n);
    else
        load_i8(out, row, row_dim, first, n);
}

static const struct vector_rows table = {
    .rmsnorm = rmsnorm_avx2,
    .rope = rope_avx2,
    .silu_mul = silu_mul_avx2,
    .add_scaled = add_scaled_avx2,
    .softmax = softmax_avx2,
    .log_sum_exp = log_sum_exp_avx2,
    .store = store_avx2,
    .load = load_avx2,
};

void vector_fill_avx2(struct kernels *k)
{
    k->vector_rows = &table;
}
