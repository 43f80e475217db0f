/* vector_rows.h: the inner functions of the row operations, one table for each instruction set.
 *
 * Each works on one row of contiguous values, alone, without threads; cpu/vector.c owns rows,
 * strides and threads. Any pointer may be aligned to its type only, any n >= 0.
 *
 * Sums over a row run in MK_SUM_LANES lanes: lane j takes the elements i with i mod MK_SUM_LANES =
 * j in ascending order, then the upper half of the lanes is added to the lower half until one is
 * left.
 * e^x is exp_poly() of cpu/exp_poly.h, to the bit. */
#ifndef MK_KERNELS_CPU_VECTOR_ROWS_H
#define MK_KERNELS_CPU_VECTOR_ROWS_H

#include "kernels/kernels.h"

#define MK_SUM_LANES 32
#define MK_I8_BLOCK 32 /* values that share a scale in an int8 row */

struct vector_rows {
    /* out[i] = x[i] * w[i] / sqrt(mean(x^2) + eps). out may be x; w may be NULL. n >= 1. */
    void (*rmsnorm)(float *out, const float *x, const float *w, int32_t n, float eps);
    /* One vector of d values in place; table [d / 2, 2]. */
    void (*rope)(float *x, const float *table, int32_t d, enum rope_pairs pairs);
    /* out may be gate or up. */
    void (*silu_mul)(float *out, const float *gate, const float *up, int32_t n);
    void (*add_scaled)(float *out, const float *x, float a, int32_t n);
    /* In place. n >= 1. */
    void (*softmax)(float *x, int32_t n);
    float (*log_sum_exp)(const float *x, int32_t n);
    /* Writes a cached row (kernels.h, kv_row_bytes); padding is zeroed. An int8 block whose largest
     * magnitude is below 2^-100 is stored as zeros. */
    void (*store)(enum dtype type, void *row, const float *x, int32_t row_dim);
    /* out[i] = value first + i of a cached row, n of them: first + n <= row_dim. */
    void (*load)(enum dtype type, float *out, const void *row, int32_t row_dim, int32_t first,
                 int32_t n);
};

/* Each points k->vector_rows at its table. */
void vector_fill_ref(struct kernels *k);
void vector_fill_avx2(struct kernels *k);
void vector_fill_avx512(struct kernels *k);
/* The operations themselves (rmsnorm .. log_sum_exp), for every table. */
void vector_fill_ops(struct kernels *k);

/* Cached rows of int8: values, padded to whole blocks, then the blocks' scales. */
static inline int32_t i8_blocks(int32_t row_dim)
{
    return (int32_t)(((int64_t)row_dim + MK_I8_BLOCK - 1) / MK_I8_BLOCK);
}
static inline int64_t i8_scales_at(int32_t row_dim)
{
    return (int64_t)i8_blocks(row_dim) * MK_I8_BLOCK;
}

#endif
