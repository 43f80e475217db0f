/* backward.h: the backward pass of each part of model/, one file each. For train/ only.
 *
 * d... is the gradient of the loss with respect to ...; a part takes d of its output and gives d of
 * its input, and adds to the gradients of its weights. t rows of all sequences of the step. */
#ifndef MK_TRAIN_BACKWARD_H
#define MK_TRAIN_BACKWARD_H

#include "model/step.h"
#include "train/balance.h"
#include "train/params.h"

struct backward {
    struct step *s;
    struct params *p;
    const float *rope_back; /* [t, n_pairs, 2] the step's angles, negated */
    const struct balance_options *balance;
    double *balance_loss;   /* [n_layers + n_mtp] or NULL */
    int64_t *expert_tokens; /* [.., n_experts] or NULL */
    int64_t *dropped;       /* [n_layers + n_mtp] choices, or NULL */
};

/* ---- Products ------------------------------------------------------------------------------- */

/* y = x W^T with rows row0 .. row0 + n_out - 1 of W: dW += dy^T x, dx = or += dy W. */
struct linear {
    struct param *p;
    int64_t row0, n_out; /* n_out 0: all */
    int64_t n_rows;
    const float *dy; /* [n_rows, n_out] */
    int64_t dy_stride;
    const int32_t *dy_rows; /* row i of dy is dy[dy_rows[i]]; NULL: dy[i] */
    const float *x;         /* [n_rows, n_in]; NULL: W is not to learn */
    int64_t x_stride;
    const int32_t *x_rows;
    float *dx; /* [n_rows, n_in] or NULL; never with dy_rows' indices */
    int64_t dx_stride;
    bool add;       /* to dx, when all that is written is there; else it is written */
    int32_t stream; /* of the gradient */
};
/* No two jobs that write may share dx, nor two that add. Jobs with the same x should be neighbours:
 * it is then packed once. */
int linear_backward(struct backward *b, const struct linear *jobs, int32_t n_jobs,
                    struct mk_error *err);
/* db += sum of dy over the rows. */
void bias_backward(struct param *p, const float *dy, int64_t dy_stride, int64_t n_rows);
/* dx += through out = rmsnorm(x) * w, n values a row. */
int norm_backward(struct backward *b, struct param *p, float *dx, int64_t dx_stride,
                  const float *dout, int64_t dout_stride, const float *x, int64_t x_stride,
                  int64_t n_rows, int32_t n, float eps, struct mk_error *err);

/* ---- Parts ---------------------------------------------------------------------------------- */

/* dh [t, d_model] of the block's output -> of its input, in place. */
int block_backward(struct backward *b, int32_t index, const struct block_saved *saved, float *dh,
                   struct mk_error *err);
/* x [t, d_model] normed in, dout [t, d_model] -> dx [t, d_model], written. */
int gqa_backward(struct backward *b, int32_t layer, const struct block_saved *saved, const float *x,
                 const float *dout, float *dx, struct mk_error *err);
int mla_backward(struct backward *b, int32_t layer, const struct block_saved *saved, const float *x,
                 const float *dout, float *dx, struct mk_error *err);
int dense_backward(struct backward *b, int32_t layer, const struct block_saved *saved,
                   const float *x, const float *dout, float *dx, struct mk_error *err);
int moe_backward(struct backward *b, int32_t layer, const struct block_saved *saved, const float *x,
                 const float *dout, float *dx, struct mk_error *err);
/* One SwiGLU network on all rows; `gate` is the first of its three roles. */
int swiglu_backward(struct backward *b, enum weight_role gate, int32_t layer, const float *x,
                    const struct swiglu_saved *saved, const float *dout, float *dx,
                    struct mk_error *err);
/* What backward computes with, of n rows of a network with this gate: training in FP8 keeps
 * SwiGLU's inputs rounded (kernels/fp8.h), on b's memory; else nothing changes. */
int swiglu_kept(struct backward *b, const struct param *gate, int64_t n, struct swiglu_saved *saved,
                struct mk_error *err);
/* dweight [t, used] of the chosen experts, and the balance losses -> dlogits [t, e]. */
int router_backward(struct backward *b, int32_t layer, const struct moe_saved *saved,
                    const float *dweight, float *dlogits, struct mk_error *err);

/* All sequences' attention; rows, lse, out, dout, dq, drows as struct attend_backward_seq, strides
 * equal to the widths. drows is cleared first. */
int attention_backward(struct backward *b, const struct attend_shape *shape, const float *q,
                       const float *rows, const float *lse, const float *out, const float *dout,
                       float *dq, float *drows, struct mk_error *err);

#endif
