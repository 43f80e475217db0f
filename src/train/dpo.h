/* dpo.h: learning from pairs of answers of which one is preferred: direct preference optimisation
 * (Rafailov et al. 2023, eq. 7), with label smoothing (a share of the pairs may be the wrong way
 * round) and, as RPO has it, the mean loss of the chosen answer beside.
 *
 *     z    = beta ((log p(chosen) - log r(chosen)) - (log p(rejected) - log r(rejected)))
 *     loss = -(1 - s) log sigmoid(z) - s log sigmoid(-z) + sft * (-log p(chosen) / its tokens)
 *
 * p is the model, r the reference: the model as it was when the run began. A log-probability is the
 * sum over the tokens that are learned. What a pair asks of its tokens is one weight for each
 * answer: so the passes of training (pass.h) do the rest. */
#ifndef MK_TRAIN_DPO_H
#define MK_TRAIN_DPO_H

#include "train/batch.h"

struct dpo_options {
    double beta, label_smoothing, sft;
};

/* Sums over pairs. */
struct dpo_sums {
    int64_t n_pairs, n_right;  /* right: z > 0 */
    double loss, margin;       /* margin: z */
    double chosen, rejected;   /* log-probabilities under the model */
};

/* Of a sequence's learned tokens, from its losses. */
double dpo_log_probability(const struct train_seq *s);

/* The pairs of one pass. */
struct dpo_pass {
    const struct dpo_options *o;
    const struct batch *b;
    struct dpo_sums *sums; /* += */
};
/* A struct pass_options' weigh; user is a struct dpo_pass. Writes the weights and the pairs'
 * losses. */
void dpo_weigh(void *user, const struct train_seq *seqs, int32_t n_seqs);

#endif
