/* gemm_x86.h: inner functions that one x86 file defines and another's table lists. */
#ifndef MK_KERNELS_CPU_X86_GEMM_X86_H
#define MK_KERNELS_CPU_X86_GEMM_X86_H

#include "kernels/cpu/gemm_rows.h"

/* gemm_avx2.c; width at most 8. */
void gemm_pack_turned_avx2(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                           const int32_t *index, int64_t n_terms, int64_t n_lanes);

#endif
