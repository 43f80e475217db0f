/* quant_k.c: Q4_K and Q6_K: first the best scale of every group on its own, then the small integers
 * that stand for the scales, then the values again with the scales that were really stored.
 *
 * A group's scale is searched: candidates around the plain range / levels give codes q, the codes
 * give by least squares the scale that suits them best, and the smallest error wins. An error
 * counts w = rms + |x| of its value: large weights matter more to a product, small ones still do.
 * Sums are in double, so that float's range bounds nothing. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor/dequant_blocks.h"
#include "tensor/quant_blocks.h"

#define BLOCK 256
#define N_TRIES 21 /* odd: the plain range / levels is the middle one */

static int clamp_code(double v, int low, int high)
{
    double r = rint(v);

    return r < low ? low : r > high ? high : (int)r;
}

static void weights_of(const float *x, int n, double *w)
{
    double sum = 0, rms;

    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    rms = sqrt(sum / n);
    for (int i = 0; i < n; i++)
        w[i] = rms + fabs((double)x[i]);
}

/* ---- Q4_K: x = scale q - min, q 0..15, scale and min not negative; groups of 32 ---- */

struct affine { double scale, min; };

/* Least squares of w (scale q - min - x)^2 for given q; a negative min is not storable and is 0. */
static struct affine fit_affine(const float *x, const double *w, const int *q, int n)
{
    double sw = 0, sq = 0, sqq = 0, sx = 0, sqx = 0, determinant;
    struct affine a = {0, 0};

    for (int i = 0; i < n; i++) {
        sw += w[i];
        sq += w[i] * q[i];
        sqq += w[i] * q[i] * q[i];
        sx += w[i] * (double)x[i];
        sqx += w[i] * q[i] * (double)x[i];
    }
    determinant = sw * sqq - sq * sq;
    if (determinant > 0) {
        a.scale = (sw * sqx - sq * sx) / determinant;
        a.min = (sq * sqx - sqq * sx) / determinant;
    }
    if (a.min < 0 || determinant <= 0) {
        a.min = 0;
        a.scale = sqq > 0 ? sqx / sqq : 0;
    }
    if (a.scale < 0)
        a.scale = 0;
    return a;
}

static double affine_error(const float *x, const double *w, const int *q, int n, struct affine a)
{
    double sum = 0;

    for (int i = 0; i < n; i++) {
        double e = a.scale * q[i] - a.min - (double)x[i];

        sum += w[i] * e * e;
    }
    return sum;
}

static struct affine search_affine(const float *x, int n, int levels)
{
    double w[32], low = 0, high = x[0], best_error = DBL_MAX; /* min >= 0: 0 is always in range */
    struct affine best = {0, 0};

    weights_of(x, n, w);
    for (int i = 0; i < n; i++) {
        low = fmin(low, (double)x[i]);
        high = fmax(high, (double)x[i]);
    }
    if (high <= low) /* all zero, or all the same negative value */
        return (struct affine){0, -low};
    for (int k = 0; k < N_TRIES; k++) {
        double step = (high - low) / (levels + 0.1 * (k - N_TRIES / 2)), error;
        struct affine a;
        int q[32];

        for (int i = 0; i < n; i++)
            q[i] = clamp_code(((double)x[i] - low) / step, 0, levels);
        a = fit_affine(x, w, q, n);
        error = affine_error(x, w, q, n, a);
        if (error < best_error) {
            best_error = error;
            best = a;
        }
    }
    return best;
}

/* The reverse of read_k_scale. */
static void write_k_scale(unsigned char *s, int j, int scale, int min)
{
    if (j < 4) {
        s[j] = (unsigned char)(s[j] | scale);
        s[j + 4] = (unsigned char)(s[j + 4] | min);
    } else {
        s[j + 4] = (unsigned char)((scale & 15) | (min & 15) << 4);
        s[j - 4] = (unsigned char)(s[j - 4] | scale >> 4 << 6);
        s[j] = (unsigned char)(s[j] | min >> 4 << 6);
    }
}

