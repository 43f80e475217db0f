/* peak.h: the most FMAs that one thread can do. */
#ifndef MK_KERNELCHECK_PEAK_H
#define MK_KERNELCHECK_PEAK_H

#include <stdint.h>

/* Works for a while out of registers; returns the floating-point operations done, 0 where there is
 * no such function. */
double peak_fma(int64_t rounds);
double peak_fma_avx2(int64_t rounds);
double peak_fma_avx512(int64_t rounds);

#endif
