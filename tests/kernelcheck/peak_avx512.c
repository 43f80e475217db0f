/* peak_avx512.c: twelve independent chains of FMAs, sixteen lanes each. */
#include <immintrin.h>

#include "kernelcheck/peak.h"

double peak_fma_avx512(int64_t rounds)
{
    __m512 s[12], x = _mm512_set1_ps(0.5f);
    volatile float sink;

    for (int j = 0; j < 12; j++)
        s[j] = _mm512_set1_ps((float)j);
    for (int64_t i = 0; i < rounds; i++) {
        s[0] = _mm512_fmadd_ps(s[0], x, x);
        s[1] = _mm512_fmadd_ps(s[1], x, x);
        s[2] = _mm512_fmadd_ps(s[2], x, x);
        s[3] = _mm512_fmadd_ps(s[3], x, x);
        s[4] = _mm512_fmadd_ps(s[4], x, x);
        s[5] = _mm512_fmadd_ps(s[5], x, x);
        s[6] = _mm512_fmadd_ps(s[6], x, x);
        s[7] = _mm512_fmadd_ps(s[7], x, x);
        s[8] = _mm512_fmadd_ps(s[8], x, x);
        s[9] = _mm512_fmadd_ps(s[9], x, x);
        s[10] = _mm512_fmadd_ps(s[10], x, x);
        s[11] = _mm512_fmadd_ps(s[11], x, x);
    }
    for (int j = 1; j < 12; j++)
        s[0] = _mm512_add_ps(s[0], s[j]);
    sink = _mm512_cvtss_f32(s[0]);
    (void)sink;
    return 12.0 * 16.0 * 2.0 * (double)rounds;
}
