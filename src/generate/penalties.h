/* penalties.h: what is added to and taken from logits before a token is chosen.
 *
 * In this order, each as its own documentation has it:
 *   bias        x[id] += bias
 *   repetition  x = x > 0 ? x / r : x * r, once for each distinct token of the window, the prompt's
 *               included (CTRL, Keskar et al. 2019, with the sign rule of transformers)
 *   frequency   x -= f * n, n how often the token stands in the counted part of the window
 *   presence    x -= p, where n > 0 */
#ifndef MK_GENERATE_PENALTIES_H
#define MK_GENERATE_PENALTIES_H

#include "base/error.h"

/* The tokens before the one to be sampled. penalty_window keeps the last of them. */
struct past {
    const int32_t *ids; /* [n_ids] borrowed */
    int32_t n_ids;
    /* Frequency and presence count from this index on: the prompt's length leaves the prompt out,
     * as OpenAI does; 0 counts it too. */
    int32_t counted_from;
};

/* Changes logits [v] in place. counts [v]: all zero before and after, error or not. Ids of `past`
 * outside of the vocabulary are MK_EINVAL; `o` has passed sampling_check. */
int penalties_apply(float *logits, int32_t n_vocab, int32_t *counts, const struct past *past,
                    const struct mk_sampling *o, struct mk_error *err);

#endif
