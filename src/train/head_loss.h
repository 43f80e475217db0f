/* head_loss.h: the head and its cross entropy, or its divergence from teachers, forwards and
 * backwards, a few rows at a time: the logits of all positions are never in memory together. Part
 * of pass.c. */
#ifndef MK_TRAIN_HEAD_LOSS_H
#define MK_TRAIN_HEAD_LOSS_H

#include "train/backward.h"
#include "train/pass.h"

struct head_loss {
    struct backward *back;        /* its step has the rows */
    const struct train_seq *seqs; /* of the step */
    int32_t place;                /* 0: the model's own rows, 1 + i: those of MTP block i */
    double scale;                 /* of each row's loss in the objective */
    const float *normed;          /* [t, d_model] after the final norm */
    const struct distill_options *distill; /* of sequences with teachers */
    bool train;
    float *dnormed; /* [t, d_model] += when train */
    /* Results: */
    double loss; /* += weight x what is learned of every target, in nats */
    double divergence; /* += weight x that of every target with teachers */
    int64_t n_targets;
};
int head_loss(struct head_loss *h, struct mk_error *err);

#endif
