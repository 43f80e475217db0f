/* step.h: what the parts of a model share while one step is computed. Inside model/ only. */
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
};

/* [t, n] floats of this block's lifetime. */
int step_take(struct step *s, float **x, int64_t n, struct mk_error *err);
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
