/* step.h: what the parts of a model share while one step is computed. For model/ and for the
 * backward pass in train/. */
#ifndef MK_MODEL_STEP_H
#define MK_MODEL_STEP_H

#include "model/forward.h"

struct step {
    const struct model *m;
    struct compute *c;
    struct arena *memory; /* rewound after each block; a part takes what it needs */
    enum dtype kv_dtype;
    const struct forward_seq *seqs;
    int32_t n_seqs;
    int64_t n_rows;            /* t: new tokens of all sequences, one after the other */
    const int64_t *first_row;  /* [n_seqs] */
    const float *rope;         /* [t, n_pairs, 2] */
    struct forward_keep *keep; /* or NULL */
    struct block_saved *saved; /* of the block being computed when its inside is kept */
    float *x, *out; /* [t, d_model] of the block being computed: its parts' inputs and outputs */
};

/* Where each sequence's rows begin, and the angles of every row: fills n_rows, first_row and rope
 * of a step whose other members are set, and takes x and out. */
int step_begin(struct step *s, struct mk_error *err);
/* Embedding, blocks and final norm: h [t, d_model]. */
int step_trunk(struct step *s, float *h, struct mk_error *err);
/* MTP block `index`, on the ids of the step and hidden [t, d_model], up to its final norm: h. */
int step_mtp(struct step *s, int32_t index, const float *hidden, float *h, struct mk_error *err);

/* [t, n] floats of this block's lifetime. */
int step_take(struct step *s, float **x, int64_t n, struct mk_error *err);
/* A copy of x [t, n], x_stride apart, while a block's inside is kept; else *copy is NULL. */
int step_copy(struct step *s, const float **copy, const float *x, int64_t x_stride, int64_t n,
              struct mk_error *err);
/* One product of all rows with one matrix. */
int step_matmul(struct step *s, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                const struct packed *w, struct mk_error *err);
/* rows [t, row_dim]: appended to every sequence's cache of this layer. */
void step_store(struct step *s, int32_t layer, const float *rows, int32_t row_dim);
/* Attention of all rows; q and out as attend_seq wants them, strides in values. */
int step_attend(struct step *s, int32_t layer, const struct attend_shape *shape, const float *q,
                int64_t q_stride, float *out, int64_t out_stride, struct mk_error *err);
/* h [t, d_model] through one block, in place. */
int block_forward(struct step *s, const struct layer *layer, int32_t index, float *h,
                  struct mk_error *err);

#endif
