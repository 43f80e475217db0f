/* simde_matmul.h: what the matrix products need of SIMDe 0.7.4 and do not find there. For
 * matmul_x86.h alone, and only where MK_SIMDE is defined (simd.h). */
#ifndef MK_KERNELS_CPU_X86_SIMDE_MATMUL_H
#define MK_KERNELS_CPU_X86_SIMDE_MATMUL_H

#include <string.h>

#include "kernels/cpu/bf16_rows.h"
#include "tensor/dtype.h"

static inline simde__m512 simde_widen_f16(simde__m256i value)
{
    uint16_t h[16];
    float v[16];

    memcpy(h, &value, sizeof h);
    for (int i = 0; i < 16; i++)
        v[i] = f16_to_f32(h[i]);
    return simde_mm512_loadu_ps(v);
}

/* What is subnormal counts as zero, as in the products of bf16_rows.h. */
static inline float simde_flush(float x)
{
    return x > -0x1p-126f && x < 0x1p-126f ? x * 0.0f : x;
}

static inline simde__m256bh simde_round_bf16(simde__m512 value)
{
    uint16_t h[16];
    float v[16];
    simde__m256bh out;

    simde_mm512_storeu_ps(v, value);
    for (int i = 0; i < 16; i++)
        h[i] = f32_to_bf16(simde_flush(v[i]));
    memcpy(&out, h, sizeof out);
    return out;
}

static inline simde__m512bh simde_round_two(simde__m512 high, simde__m512 low)
{
    simde__m256bh h[2] = {simde_round_bf16(low), simde_round_bf16(high)};
    simde__m512bh out;

    memcpy(&out, h, sizeof out);
    return out;
}

/* The upper half of a lane is added first. SIMDe's own rounds elsewhere. */
static inline simde__m512 simde_dot_bf16(simde__m512 sum, simde__m512bh a, simde__m512bh b)
{
    uint16_t x[32], y[32];
    float v[16];

    simde_mm512_storeu_ps(v, sum);
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < 32; i++) {
        int at = i ^ 1;

        v[i / 2] = bf16_fma(simde_flush(bf16_to_f32(x[at])), simde_flush(bf16_to_f32(y[at])),
                            simde_flush(v[i / 2]));
    }
    return simde_mm512_loadu_ps(v);
}

#define _mm512_cvtph_ps simde_widen_f16
#define _mm512_cvtneps_pbh simde_round_bf16
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps simde_dot_bf16
#undef _mm512_cvtne2ps_pbh
#define _mm512_cvtne2ps_pbh simde_round_two

/* The functions that the tables list, beside the real ones. */
#define matmul_f32_avx512 matmul_f32_avx512_simde
#define matmul_f16_avx512 matmul_f16_avx512_simde
#define matmul_bf16_avx512 matmul_bf16_avx512_simde
#define matmul_fp8_avx512 matmul_fp8_avx512_simde
#define matmul_q8_0_vnni matmul_q8_0_vnni_simde
#define matmul_q4_0_vnni matmul_q4_0_vnni_simde
#define matmul_q4_1_vnni matmul_q4_1_vnni_simde
#define matmul_q5_0_vnni matmul_q5_0_vnni_simde
#define matmul_q5_1_vnni matmul_q5_1_vnni_simde
#define matmul_q2_k_vnni matmul_q2_k_vnni_simde
#define matmul_q3_k_vnni matmul_q3_k_vnni_simde
#define matmul_q4_k_vnni matmul_q4_k_vnni_simde
#define matmul_q5_k_vnni matmul_q5_k_vnni_simde
#define matmul_q6_k_vnni matmul_q6_k_vnni_simde
#define matmul_iq4_nl_vnni matmul_iq4_nl_vnni_simde
#define matmul_iq4_xs_vnni matmul_iq4_xs_vnni_simde

#endif
