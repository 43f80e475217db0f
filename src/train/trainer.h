/* trainer.h: one step after the other: draw, forward and backward, clip, update, pack.
 *
 * A trainer's numbers follow from its options, its state and the corpus' state alone. Files, time
 * and the terminal are its caller's. One owner. */
#ifndef MK_TRAIN_TRAINER_H
#define MK_TRAIN_TRAINER_H

#include "train/batch.h"
#include "train/optim.h"
#include "train/reward.h"
#include "train/schedule.h"
#include "train/teachers.h"

struct trainer_options {
    struct optim_options optim;
    struct schedule schedule;
    int32_t batch_first, batch; /* sequences a step, growing over ramp_tokens */
    int64_t ramp_tokens;
    int64_t pass_tokens; /* computed together: memory, not numbers, depends on it */
    uint64_t keep_bytes; /* see struct pass_options */
    /* Of the MTP losses; `late` from late_tokens on unless that is 0 (V3: 0.3, then 0.1). */
    double mtp_weight, mtp_late_weight;
    int64_t mtp_late_tokens;
    struct balance_options balance;
    struct capacity capacity;  /* V2's dropping; while training alone */
    float bias_gamma;          /* speed of the router's bias */
    int64_t bias_until_tokens; /* 0: to the end */
    /* A step is left out when its loss or gradient norm is so many standard deviations above the
     * recent mean; 0: never. */
    double outlier_z;
    double ema; /* weight of the old mean of weights, e.g. 0.999; 0: none is kept */
    struct dpo_options dpo; /* of pairs */
    struct reward_options reward; /* on: what pairs teach instead */
    struct distill_options distill; /* with teachers */
    enum mk_mla mla;
    enum dtype compute; /* MK_F32, or of the products: MK_BF16, MK_F8_E4M3; see narrow.h */
};

/* Mean and variance of recent steps, weights falling by 0.98 a step. */
struct outlier {
    double mean, variance;
    int64_t n;
};

/* All that a resumed run needs beside weights and moments. Plain numbers. */
struct trainer_state {
    int64_t step, tokens; /* seen */
    int64_t n_skipped;
    struct outlier loss, norm;
};

struct trainer {
    struct trainer_options o;
    struct params *params; /* borrowed */
    struct compute *c;     /* borrowed */
    struct teachers *teachers; /* borrowed, set by the caller; NULL: learn from the text alone */
    struct model model;
    struct optim optim;
    struct arena pass_memory, batch_memory;
    struct trainer_state state;
    double *balance_loss;   /* [n_layers + n_mtp] of the last step, or NULL */
    int64_t *expert_tokens; /* [n_layers + n_mtp, n_experts] of the last step, or NULL */
    int64_t *dropped;       /* [n_layers + n_mtp] choices of the last step, or NULL */
    float **ema;            /* [optim.n_items] or NULL */
};

struct step_report {
    int64_t step, tokens; /* after it */
    int64_t n_tokens, n_targets;
    int32_t n_passes;
    double lr, loss, mtp_loss, balance_loss; /* nats a target */
    double divergence;                       /* from teachers, the same */
    double norm;
    bool skipped;
    struct dpo_sums dpo; /* of pairs: `loss` is theirs; see reward.h for a head's */
};

/* What a model makes of text that it was not trained on. */
struct evaluation {
    double loss; /* nats a target; of pairs as in dpo.h */
    struct dpo_sums dpo;
    int32_t n_sources;
    struct mixture_counter sources[MIXTURE_MAX_SOURCES]; /* n_tokens, n_loss and loss_sum of each */
    /* [n_sources, n_layers + n_mtp, n_experts] how often a token of the source was sent to the
     * expert; NULL without experts. Valid until the next step. */
    int64_t *experts;
};

/* p has its gradients. */
int trainer_init(struct trainer *t, struct params *p, struct compute *c,
                 const struct trainer_options *o, struct mk_error *err);
void trainer_release(struct trainer *t);
/* MK_EINVAL when the loss or a gradient is no number: weights are then those before the step. */
int trainer_step(struct trainer *t, struct corpus *corpus, struct step_report *r,
                 struct mk_error *err);
/* The same on a batch that the caller made. scale: what each target's weighted loss counts for;
 * progress: the place in the schedule. The batch's seqs get their losses. */
int trainer_update(struct trainer *t, const struct batch *b, double scale, int64_t progress,
                   struct step_report *r, struct mk_error *err);
/* Losses of a batch under any model of the trainer's shape, nothing else. */
int trainer_losses(struct trainer *t, const struct model *m, const struct batch *b,
                   struct mk_error *err);
/* The first n_sequences of a corpus, always the same ones. */
int trainer_evaluate(struct trainer *t, struct corpus *corpus, int32_t n_sequences,
                     struct evaluation *e, struct mk_error *err);
/* Its loss with the mean of weights; MK_EINVAL when none is kept. */
int trainer_evaluate_ema(struct trainer *t, struct corpus *corpus, int32_t n_sequences,
                         double *loss, struct mk_error *err);
/* Weights and their mean change places, adapters merged; the forward model stays. Twice: nothing.
 */
void trainer_swap_ema(struct trainer *t);
/* The forward model anew, after params were changed from outside. */
int trainer_pack(struct trainer *t, struct mk_error *err);

#endif
