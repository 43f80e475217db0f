/* exp_poly.h: e^x, the one polynomial that the reference and every variant share, bit for bit.
 *
 * n = round(x / ln 2), r = x - n ln 2 in two steps (Cody & Waite 1980), |r| <= ln 2 / 2; e^r by a
 * polynomial of degree 7 (Moshier's coefficients, Cephes expf); n is added to the exponent. Every
 * step is one operation that all instruction sets round alike, so they give the same bits. The
 * error bound over all floats is in docs/numerics.md. */
#ifndef MK_KERNELS_CPU_EXP_POLY_H
#define MK_KERNELS_CPU_EXP_POLY_H

#include <math.h>
#include <stdint.h>

#define EXP_LOW (-0x1.5d589ep+6f) /* ln of the smallest normal number: below it the result is 0 */
#define EXP_HIGH 0x1.62e42ep+6f   /* ln of the largest number: above it, infinity */
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_ROUND 0x1.8p+23f /* adding it leaves the nearest integer in the low bits */
#define EXP_LN2_HIGH 0x1.62e4p-1f
#define EXP_LN2_LOW 0x1.7f7d1cp-20f
/* e^r = 1 + r + r^2 (C2 + r (C3 + r (C4 + r (C5 + r (C6 + r C7))))) */
#define EXP_C2 5.0000001201e-1f
#define EXP_C3 1.6666665459e-1f
#define EXP_C4 4.1665795894e-2f
#define EXP_C5 8.3334519073e-3f
#define EXP_C6 1.3981999507e-3f
#define EXP_C7 1.9875691500e-4f

static inline float exp_poly(float x)
{
    union {
        float f;
        uint32_t u;
    } shifted, y;
    float n, r, p;

    if (!(x >= EXP_LOW)) /* or NaN */
        return x < EXP_LOW ? 0.0f : x;
    if (x > EXP_HIGH)
        return INFINITY;
    shifted.f = fmaf(x, EXP_LOG2E, EXP_ROUND);
    n = shifted.f - EXP_ROUND;
    r = fmaf(-n, EXP_LN2_HIGH, x);
    r = fmaf(-n, EXP_LN2_LOW, r);
    p = fmaf(EXP_C7, r, EXP_C6);
    p = fmaf(p, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    y.f = fmaf(p, r * r, r) + 1.0f;
    y.u += shifted.u << 23;
    return y.f;
}

#endif
