/* lora.h: low-rank adaptation (Hu et al. 2021): of W + s B A, s = alpha / rank, A [rank, in] and
 * B [out, rank] alone learn.
 *
 * The forward pass takes the merged matrix, packed anew after every step like any weight that
 * learns: an adapted model runs on the code that serves, and B = 0, where training begins, is the
 * base to the bit. The backward pass goes through the low rank and never forms dW:
 *
 *   dA += (dy s B)^T x      dB += dy^T (x s A^T)
 *
 * Like dW these are sums over tokens in their order, so that a step may be cut into passes at will.
 *
 * Cost of an adapted matrix: base and merged weights, 8 bytes a value, where full training has 16
 * (weight, gradient, two moments); of the three products of a step (forward, dx, dW) the third
 * shrinks to 2 rank (1 / in + 1 / out) of itself; merging is worth `rank` tokens of one product.
 *
 * A and B are parameters like the others (optimiser, clipping, moments, EMA, checkpoint), named as
 * PEFT names them; they are no weights of the model. */
#ifndef MK_TRAIN_LORA_H
#define MK_TRAIN_LORA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/exec.h"

struct backward;
struct linear;
struct param;
struct params;

/* Strings are borrowed for as long as the params live. */
struct lora_options {
    int32_t rank; /* 0: none */
    double alpha;
    const char *targets; /* names of weights with * and ?, parted by commas */
    const char *base;    /* what adapter_config.json names as its model */
    uint64_t seed;
};

/* Of one adapted matrix. */
struct lora {
    struct param *a, *b;
    const float *base; /* [out, in] */
    float scale;
    float *turned; /* [in, rank] s A^T, and */
    float *scaled; /* [out, rank] s B: as lora_merge left them */
};

/* Freezes every weight and gives each linear layer whose name matches an adapter: A uniform within
 * 1 / sqrt(in) as Hu's and PEFT's code draws it, from seed and name; B zero. Before
 * params_take_gradients. MK_EINVAL when nothing matches. */
int lora_init(struct params *p, const struct lora_options *o, struct mk_error *err);
/* Merged weights from base, A and B; after every change of these. Nothing without adapters. */
void lora_merge(struct params *p, struct exec *ex);
/* dA and dB of jobs whose parameters are adapted and whose x is there. */
int lora_backward(struct backward *b, const struct linear *jobs, int32_t n_jobs,
                  struct mk_error *err);

/* PEFT's folder (formats/adapter.h); dir does not exist. */
int lora_write(const struct params *p, const char *dir, struct mk_error *err);
/* A and B from there: exactly the adapters that `p` has. */
int lora_read(struct params *p, const char *dir, struct mk_error *err);

#endif
