/* kernels.h: the contract of every operation, and the table through which model/ reaches them.
 *
 * A table is filled from the plain C reference and then overwritten with what the machine has;
 * nothing above this folder names an instruction set or a device. Activations are f32. Rows are
 * contiguous; a stride is counted in values.
 *
 * Same bits: every output element is accumulated along K (or along the keys) in one fixed order, so
 * a row's result does not depend on how many rows are computed with it, on its neighbours or on the
 * number of threads. Another instruction set may give other bits; the tolerance class says how far
 * they may lie from the reference (docs/numerics.md):
 *   EXACT  the same bits
 *   DOT    2 * n_terms * 2^-24 of the sum of |terms|, since either side rounds
 *   EXP    on top of DOT 4e-7, and 2^-24 |z| for an exponent z, relative
 *
 * Letters: t rows (tokens), r outputs, k inputs, h heads, d head dim, e experts, c channels. */
#ifndef MK_KERNELS_KERNELS_H
#define MK_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/exec.h"
#include "kernels/packed.h"
#include "tensor/dtype.h"

struct kernels;
struct compute;
struct matmul_job;

/* What an operation runs on: the table, the threads, and memory for the inside of one operation.
 * One thread of control. */
struct compute {
    const struct kernels *k; /* -> table */
    struct exec *ex;         /* owned */
    /* Every operation that needs it resets it on entry; nothing outlives the call. */
    struct arena scratch;
    struct kernels *table; /* owned */
    /* Set by compute_round_inputs (low_precision.h): the table's own product, and its inputs. */
    int (*matmul_as_is)(struct compute *c, const struct matmul_job *jobs, int32_t n_jobs,
                        struct mk_error *err);
    struct arena rounded;
};
/* cpu: "ref", "avx2", "avx512" lower the machine, NULL takes the best; a machine that lacks it is
 * MK_EUNSUPPORTED. "avx512-bf16" is taken only when asked for: it rounds the activations that meet
 * bf16 weights to bf16, an error of 2^-8 of the sum of |terms|. n_threads 0: one a core. */
int compute_init(struct compute *c, const char *cpu, int n_threads, struct mk_error *err);
void compute_release(struct compute *c);

/* ---- Matrix products ------------------------------------------------------------------------- */

/* out[t, r] = bias[r] + sum over k of x[t, k] * w[r, k], k ascending. Where w is quantised the row
 * of x is first rounded to int8 in blocks of 32 (scale = max|x| / 127, round to nearest even) and
 * products are exact integers inside a block; cpu/matmul_rows.h defines the sum to the bit. */
struct matmul_job {
    const struct packed *w; /* [r, k] */
    const float *bias;      /* [r] or NULL; added after the sum */
    const float *x;         /* [t, k], x_stride apart */
    int64_t x_stride;
    int64_t n_rows; /* t; 0 is allowed */
    float *out;     /* [t, r], out_stride apart; may not overlap any x or other out */
    int64_t out_stride;
};

/* ---- Attention ------------------------------------------------------------------------------- */

/* Keys are walked in blocks that start at multiples of this absolute position. */
#define MK_KEY_BLOCK 64

/* Where heads lie in a query row, a cached row and an output row. Query head i reads kv head i /
 * (n_heads / n_kv_heads). MLA absorbed: one kv head, d_k = kv_lora_rank + rope, d_v = kv_lora_rank,
 * both offsets 0. */
struct attend_shape {
    int32_t n_heads, n_kv_heads, d_k, d_v;
    int32_t k_offset, k_stride; /* of kv head j in a row: offset + j * stride, in values */
    int32_t v_offset, v_stride;
    enum dtype row_dtype; /* MK_F32, MK_BF16, MK_I8 */
    int32_t row_dim;      /* values in a cached row */
    float scale;          /* of the scores, before softmax */
    int32_t window;       /* a query at p sees keys p - window + 1 .. p; 0: all of 0 .. p */
};
struct attend_seq {
    const float *q; /* [t, n_heads * d_k], q_stride apart */
    int64_t q_stride;
    int32_t n_rows, position; /* t; absolute position of the first row */
    const void *rows; /* cached rows of 0 .. position + t - 1, kv_row_bytes apart, these included */
    /* The first n_shared of them once more, from a copy that several sequences name: it stays in
     * the cache while they pass. 0 and NULL: they have nothing in common. */
    const void *shared;
    int32_t n_shared;
    float *out;       /* [t, n_heads * d_v], out_stride apart */
    int64_t out_stride;
    float *lse; /* [t, n_heads] ln of the sum of e^(scale * score), for the way back; or NULL */
};

