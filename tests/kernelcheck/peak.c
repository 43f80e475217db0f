/* peak.c: the widest FMA of this machine. */
#include "kernelcheck/peak.h"

#include "kernels/cpu/cpu_features.h"

double peak_fma(int64_t rounds)
{
#if defined(__x86_64__)
    struct cpu_features f;

    cpu_features_read(&f);
    if (f.avx512)
        return peak_fma_avx512(rounds);
    if (f.avx2)
        return peak_fma_avx2(rounds);
#endif
    (void)rounds;
    return 0.0; /* not known */
}
