/* logprobs.h: how probable tokens are under the model alone: temperature 1, no filter, no penalty.
 *
 * The log-probability of a token is its logit minus log_sum_exp of the row, as the kernel table
 * computes it in f32, so that training, which uses the same operation, sees the same bits. Rows
 * hold no NaN. Order among equals: the lowest id first. */
#ifndef MK_GENERATE_LOGPROBS_H
#define MK_GENERATE_LOGPROBS_H

#include "kernels/kernels.h"
#include "minke.h"

/* The logarithm of the row's sum of e^logit; what the functions below subtract. logits [v]. */
float logprobs_sum(struct compute *c, const float *logits, int32_t n_vocab);
/* Natural logarithm of the probability of token id, 0 <= id < n_vocab. */
float logprobs_of(const float *logits, float sum, int32_t id);
/* The n most probable tokens, best first: top [n], 0 <= n <= MK_MAX_TOP_LOGPROBS. Returns how many
 * there are: n, or n_vocab when that is less. */
int32_t logprobs_top(const float *logits, int32_t n_vocab, float sum, int32_t n,
                     struct mk_token_logprob *top);
/* 1 for the most probable token, n_vocab for the least. */
int32_t logprobs_rank(const float *logits, int32_t n_vocab, int32_t id);

#endif
