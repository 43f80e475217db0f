/* matmul_x86.h: inner functions that one x86 file defines and another's table lists. */
#ifndef MK_KERNELS_CPU_X86_MATMUL_X86_H
#define MK_KERNELS_CPU_X86_MATMUL_X86_H

#include "kernels/cpu/matmul_rows.h"

/* matmul_plain_avx2.c */
panel_plain_fn matmul_f32_avx2, matmul_f16_avx2, matmul_bf16_avx2, matmul_fp8_avx2;
/* matmul_blocks_avx2.c */
void matmul_quantise_avx2(struct x_block *out, int64_t block_stride, const float *x,
                          int32_t n_blocks);

#endif
