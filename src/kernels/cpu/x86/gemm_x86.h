/* gemm_x86.h: inner functions that one x86 file defines and another's table lists. */
#ifndef MK_KERNELS_CPU_X86_GEMM_X86_H
#define MK_KERNELS_CPU_X86_GEMM_X86_H

#include "kernels/cpu/gemm_rows.h"

/* gemm_avx2.c; width at most 8. */
void gemm_pack_turned_avx2(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                           const int32_t *index, int64_t n_terms, int64_t n_lanes);

#define GEMM_AHEAD 6 /* rows between the one that is packed and the one that is fetched */

/* Asks for a row of n values: an expert's rows lie where no prefetcher of the machine looks. */
static inline void gemm_prefetch(const float *row, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16)
        __builtin_prefetch(row + i);
}

#endif
