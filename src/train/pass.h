/* pass.h: one forward and backward pass over a micro-batch: the loss, and gradients added to what
 * the parameters have already.
 *
 * Every sequence is a document (or a piece of one) that starts at position 0 and sees itself
 * alone: that is the document mask. Or it is one of several that go on behind the same beginning,
 * which is a sequence of its own in front of them and computed once: answers to one question.
 *
 * The forward pass is model/'s own. Sums over tokens run in the order of the sequences and continue
 * from the values in the gradients, so cutting a step into passes changes no bit
 * (docs/numerics.md). */
#ifndef MK_TRAIN_PASS_H
#define MK_TRAIN_PASS_H

#include "model/forward.h"
#include "train/balance.h"
#include "train/divergence.h"
#include "train/params.h"

/* What a reward model makes of a sequence (reward.h). */
struct seq_score {
    int32_t at;   /* the token whose hidden state is scored */
    double value; /* out */
    double pull;  /* dloss / dvalue: written by struct pass_options' weigh */
};

/* What teachers say of a sequence (teachers.h): a row for each of its targets, in order. */
struct teacher_rows {
    int32_t k;
    const int32_t *ids; /* [n_targets, k] or NULL: all tokens */
    const float *logp;  /* [n_targets, k] */
    const float *rest;  /* [n_targets] with ids */
};

/* What sequences with teacher_rows learn: (1 - weight) cross entropy + weight T^2 divergence. The
 * square keeps the size of gradients when the temperature changes (Hinton et al. 2015). */
struct distill_options {
    struct divergence divergence;
    double weight;
    int32_t n_vocab; /* tokens that both know: 0 .. n_vocab - 1 */
};

struct train_seq {
    const int32_t *ids;     /* [n_ids] */
    const int32_t *targets; /* [n_ids] the token after each; -1: nothing to learn there */
    const float *weight;    /* [n_ids] of each target's loss, or NULL: 1 */
    float *loss;            /* [n_ids] out: cross entropy in nats, 0 without target; or NULL */
    int32_t n_ids;
    /* So many sequences before this one in the batch is the one that it goes on behind; 0: it
     * starts anew. They are of one pass; not with MTP. */
    int32_t behind;
    bool keep_all; /* its choices of experts are not dropped */
    /* Replay of a rollout: the experts that every token goes to, [n_ids, n_layers, n_experts_used],
     * and the ids that could be drawn behind it, [n_ids, (n_vocab + 31) / 32] bits; what is no
     * target's row is not read. NULL: the router's own; all. */
    const int32_t *experts;
    const uint32_t *sets;
    struct seq_score *score; /* of passes that score; else NULL or not looked at */
    const struct teacher_rows *teacher; /* or NULL */
};

struct pass_options {
    /* What each target's loss counts for: 1 / number of targets of the whole step. */
    double scale;
    double mtp_weight; /* lambda of the MTP losses, divided by their number (V3 report, eq. 25) */
    struct balance_options balance;
    /* Of intermediate values kept from the forward pass, see pass_keep; the rest is computed again
     * in the backward pass. 0: all of it. */
    uint64_t keep_bytes;
    bool forward_only; /* losses alone */
    bool trunk_only;   /* MTP blocks are left alone */
    bool score;        /* sequences are scored, their targets are not predicted */
    const struct distill_options *distill; /* of sequences with teachers; else not looked at */
    /* As in struct forward_keep, of all rows; or NULL. */
    int32_t *experts;
    const int32_t *forced_experts;
    struct capacity capacity;
    /* Called when the losses of all sequences' targets, or their scores, are there and no gradient
     * is yet: writes the weights (or pulls) of the sequences, which may depend on what was lost on
     * others of the pass. NULL: the weights are there already. */
    void (*weigh)(void *user, const struct train_seq *seqs, int32_t n_seqs);
    void *weigh_user;
};

/* A pass adds to what is there, sequence by sequence: the sums of a step do not depend on how it is
 * cut either. Start from zero. */
struct pass_result {
    double loss;                     /* sum of weight x what is learned over all targets */
    double divergence;               /* the same of the divergence alone, in nats */
    double mtp_loss[MK_MAX_STREAMS]; /* the same of each MTP block */
    int64_t n_targets, n_rows;
    double *balance_loss;   /* [n_layers + n_mtp] or NULL: as it counts in the objective */
    int64_t *expert_tokens; /* [n_layers + n_mtp, n_experts] or NULL: choices, dropped ones too */
    int64_t *dropped;       /* [n_layers + n_mtp] or NULL: choices */
};

/* `m` is params_pack's. memory is reset. Arrays of r are the caller's. */
int pass_run(const struct model *m, struct params *p, struct compute *c, struct arena *memory,
             const struct train_seq *seqs, int32_t n_seqs, const struct pass_options *o,
             struct pass_result *r, struct mk_error *err);

/* How much of each block is kept of a pass of n_rows within `room` bytes, and the bytes that are:
 * first as many lean blocks as fit, from the last one, with which backward begins; what is left
 * makes them whole. keep [n_layers + n_mtp] or NULL; *all: every block is whole. */
uint64_t pass_keep(const struct model *m, int64_t n_rows, uint64_t room, enum block_keep *keep,
                   bool *all);

#endif
