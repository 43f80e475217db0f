/* need.h: how much memory a run will take, told before it begins, so that none dies of it at step
 * 300.
 *
 * Weights, gradients and moments are counted. What a pass takes is measured: three small ones are
 * computed, and since its memory is linear in its rows, that of the largest follows. */
#ifndef MK_TRAIN_NEED_H
#define MK_TRAIN_NEED_H

#include "train/trainer.h"

/* Bytes. */
struct need {
    uint64_t weights; /* masters, rounded copies, panels */
    uint64_t gradients;
    uint64_t moments; /* and the mean of weights */
    uint64_t passes;  /* values kept between forward and backward, and in between */
    uint64_t rest;    /* data, vocabulary, the command itself */
};

uint64_t need_total(const struct need *n);
/* Before anything but the masters is there: a lower bound, passes and rest are 0. */
void need_count(struct need *n, const struct params *p, const struct trainer_options *o);
/* After trainer_init. longest: tokens of a sequence; n_batch, n_valid: sequences of a step and of
 * an evaluation; rest: bytes of what the run will hold and does not yet. Gradients are
 * overwritten. */
int need_measure(struct need *n, struct trainer *t, int32_t longest, int64_t n_batch,
                 int64_t n_valid, uint64_t rest, struct mk_error *err);
/* Room for passes in one piece, once it is known that the machine has it: pieces that do not come
 * out even would take more than was told. */
int need_reserve(const struct need *n, struct trainer *t, struct mk_error *err);

#endif
