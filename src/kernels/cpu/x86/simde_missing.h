/* simde_missing.h: AVX-512 intrinsics that SIMDe 0.7.4 lacks, in plain C. For simd.h alone. */
#ifndef MK_KERNELS_CPU_X86_SIMDE_MISSING_H
#define MK_KERNELS_CPU_X86_SIMDE_MISSING_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Masked lanes are not touched in memory, as the real ones promise. */
static inline simde__m512 simde_mask_loadu(simde__m512 from, simde__mmask16 k, const float *x)
{
    float v[16];

    simde_mm512_storeu_ps(v, from);
    for (int i = 0; i < 16; i++)
        if (k >> i & 1)
            v[i] = x[i];
    return simde_mm512_loadu_ps(v);
}

static inline void simde_mask_storeu(float *x, simde__mmask16 k, simde__m512 value)
{
    float v[16];

    simde_mm512_storeu_ps(v, value);
    for (int i = 0; i < 16; i++)
        if (k >> i & 1)
            x[i] = v[i];
}

static inline simde__m512i simde_round_to_int(simde__m512 value)
{
    float v[16];
    int32_t n[16];

    simde_mm512_storeu_ps(v, value);
    for (int i = 0; i < 16; i++) /* NaN and what does not fit become the smallest integer */
        n[i] = v[i] >= -0x1p31f && v[i] < 0x1p31f ? (int32_t)lrintf(v[i]) : INT32_MIN;
    return simde_mm512_loadu_si512(n);
}

static inline simde__m512 simde_int_to_float(simde__m512i value)
{
    float v[16];
    int32_t n[16];

    simde_mm512_storeu_si512(n, value);
    for (int i = 0; i < 16; i++)
        v[i] = (float)n[i];
    return simde_mm512_loadu_ps(v);
}

static inline simde__m512i simde_widen_i8(simde__m128i value)
{
    int8_t b[16];
    int32_t n[16];

    memcpy(b, &value, sizeof b);
    for (int i = 0; i < 16; i++)
        n[i] = b[i];
    return simde_mm512_loadu_si512(n);
}

static inline simde__m512i simde_widen_u16(simde__m256i value)
{
    uint16_t h[16];
    int32_t n[16];

    memcpy(h, &value, sizeof h);
    for (int i = 0; i < 16; i++)
        n[i] = h[i];
    return simde_mm512_loadu_si512(n);
}

static inline simde__m128i simde_narrow_i8(simde__m512i value)
{
    int8_t b[16];
    int32_t n[16];
    simde__m128i out;

    simde_mm512_storeu_si512(n, value);
    for (int i = 0; i < 16; i++)
        b[i] = (int8_t)n[i];
    memcpy(&out, b, sizeof out);
    return out;
}

static inline simde__m256i simde_narrow_i16(simde__m512i value)
{
    int16_t h[16];
    int32_t n[16];
    simde__m256i out;

    simde_mm512_storeu_si512(n, value);
    for (int i = 0; i < 16; i++)
        h[i] = (int16_t)n[i];
    memcpy(&out, h, sizeof out);
    return out;
}

#define _mm512_mask_loadu_ps simde_mask_loadu
#define _mm512_maskz_loadu_ps(k, x) simde_mask_loadu(simde_mm512_setzero_ps(), k, x)
#define _mm512_mask_storeu_ps simde_mask_storeu
#define _mm512_cvtps_epi32 simde_round_to_int
#define _mm512_cvtepi32_ps simde_int_to_float
#define _mm512_cvtepi8_epi32 simde_widen_i8
#define _mm512_cvtepu16_epi32 simde_widen_u16
#define _mm512_cvtepi32_epi8 simde_narrow_i8
#define _mm512_cvtepi32_epi16 simde_narrow_i16

#endif