bool quant_q4_k(const float *x, unsigned char *b)
{
    struct affine groups[BLOCK / 32];
    double max_scale = 0, max_min = 0, d, dmin;

    for (int j = 0; j < BLOCK / 32; j++) {
        groups[j] = search_affine(x + 32 * j, 32, 15);
        max_scale = fmax(max_scale, groups[j].scale);
        max_min = fmax(max_min, groups[j].min);
    }
    if (!write_f16(b, (float)(max_scale / 63)) || !write_f16(b + 2, (float)(max_min / 63)))
        return false;
    d = (double)read_f16(b);
    dmin = (double)read_f16(b + 2);
    memset(b + 4, 0, 12 + 128);
    for (int j = 0; j < BLOCK / 32; j++) {
        int scale = d > 0 ? clamp_code(groups[j].scale / d, 0, 63) : 0;
        int min = dmin > 0 ? clamp_code(groups[j].min / dmin, 0, 63) : 0;
        double step = d * scale, offset = dmin * min;

        write_k_scale(b + 4, j, scale, min);
        for (int i = 0; i < 32 && step > 0; i++) {
            int q = clamp_code(((double)x[32 * j + i] + offset) / step, 0, 15);

            b[16 + j / 2 * 32 + i] |= (unsigned char)(q << (j % 2 * 4));
        }
    }
    return true;
}

/* ---- Q6_K: x = scale q, q -32..31; groups of 16 ---- */

/* The value of largest magnitude is tried near -32, the level without a mirror image. */
static double search_scale(const float *x, int n, int levels)
{
    double w[16], extreme = 0, best = 0, best_gain = 0;

    weights_of(x, n, w);
    for (int i = 0; i < n; i++)
        if (fabs((double)x[i]) > fabs(extreme))
            extreme = (double)x[i];
    if (extreme == 0)
        return 0;
    for (int k = 0; k < N_TRIES; k++) {
        double step = extreme / -(levels + 0.1 * (k - N_TRIES / 2)), sqx = 0, sqq = 0;

        for (int i = 0; i < n; i++) {
            int q = clamp_code((double)x[i] / step, -levels, levels - 1);

            sqx += w[i] * q * (double)x[i];
            sqq += w[i] * q * q;
        }
        /* the error at the best scale sqx / sqq is sum(w x x) - sqx^2 / sqq */
        if (sqq > 0 && sqx * sqx > best_gain * sqq) {
            best_gain = sqx * sqx / sqq;
            best = sqx / sqq;
        }
    }
    return best;
}

static void pack_q6(unsigned char *b, int i, int q)
{
    int half = i / 128, at = i % 128;

    b[half * 64 + at % 64] |= (unsigned char)((q & 15) << (at / 64 * 4));
    b[128 + half * 32 + at % 32] |= (unsigned char)(q >> 4 << (at / 32 * 2));
}

bool quant_q6_k(const float *x, unsigned char *b)
{
    double scales[BLOCK / 16], extreme = 0, d;

    for (int j = 0; j < BLOCK / 16; j++) {
        scales[j] = search_scale(x + 16 * j, 16, 32);
        if (fabs(scales[j]) > fabs(extreme))
            extreme = scales[j];
    }
    memset(b, 0, 208);
    if (!write_f16(b + 208, (float)(extreme / -128)))
        return false;
    d = (double)read_f16(b + 208);
    for (int j = 0; j < BLOCK / 16; j++) {
        int scale = d != 0 ? clamp_code(scales[j] / d, -128, 127) : 0;
        double step = d * scale;

        b[192 + j] = (unsigned char)scale;
        for (int i = 16 * j; i < 16 * j + 16; i++)
            pack_q6(b, i, 32 + (step != 0 ? clamp_code((double)x[i] / step, -32, 31) : 0));
    }
    return true;
}
