/* attention_rows.h: the inner functions of attention, one table for each instruction set.
 *
 * A tile is a few query vectors (rows of a prefill, or the query heads that share a kv head) that
 * walk the same keys, MK_KEY_BLOCK at a time. cpu/attention.c owns the walk and the threads,
 * cpu/attention_block.c the masks; these functions see one block. For every query vector the order
 * of arithmetic is the same in a tile of one and in a tile of many:
 *
 *   score[key]  = 0 + q[0] k[key][0] + q[1] k[key][1] + ..       one FMA chain, c ascending
 *   acc[c]      = acc[c] * factor + p[lo] v[lo][c] + ..          one FMA chain, keys ascending
 *
 * Lanes run over keys in the first and over channels in the second, so nothing is summed across
 * lanes but the sixty-four weights of a block (MK_SUM_LANES, vector_rows.h). */
#ifndef MK_KERNELS_CPU_ATTENTION_ROWS_H
#define MK_KERNELS_CPU_ATTENTION_ROWS_H

#include "kernels/kernels.h"

#define MK_KEY_PANEL 16 /* keys across the lanes of one panel */

struct attention_rows {
    /* Transposes n_keys <= MK_KEY_BLOCK rows of d values, stride apart, into ceil(n_keys / 16)
     * panels [d, 16]; missing keys of the last panel become zeros. panels is 64-byte aligned. */
    void (*pack_keys)(float *panels, const float *keys, int64_t stride, int32_t n_keys, int32_t d);

    /* scores[m, i] for the keys i of panels first .. first + n_panels - 1. q [n_q, d], q_stride
     * apart; scores [n_q, MK_KEY_BLOCK], 64-byte aligned. */
    void (*scores)(float *scores, const float *q, int64_t q_stride, int32_t n_q,
                   const float *panels, int32_t d, int32_t first, int32_t n_panels);

    /* One query's step of the online softmax over keys lo .. hi - 1 of the block, lo < hi. In:
     * scores [MK_KEY_BLOCK], 64-byte aligned; outside lo .. hi - 1 anything. Out: the weights
     * e^(scale * score - *max), 0 outside. *max and *sum become those of all keys so far. Returns
     * the factor by which what was accumulated earlier must be multiplied. */
    float (*softmax_step)(float *scores, float scale, int32_t lo, int32_t hi, float *max,
                          float *sum);

    /* acc[m, c] = acc[m, c] * factor[m] + sum over keys i < n_keys of p[m, i] * v[i, c]. acc [n_q,
     * d], acc_stride a multiple of 16 (what follows d is padding, written freely), v [n_keys, d], p
     * [n_q, n_keys] MK_KEY_BLOCK apart. Cutting the keys
     * into two calls, the second with factor 1, gives the same bits. */
    void (*values)(float *acc, int64_t acc_stride, const float *p, const float *factor, int32_t n_q,
                   const float *v, int64_t v_stride, int32_t d, int32_t n_keys);
};

/* Each points k->attention_rows at its table. */
void attention_fill_ref(struct kernels *k);
void attention_fill_avx2(struct kernels *k);
void attention_fill_avx512(struct kernels *k);
/* attend() itself, for every table. */
void attention_fill_ops(struct kernels *k);

#endif
