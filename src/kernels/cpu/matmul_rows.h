/* matmul_rows.h: the inner functions of the matrix product, one table for each instruction set.
 *
 * Each multiplies one panel (16 outputs, every input) by a few rows, alone, without threads;
 * cpu/matmul.c owns rows, jobs and threads. What is computed, to the bit, whatever n_rows is:
 *
 * Plain weights: acc = fma(w[k], x[k], acc) for k ascending from acc = 0, w widened to f32; FP8:
 * w = value * scale, rounded to f32. Where inputs are rounded to bf16, bf16 weights are those of
 * bf16_rows.h.
 *
 * Block weights: for each 32 inputs, ascending, with q, d, m, sub and min of panel_block (panel.h)
 *     isum = sum over k of sub * q[k] * xq[k]      exact: below 2^24
 *     msum = sum over k of min * xq[k]             exact
 *     acc  = fma(isum, d * dx, acc)
 *     acc  = fma(msum, m * dx, acc)                types that have a minimum
 * so these give the same bits on every machine. */
#ifndef MK_KERNELS_CPU_MATMUL_ROWS_H
#define MK_KERNELS_CPU_MATMUL_ROWS_H

#include <stdint.h>

#include "kernels/cpu/panel.h"
#include "kernels/kernels.h"

#define MK_MAX_TILE_ROWS 48 /* rows of one call; a multiple of 4, 6 and 8 */

/* 32 activations rounded to int8: x = d * q. sum[s][h] adds the q of half s of the block whose
 * index mod 4 is 2 h or 2 h + 1: what `maddubs` leaves in the two halves of a 32-bit lane, so that
 * the offset of unsigned weights can be taken off there. */
struct x_block {
    int8_t q[MK_BLOCK]; /* -127 .. 127 */
    int16_t sum[2][2];
    float d;
    float total; /* sum of q, exact */
};

/* acc[m][0..15] = panel . row m. x [n_blocks, n_rows]: the rows of one block side by side.
 * 1 <= n_rows <= MK_MAX_TILE_ROWS. */
typedef void panel_blocks_fn(float *acc, const unsigned char *panel, int32_t n_blocks,
                             const struct x_block *x, int32_t n_rows);
/* The same for plain weights, rows of out out_stride apart; block_in is FP8's. x [n_rows, n_in],
 * x_stride apart. */
typedef void panel_plain_fn(float *out, int64_t out_stride, const unsigned char *panel,
                            int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                            int32_t n_rows);

struct matmul_rows {
    /* Rounds one row: scale = max|x| / 127, nearest even; its blocks are written block_stride
     * apart. A block whose largest |x| is below 2^-100 becomes zeros; one with a NaN or an infinity
     * gets d = NaN, so that it is not lost. */
    void (*quantise)(struct x_block *out, int64_t block_stride, const float *x, int32_t n_blocks);
    panel_blocks_fn *blocks[MK_N_DTYPES]; /* NULL for plain types */
    panel_plain_fn *plain[MK_N_DTYPES];   /* NULL for block types */
};

/* Each points k->matmul_rows at its table. */
void matmul_fill_ref(struct kernels *k);
void matmul_fill_avx2(struct kernels *k);
void matmul_fill_avx512(struct kernels *k);
void matmul_fill_vnni(struct kernels *k);
/* The operation itself, for every table. */
void matmul_fill_ops(struct kernels *k);

/* Below this a block of activations counts as zero: 127 / max|x| stays finite. */
#define MK_X_TINY 0x1p-100f

#endif
