/* backward_rows.h: the inner functions of the backward operations, one table for each instruction
 * set but for products (gemm_rows.h); cpu/vector_backward.c and cpu/attention_backward.c own rows,
 * strides and threads.
 *
 * Any pointer may be aligned to its type only, any n >= 0. Sums over a row run in the lanes of
 * vector_rows.h, e^x is exp_poly(), products in sums are FMAs: every set gives the same bits. */
#ifndef MK_KERNELS_CPU_BACKWARD_ROWS_H
#define MK_KERNELS_CPU_BACKWARD_ROWS_H

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/vector_rows.h"
#include "kernels/kernels.h"

struct backward_rows {
    float (*dot)(const float *a, const float *b, int32_t n);
    /* out[i] = a * x[i]. out may be x. */
    void (*scale)(float *out, const float *x, float a, int32_t n);

    /* Adds to dx as kernels.h says; returns s = 1 / sqrt(mean(x^2) + eps). n >= 1. */
    float (*rmsnorm)(float *dx, const float *dout, const float *x, const float *w, int32_t n,
                     float eps);
    /* dw[i] = fmaf(dout[i], x[i] * s, dw[i]). */
    void (*rmsnorm_weight)(float *dw, const float *dout, const float *x, float s, int32_t n);

    void (*silu_mul)(float *dgate, float *dup, const float *gate, const float *up,
                     const float *dout, int32_t n);

    /* In place the gradient times scale; returns the loss. 0 <= target < n. */
    float (*softmax_xent)(float *x, int32_t n, int32_t target, float scale);
    void (*softmax)(float *dx, const float *p, const float *dp, int32_t n);

    /* out[j, i] = x[i, j] for i < n. Both [MK_KEY_BLOCK, MK_KEY_BLOCK], 64-byte aligned; columns n
     * and more of out become anything. */
    void (*turn)(float *out, const float *x, int32_t n);

    void (*adamw)(const struct adamw_step *step, const struct adamw_piece *piece);

    /* One query and one block of keys. In: s [MK_KEY_BLOCK] scores before scaling, ds
     * [MK_KEY_BLOCK] the products of dout and values, 64-byte aligned; outside lo .. hi - 1
     * anything. Out: s[i] = e^(scale * s[i] - lse), ds[i] = (ds[i] - delta) * s[i] * scale; both 0
     * outside. */
    void (*attend_step)(float *s, float *ds, float scale, float lse, float delta, int32_t lo,
                        int32_t hi);
};

/* Each points k->backward_rows at its table. */
void backward_fill_ref(struct kernels *k);
void backward_fill_avx2(struct kernels *k);
void backward_fill_avx512(struct kernels *k);
/* The operations themselves, for every table. */
void vector_backward_fill_ops(struct kernels *k);
void attention_backward_fill_ops(struct kernels *k);

#endif
