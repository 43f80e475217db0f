/* reward.h: a reward model: one number for a conversation, learned from pairs of answers of which
 * one is preferred (Bradley and Terry 1952; Ouyang et al. 2022, eq. 1).
 *
 *     score(x) = w . h(x)           h [d_model]: hidden state of the answer's last token behind the
 *                                   final norm; w [1, d_model]: score.weight
 *     z        = score(chosen) - score(rejected)
 *     loss     = -log sigmoid(z) + centre * (score(chosen) + score(rejected))^2
 *
 * The loss knows differences alone; `centre` holds the scores' mean at 0 (Eisenstein et al. 2023).
 * The head is a weight like any other, so it may learn alone or with the body (model.learn); it is
 * 0 when the run begins, and so are all margins. */
#ifndef MK_TRAIN_REWARD_H
#define MK_TRAIN_REWARD_H

#include "train/backward.h"
#include "train/dpo.h"

struct reward_options {
    bool on; /* pairs teach a head to score, instead of the model to answer */
    double centre;
};

/* Adds score.weight, all 0, to a model that has none. Before gradients are taken. */
int reward_add_head(struct params *p, struct mk_error *err);

/* The pairs of one pass. */
struct reward_pass {
    const struct reward_options *o;
    const struct batch *b;
    struct dpo_sums *sums; /* +=; chosen and rejected are scores here */
};
/* A struct pass_options' weigh; user is a struct reward_pass. Writes what each score pulls, and the
 * pairs' losses. */
void reward_weigh(void *user, const struct train_seq *seqs, int32_t n_seqs);

/* ---- Parts of pass.c ------------------------------------------------------------------------ */

/* The scores of a pass's sequences. normed [t, d_model] behind the final norm. */
int reward_scores(struct backward *b, const struct train_seq *seqs, const float *normed,
                  struct mk_error *err);
/* dnormed += and the head's gradient +=, both scale times the scores' pulls. */
void reward_backward(struct backward *b, const struct train_seq *seqs, const float *normed,
                     double scale, float *dnormed);

#endif
