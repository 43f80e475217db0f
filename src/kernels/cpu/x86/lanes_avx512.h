/* lanes_avx512.h: what the AVX-512 files share; the twin of lanes_avx2.h. */
#ifndef MK_KERNELS_CPU_X86_LANES_AVX512_H
#define MK_KERNELS_CPU_X86_LANES_AVX512_H

#include "kernels/cpu/x86/lanes_avx2.h"

/* The first n lanes; all of them where n > 16. */
static inline __mmask16 first_mask(int32_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1u);
}

/* exp_poly() of each lane. */
static inline __m512 exp16(__m512 x)
{
    __m512 round = _mm512_set1_ps(EXP_ROUND);
    __m512 shifted = _mm512_fmadd_ps(x, _mm512_set1_ps(EXP_LOG2E), round);
    __m512 n = _mm512_sub_ps(shifted, round);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_HIGH), x);
    __m512 p = _mm512_set1_ps(EXP_C7), y;
    __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
    __mmask16 high = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXP_HIGH), _CMP_GT_OQ);
    __mmask16 low = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXP_LOW), _CMP_LT_OQ);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);

    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_LOW), r);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_C6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_C2));
    y = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
    y = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(y), exponent));
    y = _mm512_mask_mov_ps(y, high, _mm512_set1_ps(INFINITY));
    y = _mm512_mask_mov_ps(y, low, _mm512_setzero_ps());
    return _mm512_mask_mov_ps(y, nan, x);
}

static inline __m256 upper_half(__m512 v)
{
    return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
}

static inline float max16(__m512 v)
{
    return max8(_mm256_max_ps(_mm512_castps512_ps256(v), upper_half(v)));
}

/* The MK_SUM_LANES lanes in the order of vector_rows.h. */
static inline float sum32_of_two(__m512 a, __m512 b)
{
    __m512 v = _mm512_add_ps(a, b);
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), upper_half(v));
    __m128 m = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));

    m = _mm_add_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_add_ss(m, _mm_movehdup_ps(m)));
}

#endif
