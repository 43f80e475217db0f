/* vector_avx512.c: the row operations, sixteen lanes at a time; masks take the ends of rows. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/x86/lanes_avx512.h"
#include "kernels/cpu/vector_rows.h"

static void rmsnorm_avx512(float *out, const float *x, const float *w, int32_t n, float eps)
{
    __m512 lanes[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, inverse;

    for (int32_t i = 0; i < n; i += MK_SUM_LANES) {
        __m512 a = _mm512_maskz_loadu_ps(first_mask(n - i), x + i);

        lanes[0] = _mm512_fmadd_ps(a, a, lanes[0]);
        if (i + 16 < n) {
            __m512 b = _mm512_maskz_loadu_ps(first_mask(n - i - 16), x + i + 16);

            lanes[1] = _mm512_fmadd_ps(b, b, lanes[1]);
        }
    }
    inverse = _mm512_set1_ps(1.0f / sqrtf(sum32_of_two(lanes[0], lanes[1]) / (float)n + eps));
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 m = first_mask(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), inverse);

        if (w)
            v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i));
        _mm512_mask_storeu_ps(out + i, m, v);
    }
}

/* Pairs (i, i + half). */
static void rope_half(float *x, const float *table, int32_t half)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    float *y = x + half;

    for (int32_t i = 0; i < half; i += 16) {
        int32_t left = half - i;
        __mmask16 m = first_mask(left);
        __m512 t0 = _mm512_maskz_loadu_ps(first_mask(2 * left), table + 2 * i);
        __m512 t1 = left > 8 ? _mm512_maskz_loadu_ps(first_mask(2 * left - 16), table + 2 * i + 16)
                             : _mm512_setzero_ps();
        __m512 cosine = _mm512_permutex2var_ps(t0, even, t1);
        __m512 sine = _mm512_permutex2var_ps(t0, odd, t1);
        __m512 a = _mm512_maskz_loadu_ps(m, x + i), b = _mm512_maskz_loadu_ps(m, y + i);
        __m512 low = _mm512_fmsub_ps(a, cosine, _mm512_mul_ps(b, sine));

        _mm512_mask_storeu_ps(y + i, m, _mm512_fmadd_ps(b, cosine, _mm512_mul_ps(a, sine)));
        _mm512_mask_storeu_ps(x + i, m, low);
    }
}

/* Pairs (2i, 2i + 1). */
static void rope_interleaved(float *x, const float *table, int32_t d)
{
    const __m512i even = _mm512_setr_epi32(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const __m512i swap = _mm512_setr_epi32(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    const __m512i sign = _mm512_set1_epi64(0x80000000); /* of the first of each pair */

    for (int32_t i = 0; i < d; i += 16) {
        __mmask16 m = first_mask(d - i);
        __m512 t = _mm512_maskz_loadu_ps(m, table + i), v = _mm512_maskz_loadu_ps(m, x + i);
        __m512 other = _mm512_mul_ps(_mm512_permutexvar_ps(swap, v), _mm512_permutexvar_ps(odd, t));

        other = _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(other), sign));
        v = _mm512_fmadd_ps(v, _mm512_permutexvar_ps(even, t), other);
        _mm512_mask_storeu_ps(x + i, m, v);
    }
}

static void rope_avx512(float *x, const float *table, int32_t d, enum rope_pairs pairs)
{
    if (pairs == ROPE_HALF)
        rope_half(x, table, d / 2);
    else
        rope_interleaved(x, table, d);
}

static void silu_mul_avx512(float *out, const float *gate, const float *up, int32_t n)
{
    const __m512 one = _mm512_set1_ps(1.0f), zero = _mm512_setzero_ps();

    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 m = first_mask(n - i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i), u = _mm512_maskz_loadu_ps(m, up + i);
        __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, exp16(_mm512_sub_ps(zero, g))));

        _mm512_mask_storeu_ps(out + i, m, _mm512_mul_ps(silu, u));
    }
}

static void add_scaled_avx512(float *out, const float *x, float a, int32_t n)
{
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 m = first_mask(n - i);
        __m512 sum = _mm512_maskz_loadu_ps(m, out + i);

        sum = _mm512_fmadd_ps(_mm512_set1_ps(a), _mm512_maskz_loadu_ps(m, x + i), sum);
        _mm512_mask_storeu_ps(out + i, m, sum);
    }
}

static float max_of(const float *x, int32_t n)
{
    __m512 max = _mm512_set1_ps(-INFINITY);

    for (int32_t i = 0; i < n; i += 16)
        max = _mm512_max_ps(max, _mm512_mask_loadu_ps(max, first_mask(n - i), x + i));
    return max16(max);
}

