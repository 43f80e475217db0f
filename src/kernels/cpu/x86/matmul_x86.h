/* matmul_x86.h: inner functions that one x86 file defines and another's table lists. */
#ifndef MK_KERNELS_CPU_X86_MATMUL_X86_H
#define MK_KERNELS_CPU_X86_MATMUL_X86_H

#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/x86/simd.h"
#ifdef MK_SIMDE
#include "kernels/cpu/x86/simde_matmul.h" /* renames what follows */
#endif

/* matmul_blocks_avx2.c */
void matmul_quantise_avx2(struct x_block *out, int64_t block_stride, const float *x,
                          int32_t n_blocks);
panel_blocks_fn matmul_q8_0_avx2, matmul_q4_0_avx2, matmul_q4_1_avx2, matmul_q5_0_avx2,
    matmul_q5_1_avx2, matmul_q2_k_avx2, matmul_q3_k_avx2, matmul_q4_k_avx2, matmul_q5_k_avx2,
    matmul_q6_k_avx2, matmul_iq4_nl_avx2, matmul_iq4_xs_avx2;
/* matmul_blocks_vnni.c */
panel_blocks_fn matmul_q8_0_vnni, matmul_q4_0_vnni, matmul_q4_1_vnni, matmul_q5_0_vnni,
    matmul_q5_1_vnni, matmul_q2_k_vnni, matmul_q3_k_vnni, matmul_q4_k_vnni, matmul_q5_k_vnni,
    matmul_q6_k_vnni, matmul_iq4_nl_vnni, matmul_iq4_xs_vnni;
/* matmul_plain_avx2.c, matmul_plain_avx512.c */
panel_plain_fn matmul_f32_avx2, matmul_f16_avx2, matmul_bf16_avx2, matmul_fp8_avx2;
panel_plain_fn matmul_f32_avx512, matmul_f16_avx512, matmul_bf16_avx512, matmul_fp8_avx512;

/* The field `blocks` of a table. */
#define MATMUL_BLOCKS_AVX2                                                                         \
    {[MK_Q8_0] = matmul_q8_0_avx2, [MK_Q4_0] = matmul_q4_0_avx2,                                   \
     [MK_Q4_1] = matmul_q4_1_avx2, [MK_Q5_0] = matmul_q5_0_avx2,                                   \
     [MK_Q5_1] = matmul_q5_1_avx2, [MK_Q2_K] = matmul_q2_k_avx2,                                   \
     [MK_Q3_K] = matmul_q3_k_avx2, [MK_Q4_K] = matmul_q4_k_avx2,                                   \
     [MK_Q5_K] = matmul_q5_k_avx2, [MK_Q6_K] = matmul_q6_k_avx2,                                   \
     [MK_IQ4_NL] = matmul_iq4_nl_avx2, [MK_IQ4_XS] = matmul_iq4_xs_avx2}

#define MATMUL_BLOCKS_VNNI                                                                         \
    {[MK_Q8_0] = matmul_q8_0_vnni, [MK_Q4_0] = matmul_q4_0_vnni,                                   \
     [MK_Q4_1] = matmul_q4_1_vnni, [MK_Q5_0] = matmul_q5_0_vnni,                                   \
     [MK_Q5_1] = matmul_q5_1_vnni, [MK_Q2_K] = matmul_q2_k_vnni,                                   \
     [MK_Q3_K] = matmul_q3_k_vnni, [MK_Q4_K] = matmul_q4_k_vnni,                                   \
     [MK_Q5_K] = matmul_q5_k_vnni, [MK_Q6_K] = matmul_q6_k_vnni,                                   \
     [MK_IQ4_NL] = matmul_iq4_nl_vnni, [MK_IQ4_XS] = matmul_iq4_xs_vnni}

#endif
