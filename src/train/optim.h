/* optim.h: from gradients to new weights: AdamW, and Muon for the matrices inside the blocks.
 *
 * AdamW (Loshchilov & Hutter 2019) as torch.optim.AdamW computes it. With Muon (Jordan et al. 2024;
 * muon.h) embedding, head, routers, norms and biases stay with AdamW. Moments are f32, or bf16 as
 * V3 keeps them (V3 report, section 3.3.1). Nothing depends on the number of threads. */
#ifndef MK_TRAIN_OPTIM_H
#define MK_TRAIN_OPTIM_H

#include "kernels/kernels.h"
#include "train/muon.h"
#include "train/params.h"

enum optim_kind { OPTIM_ADAMW, OPTIM_MUON };

struct optim_options {
    enum optim_kind kind;
    double beta1, beta2, eps;
    double weight_decay; /* of matrices; norms and biases have none */
    double clip;         /* largest norm of all gradients together; 0: any */
    bool bf16_moments;
    struct muon_options muon;
    double muon_lr; /* Muon's learning rate as a multiple of AdamW's */
};
/* V3's: AdamW, 0.9, 0.95, 1e-8, weight decay 0.1, clip 1. */
struct optim_options optim_defaults(void);

struct optim_tensor {
    struct param *p;
    void *m, *v; /* [n] of the moments' type; v is NULL with Muon, whose momentum is m */
    bool muon, decay;
};

struct optim {
    struct optim_options o;
    struct optim_tensor *items; /* of every parameter that has a gradient */
    int64_t n_items;
    struct optim_chunk *chunks; /* pieces of equal size that threads take */
    int64_t n_chunks;
    double *partial;            /* [n_chunks] */
    struct adamw_piece *pieces; /* [n_pieces] */
    int64_t n_pieces;
    int64_t step;    /* taken so far */
    struct arena memory;
};

/* Moments of everything that has a gradient, zero. `p` must outlive it. */
int optim_init(struct optim *op, struct params *p, const struct optim_options *o,
               struct mk_error *err);
void optim_release(struct optim *op);
/* Norm of all gradients together; not finite when one is not. */
double optim_norm(struct optim *op, struct exec *ex);
/* One step. norm: optim_norm's, clipped here as torch.nn.utils.clip_grad_norm_ does. */
int optim_step(struct optim *op, struct compute *c, double lr, double norm, struct mk_error *err);
/* Bytes of one moment of n values. */
uint64_t optim_moment_bytes(const struct optim *op, int64_t n);

#endif
