/* sampler.h: one token from one row of logits.
 *
 *   1. logit bias, repetition, frequency and presence penalty      penalties.h
 *   2. temperature 0: the largest logit, the lowest id among equals; nothing is drawn
 *   3. top-k, temperature, top-p, min-p, in the order of transformers; each filter sees what the
 *      one before it left                                          filters.h
 *   4. one uniform number u of 53 bits picks the first token, by ascending id, at which the running
 *      sum of the weights passes u times their total
 *
 * u comes from a counter keyed by (seed, sequence, position): the choice depends on the row, the
 * tokens before it, the options and that key, and on nothing else. A sampler is memory for this and
 * keeps no state; one thread at a time. */
#ifndef MK_GENERATE_SAMPLER_H
#define MK_GENERATE_SAMPLER_H

#include "generate/filters.h"
#include "generate/penalties.h"

struct sampler {
    int32_t n_vocab;
    int32_t *counts;        /* [v] zero between calls */
    struct candidates kept; /* after a draw: what it was made from, weights up to a common factor */
    void *memory;           /* owned; all arrays lie in it */
};

/* n_vocab >= 1. 16 bytes a token of the vocabulary. */
int sampler_init(struct sampler *s, int32_t n_vocab, struct mk_error *err);
void sampler_release(struct sampler *s);

/* logits [v], left as they are. position: of the token being sampled. `o` has passed
 * sampling_check. MK_EFORMAT when a logit is NaN, MK_EINVAL when every token is ruled out. */
int sampler_choose(struct sampler *s, const float *logits, const struct past *past,
                   const struct mk_sampling *o, uint64_t sequence, uint64_t position, int32_t *id,
                   struct mk_error *err);

#endif