/* A cached row: row_dim values as f32, bf16, or int8 followed by one f32 scale for each 32 values
 * (row_dim rounded up to 32; scale = max|x| / 127). Always a multiple of 4 bytes. */
int64_t kv_row_bytes(enum dtype row_dtype, int32_t row_dim);

enum rope_pairs { ROPE_HALF, ROPE_INTERLEAVED }; /* pairs (i, i + d/2) or (2i, 2i + 1) */

/* ---- Backward -------------------------------------------------------------------------------- */

/* One product of gemm_nn or gemm_tn; the members as those say. All f32, no pointer is written but
 * out, which may not overlap any input or other out. */
struct gemm_job {
    const float *a;        /* [t, r], a_stride apart */
    const float *b;        /* gemm_nn [r, k], gemm_tn [t, k]; b_stride apart */
    float *out;            /* gemm_nn [t, k], gemm_tn [r, k]; out_stride apart */
    int64_t a_stride, b_stride, out_stride;
    const int32_t *a_rows; /* row i of a is a[a_rows[i]] (an expert's tokens); NULL: a[i] */
    const int32_t *b_rows; /* the same for b */
    int64_t n_rows;        /* t; 0 is allowed */
    int32_t n_out, n_in;   /* r, k */
    bool accumulate;       /* gemm_nn: starts from the values in out, else from 0 */
    bool bf16;             /* a and b are rounded to bf16 and summed as cpu/bf16_rows.h says */
};

/* A sequence that starts at position 0, as a struct attend_seq with f32 rows; or the end of one,
 * behind n_past rows that others may share. */
struct attend_backward_seq {
    const float *q;    /* [t, n_heads * d_k], q_stride apart */
    const float *rows; /* [n_past + t, row_dim], row_stride apart */
    const float *out;  /* [t, n_heads * d_v], what attend gave; out_stride apart */
    const float *lse;  /* [t, n_heads] the same */
    const float *dout; /* [t, n_heads * d_v], dout_stride apart */
    /* Neither may overlap anything else here. */
    float *dq;    /* [t, n_heads * d_k], written; dq_stride apart */
    float *drows; /* [n_past + t, row_dim], added to; drow_stride apart */
    int64_t q_stride, row_stride, out_stride, dout_stride, dq_stride, drow_stride;
    int32_t n_rows; /* t */
    int32_t n_past; /* rows in front of the first query */
};

/* AdamW with f32 moments (Loshchilov & Hutter 2019), g = scale * grad, each operation rounded:
 *   m += rest1 * (g - m)    v = beta2 * v + rest2 * g * g
 *   w = w * shrink - step * m / (sqrt(v) / root2 + eps) */
struct adamw_step {
    float scale, rest1, beta2, rest2, step, root2, eps;
    float shrink; /* of pieces that decay; else 1 */
};
struct adamw_piece {
    float *w, *m, *v; /* [n] */
    const float *grad;
    int64_t n;
    bool decay;
};

/* ---- The table ------------------------------------------------------------------------------- */

/* Inner loops of one instruction set, in cpu/matmul_rows.h, vector_rows.h and attention_rows.h. */
struct matmul_rows;
struct vector_rows;
struct attention_rows;
struct backward_rows; /* cpu/backward_rows.h */
struct gemm_rows;
struct bf16_rows;

struct kernels {
    char name[32]; /* "avx2": what was chosen, printed by the commands */
    const struct matmul_rows *matmul_rows;
    const struct vector_rows *vector_rows;
    const struct attention_rows *attention_rows;
    const struct backward_rows *backward_rows;
    const struct gemm_rows *gemm_rows;
    const struct bf16_rows *bf16_rows;
    /* Inputs that meet bf16 weights are rounded to bf16, sums are those of cpu/bf16_rows.h:
     * "avx512-bf16", and training in bf16. */
    bool bf16_inputs;

