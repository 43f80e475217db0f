/* attention_block.h: a tile of attention and what one block of keys does to it.
 *
 * A tile is a few query vectors that read the same kv head: rows of one sequence, or one row each
 * of several sequences whose keys begin with the same shared rows. cpu/attention.c divides a call
 * into tiles and says which blocks each of them walks. */
#ifndef MK_KERNELS_CPU_ATTENTION_BLOCK_H
#define MK_KERNELS_CPU_ATTENTION_BLOCK_H

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/vector_rows.h"

#define MK_TILE_VECTORS 64 /* at most */

/* What all tiles of a call have in common. */
struct attend_call {
    const struct attend_shape *shape;
    const struct vector_rows *vector;
    const struct attention_rows *rows;
    int64_t row_bytes;
    int32_t acc_stride; /* d_v, padded */
};

/* Its vectors are [row, head]: first the rows of its first sequence, then those of the next. */
struct attend_tile {
    const struct attend_seq *seq; /* [n_seqs] */
    int32_t n_seqs;        /* above 1: one row each behind the same shared rows, no window, f32 */
    int32_t row, n_rows;   /* of each sequence */
    int32_t head, n_heads; /* query heads; all read kv_head */
    int32_t kv_head;
    int32_t end;           /* keys that any of its rows sees */
    int32_t part, n_parts; /* one part of the keys, or all of them (by_part) */
    int64_t row_index;     /* of its first row, over all sequences */
};

/* What a tile's vectors have seen so far. A vector has seen nothing where sum is 0. */
struct attend_state {
    float *max, *sum; /* [vector]; sum of e^(score - max) */
    float *acc;       /* [vector, acc_stride]; sum of e^(score - max) * value */
};

/* Memory of one worker. */
struct attend_work {
    struct attend_state total, part;
    float *q;      /* [vector, d_k] */
    float *keys;   /* [MK_KEY_BLOCK, d_k] of rows that are not f32 */
    float *values; /* [MK_KEY_BLOCK, d_v] the same */
    float *panels; /* [MK_KEY_BLOCK / MK_KEY_PANEL, d_k, MK_KEY_PANEL] */
    float *scores; /* [vector, MK_KEY_BLOCK] */
    float *factor; /* [vector] */
};

/* The sequence of a tile's row, 0 .. n_seqs * n_rows - 1; *index: which of its rows. */
static inline const struct attend_seq *attend_tile_seq(const struct attend_tile *t, int32_t row,
                                                       int32_t *index)
{
    *index = t->row + row % t->n_rows;
    return &t->seq[row / t->n_rows];
}

/* Takes a block of keys into `st`, the tile's queries being in w->q. */
void attend_block(const struct attend_call *a, const struct attend_tile *t,
                  const struct attend_work *w, const struct attend_state *st, int32_t block);

/* Asks for the rows of n_keys keys before they are needed. */
void attend_prefetch(const struct attend_call *a, const void *rows, int32_t n_keys);

#endif
