/* simde_matmul.h: what the matrix products need of SIMDe 0.7.4 and do not find there. For
 * matmul_x86.h alone, and only where MK_SIMDE is defined (simd.h). */
#ifndef MK_KERNELS_CPU_X86_SIMDE_MATMUL_H
#define MK_KERNELS_CPU_X86_SIMDE_MATMUL_H

#include <string.h>

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

static inline simde__m256bh simde_round_bf16(simde__m512 value)
{
    uint16_t h[16];
    float v[16];
    simde__m256bh out;

    simde_mm512_storeu_ps(v, value);
    for (int i = 0; i < 16; i++)
        h[i] = f32_to_bf16(v[i]);
    memcpy(&out, h, sizeof out);
    return out;
}

#define _mm512_cvtph_ps simde_widen_f16
#define _mm512_cvtneps_pbh simde_round_bf16

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