    /* All jobs, in one division of the work among the threads. Consecutive jobs that share x,
     * x_stride, n_rows and k (q, k, v; gate, up) share one rounding of x. Class DOT. MK_EMEMORY
     * when scratch is out. */
    int (*matmul)(struct compute *c, const struct matmul_job *jobs, int32_t n_jobs,
                  struct mk_error *err);

    /* Softmax attention of every row of every sequence with its own past and itself, online over
     * key blocks in order (Milakov & Gimelshein 2018; FlashAttention, Dao et al. 2022). Class EXP.
     */
    int (*attend)(struct compute *c, const struct attend_shape *shape,
                  const struct attend_seq *seqs, int32_t n_seqs, struct mk_error *err);

    /* out[t, c] = x[t, c] * w[c] / sqrt(mean over c of x^2 + eps). out may be x. w may be NULL
     * (ones). Strides apply to rows; a "row" may be a head of QK-norm. Class DOT. */
    void (*rmsnorm)(struct compute *c, float *out, int64_t out_stride, const float *x,
                    int64_t x_stride, const float *w, int64_t n_rows, int32_t n, float eps);

    /* Rotates n_heads vectors of d values, head_stride apart, in each of n_rows rows, in place.
     * table [t, d / 2, 2]: cosine and sine of each pair at the row's position. d even. Class DOT.
     */
    void (*rope)(struct compute *c, float *x, int64_t x_stride, int64_t n_rows, int32_t n_heads,
                 int32_t head_stride, int32_t d, const float *table, enum rope_pairs pairs);

    /* out[t, c] = silu(gate[t, c]) * up[t, c], silu(z) = z / (1 + e^-z). out may be gate or up.
     * Class EXP. */
    void (*silu_mul)(struct compute *c, float *out, int64_t out_stride, const float *gate,
                     const float *up, int64_t stride, int64_t n_rows, int32_t n);

    /* out[t, c] += a * x[t, c]: one rounding, fmaf. Class EXACT. */
    void (*add_scaled)(struct compute *c, float *out, int64_t out_stride, const float *x,
                       int64_t x_stride, float a, int64_t n_rows, int32_t n);

    /* MoE combine: out[t, c] += sum over j of weight[t, j] * y[index[t, j], c], j ascending, one
     * fmaf each. Class EXACT. */
    void (*combine)(struct compute *c, float *out, int64_t out_stride, const float *y,
                    int64_t y_stride, const int32_t *index, const float *weight, int64_t n_rows,
                    int32_t n_used, int32_t n);

    /* Writes f32 rows [t, row_dim] as cached rows, kv_row_bytes apart. bf16: nearest even. Class
     * EXACT. */
    void (*store_rows)(struct compute *c, enum dtype row_dtype, void *rows, const float *x,
                       int64_t x_stride, int64_t n_rows, int32_t row_dim);
    /* The reverse. Class EXACT. */
    void (*load_rows)(struct compute *c, enum dtype row_dtype, const void *rows, float *x,
                      int64_t x_stride, int64_t n_rows, int32_t row_dim);

    /* In place: x[t, i] = e^(x[t, i] - max) / sum. Single rows are summed in one fixed order. Class
     * EXP. */
    void (*softmax)(struct compute *c, float *x, int64_t stride, int64_t n_rows, int32_t n);
    /* log of sum over i of e^x[i], of one row (log-probabilities: x[i] - this). Class EXP. */
    float (*log_sum_exp)(struct compute *c, const float *x, int32_t n);

    /* The backward pass. d* is the gradient of the loss with respect to *; "+=" adds to what is
     * there. Those that return int fail with MK_EMEMORY when scratch is out; what they write is
     * then of no use. rope has no backward of its own: it is rope with the sines of its table
     * negated. */

    /* out[t, k] = sum over r of a[t, r] * b[r, k], r ascending, one fmaf each (dx = dy W). Class
     * EXACT. */
    int (*gemm_nn)(struct compute *c, const struct gemm_job *jobs, int32_t n_jobs,
                   struct mk_error *err);
    /* out[r, k] += sum over t of a[t, r] * b[t, k], t ascending, one fmaf each, starting from the
     * value in out (dW += dy^T x): cutting t into calls, in order, gives the same bits. Class
     * EXACT. */
    int (*gemm_tn)(struct compute *c, const struct gemm_job *jobs, int32_t n_jobs,
                   struct mk_error *err);

