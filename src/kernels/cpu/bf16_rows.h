/* bf16_rows.h: products of bf16 numbers summed in f32, one table for each instruction set.
 *
 * What is computed, to the bit: operands are rounded to bf16 (nearest, ties to even; what is
 * subnormal in f32 becomes zero), then acc = flush(fma(a, b, flush(acc))), one term after the
 * other, flush() taking subnormal numbers as zeros of the same sign. Whether a result is subnormal
 * is seen after rounding to 24 bits, as if exponents had no end.
 *
 * That is what `vdpbf16ps` does with each of the two pairs in a lane, the upper half first
 * (measured on Zen 4 and as Intel's manual has it). So the earlier term lies in the upper half, and
 * since each term has an FMA of its own no bit depends on how terms were paired. A term without a
 * partner gets -0 * +0 beside it, which leaves every sum as it is. */
#ifndef MK_KERNELS_CPU_BF16_ROWS_H
#define MK_KERNELS_CPU_BF16_ROWS_H

#include "kernels/cpu/gemm_rows.h"

struct bf16_rows {
    struct gemm_rows gemm;
    /* A row of inputs as `panel` takes it: n values of value_bytes, and up to 15 more. */
    int32_t value_bytes;
    void (*round)(void *out, const float *x, int32_t n);
    /* out[m][0 .. 16 * n_panels - 1] = one or two panels of bf16 weights . row m of x. Panels are
     * panel_bytes apart, rows of out out_stride values, rows of x x_stride bytes (a multiple of
     * 64). 1 <= n_rows <= MK_MAX_TILE_ROWS. */
    void (*panels)(float *out, int64_t out_stride, const unsigned char *panel, int64_t panel_bytes,
                   int32_t n_panels, int32_t n_in, const void *x, int64_t x_stride,
                   int32_t n_rows);
};

/* One step of a sum, flush(fma(a, b, c)), of numbers that are not subnormal. */
float bf16_fma(float a, float b, float c);

/* Each points k->bf16_rows at its table. */
void bf16_fill_ref(struct kernels *k);
void bf16_fill_avx2(struct kernels *k);
void bf16_fill_bf16(struct kernels *k); /* AVX512-BF16 */

#endif