/* Sum of e^(x - max); the terms go to out unless that is NULL. */
MK_INLINE float exp_sum(float *out, const float *x, float max, int32_t n)
{
    __m512 lanes[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, all = _mm512_set1_ps(max);

    for (int32_t i = 0; i < n; i += MK_SUM_LANES)
        for (int j = 0; j < 2 && i + 16 * j < n; j++) {
            __mmask16 m = first_mask(n - i - 16 * j);
            __m512 v = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i + 16 * j), all);

            v = _mm512_maskz_mov_ps(m, exp16(v));
            lanes[j] = _mm512_add_ps(lanes[j], v);
            if (out)
                _mm512_mask_storeu_ps(out + i + 16 * j, m, v);
        }
    return sum32_of_two(lanes[0], lanes[1]);
}

static void softmax_avx512(float *x, int32_t n)
{
    __m512 inverse = _mm512_set1_ps(1.0f / exp_sum(x, x, max_of(x, n), n));

    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 m = first_mask(n - i);

        _mm512_mask_storeu_ps(x + i, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), inverse));
    }
}

static float log_sum_exp_avx512(const float *x, int32_t n)
{
    float max = max_of(x, n);

    return max + logf(exp_sum(NULL, x, max, n));
}

/* ---- Cached rows ----------------------------------------------------------------------------- */

/* f32_to_bf16() of sixteen values. The instruction VCVTNEPS2BF16 would flush subnormal numbers. */
static __m256i to_bf16(__m512 x)
{
    __m512i u = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i bits = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));

    bits = _mm512_mask_mov_epi32(bits, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

static void store_bf16(uint16_t *out, const float *x, int32_t n)
{
    int32_t i;

    for (i = 0; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(void *)(out + i), to_bf16(_mm512_loadu_ps(x + i)));
    for (; i < n; i++)
        out[i] = f32_to_bf16(x[i]);
    if (n % 2)
        out[n] = 0;
}

/* One block: n <= MK_I8_BLOCK values and their scale; the remaining bytes become zero. */
static void store_i8_block(int8_t *q, float *scale, const float *x, int32_t n)
{
    __m512 a = _mm512_maskz_loadu_ps(first_mask(n), x);
    __m512 b = n > 16 ? _mm512_maskz_loadu_ps(first_mask(n - 16), x + 16) : _mm512_setzero_ps();
    float max = max16(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    __m512 inverse;

    if (max < 0x1p-100f)
        max = 0.0f;
    *scale = max / 127.0f;
    inverse = _mm512_set1_ps(max > 0.0f ? 127.0f / max : 0.0f);
    _mm_storeu_si128((__m128i *)(void *)q,
                     _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(a, inverse))));
    _mm_storeu_si128((__m128i *)(void *)(q + 16),
                     _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(b, inverse))));
}

static void store_avx512(enum dtype type, void *row, const float *x, int32_t row_dim)
{
    if (type == MK_F32) {
        memcpy(row, x, (size_t)row_dim * sizeof *x);
    } else if (type == MK_BF16) {
        store_bf16(row, x, row_dim);
    } else {
        unsigned char *bytes = row;
        float *scales = (float *)(void *)(bytes + i8_scales_at(row_dim));

        for (int32_t b = 0; b < i8_blocks(row_dim); b++) {
            int32_t first = b * MK_I8_BLOCK, left = row_dim - first;

            store_i8_block((int8_t *)bytes + first, &scales[b], x + first,
                           left < MK_I8_BLOCK ? left : MK_I8_BLOCK);
        }
    }
}

static void load_bf16(float *out, const uint16_t *x, int32_t n)
{
    int32_t i;

    for (i = 0; i + 16 <= n; i += 16) {
        __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));

        _mm512_storeu_ps(out + i,
                         _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16)));
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
        for (; i + 16 <= end; i += 16) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(q + i));
            __m512 v = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));

            _mm512_storeu_ps(out + i, _mm512_mul_ps(v, _mm512_set1_ps(scale)));
        }
        for (; i < end; i++)
            out[i] = (float)q[i] * scale;
    }
}

static void load_avx512(enum dtype type, float *out, const void *row, int32_t row_dim,
                        int32_t first, int32_t n)
{
    if (type == MK_F32)
        memcpy(out, (const float *)row + first, (size_t)n * sizeof *out);
    else if (type == MK_BF16)
        load_bf16(out, (const uint16_t *)row + first, n);
    else
        load_i8(out, row, row_dim, first, n);
}

static const struct vector_rows table = {
    .rmsnorm = rmsnorm_avx512,
    .rope = rope_avx512,
    .silu_mul = silu_mul_avx512,
    .add_scaled = add_scaled_avx512,
    .softmax = softmax_avx512,
    .log_sum_exp = log_sum_exp_avx512,
    .store = store_avx512,
    .load = load_avx512,
};

void vector_fill_avx512(struct kernels *k)
{
    k->vector_rows = &table;
}