    /* The backward of attend: dq and drows from dout. shape->row_dtype is MK_F32. The weights are
     * computed again, P = e^(scale * score - lse); with D = rowsum(dout * out), dS = P * (dout V^T
     * - D) * scale, dq = dS K, dK = dS^T Q, dV = P^T dout (FlashAttention-2, Dao 2023). dK and dV
     * of a key are summed on their own, query heads ascending, in a head queries ascending, and
     * then added to drows, dK first: they may overlap (MLA absorbed). Class EXP on top of the sums
     * of |terms|. */
    int (*attend_backward)(struct compute *c, const struct attend_shape *shape,
                           const struct attend_backward_seq *seqs, int32_t n_seqs,
                           struct mk_error *err);

    /* The backward of rmsnorm, s = 1 / sqrt(mean(x^2) + eps), g = dout * w:
     *   dx[t, c] += s * (g[c] - x[c] * s^2 * mean over c of g * x)
     *   dw[c] += sum over t of dout[t, c] * (x[t, c] * s[t]), t ascending, one fmaf each
     * dw may be NULL (frozen), w too (ones). dx may not overlap the inputs. Class EXACT. */
    int (*rmsnorm_backward)(struct compute *c, float *dx, int64_t dx_stride, float *dw,
                            const float *dout, int64_t dout_stride, const float *x,
                            int64_t x_stride, const float *w, int64_t n_rows, int32_t n, float eps,
                            struct mk_error *err);

    /* s = 1 / (1 + e^-gate): dgate = dout * up * s * (1 + gate * (1 - s)), dup = dout * gate * s.
     * dgate and dup may each be gate, up or dout, but not one another. Class EXACT. */
    void (*silu_mul_backward)(struct compute *c, float *dgate, float *dup, int64_t d_stride,
                              const float *gate, const float *up, int64_t stride,
                              const float *dout, int64_t dout_stride, int64_t n_rows, int32_t n);

    /* Cross entropy of softmax(x[t]) and target[t], in nats, and in place its gradient times
     * scale[t]: loss[t] = log sum e^x[t] - x[t, target], x[t, i] = (p[i] - (i == target)) *
     * scale[t]. target -1: loss 0, gradient 0. n >= 1. Class EXACT; the loss has the bits of
     * log_sum_exp(x[t]) - x[t, target], so that a sampler's log-probability is the trainer's. */
    void (*softmax_xent)(struct compute *c, float *x, int64_t stride, const int32_t *target,
                         const float *scale, float *loss, int64_t n_rows, int32_t n);

    /* p = softmax(x): dx[t, i] = p[i] * (dp[i] - sum over i of p * dp). dx may be p or dp. Class
     * EXACT. */
    void (*softmax_backward)(struct compute *c, float *dx, int64_t dx_stride, const float *p,
                             int64_t p_stride, const float *dp, int64_t dp_stride, int64_t n_rows,
                             int32_t n);

    /* The backward of combine: dy[index[t, j], c] = weight[t, j] * dout[t, c]; dweight[t, j] = sum
     * over c of y[index[t, j], c] * dout[t, c]. No index may occur twice; rows of dy that none
     * names keep their values. y and dweight may both be NULL. dy may be y. Class EXACT. */
    void (*combine_backward)(struct compute *c, float *dy, int64_t dy_stride, float *dweight,
                             const float *y, int64_t y_stride, const int32_t *index,
                             const float *weight, const float *dout, int64_t dout_stride,
                             int64_t n_rows, int32_t n_used, int32_t n);

    /* One step of the optimiser over all pieces. Class EXACT. */
    void (*adamw)(struct compute *c, const struct adamw_step *step,
                  const struct adamw_piece *pieces, int64_t n_pieces);

    /* de[id[t], c] += dx[t, c], t ascending. Class EXACT. */
    void (*embed_backward)(struct compute *c, float *de, int64_t de_stride, const int32_t *id,
                           const float *dx, int64_t dx_stride, int64_t n_rows, int32_t n);
};

/* Name of the first operation that the table lacks, or NULL: a device that lacks one is a start-up
 * error. */
const char *kernels_missing(const struct kernels *k);

/* Each overwrites what it has. The caller has asked cpu_features. */
void kernels_fill_ref(struct kernels *k);
void kernels_fill_avx2(struct kernels *k);
void kernels_fill_avx512(struct kernels *k);

#endif
