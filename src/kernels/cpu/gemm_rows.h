/* gemm_rows.h: the inner functions of gemm_nn and gemm_tn, one table for each number type and
 * instruction set; cpu/gemm.c owns blocks and threads.
 *
 * A block's operands are copied into panels before tiles read them. A panel has `width` lanes (the
 * rows of a tile for a, its columns for b) and all terms of a slice of the sum, in words of 32 bits
 * that hold one or two terms of a lane:
 *
 *     [ceil(n_terms / terms)][width]
 *
 * Panels follow one another, MK_PANEL_GAP words apart: 4 KB apart all panels would share a few
 * lines of the first-level cache. Lanes past the last become zeros. Sources may be aligned to a
 * float only, panels are aligned to 64 bytes. */
#ifndef MK_KERNELS_CPU_GEMM_ROWS_H
#define MK_KERNELS_CPU_GEMM_ROWS_H

#include "kernels/kernels.h"

struct gemm_rows {
    int32_t rows, cols; /* of a tile of out; rows divides 24, cols 64 */
    int32_t terms;      /* of a word: f32 1; pairs of bf16 2, the earlier one in the upper half */
    /* Row i of the source is x[index ? index[i] : i], stride apart. pack: a row is a term, its
     * first n_lanes values are lanes. pack_turned: a row is a lane, its first n_terms values are
     * terms. */
    void (*pack)(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                 const int32_t *index, int64_t n_terms, int64_t n_lanes);
    void (*pack_turned)(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                        const int32_t *index, int64_t n_terms, int64_t n_lanes);
    /* out[m, n] = out[m, n] (or 0 if from_zero) + sum over terms of a[term, m] * b[term, n],
     * ascending, one FMA each. out [rows, cols], out_stride apart. */
    void (*tile)(float *out, int64_t out_stride, const uint32_t *a, const uint32_t *b,
                 int64_t n_terms, bool from_zero);
};

#define MK_PANEL_GAP 16
#define MK_GEMM_LANES 1024 /* of one call of pack, at most */

/* From one panel to the next; `terms` of a word. */
static inline int64_t gemm_panel_words(int64_t n_terms, int32_t terms, int32_t width)
{
    return (n_terms + terms - 1) / terms * width + MK_PANEL_GAP;
}

static inline const float *gemm_row(const float *x, int64_t stride, const int32_t *index, int64_t i)
{
    return x + (index ? index[i] : i) * stride;
}

/* Each points k->gemm_rows at its table. */
void gemm_fill_ref(struct kernels *k);
void gemm_fill_avx2(struct kernels *k);
void gemm_fill_avx512(struct kernels *k);
/* The operations themselves, for every table. */
void gemm_fill_ops(struct kernels *k);

#endif
