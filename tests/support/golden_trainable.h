/* golden_trainable.h: a golden model with gradients, ready for a pass. Failures end the test. */
#ifndef MK_TESTS_GOLDEN_TRAINABLE_H
#define MK_TESTS_GOLDEN_TRAINABLE_H

#include "train/pass.h"

struct golden_trainable {
    struct params params;
    struct model model; /* packed of them */
    struct compute compute;
    struct arena memory; /* of a pass */
};
/* name: of a folder of tests/golden/models. MTP blocks where the options have them. */
void golden_trainable_open(struct golden_trainable *g, const char *name,
                           const struct model_options *o, int threads);
void golden_trainable_close(struct golden_trainable *g);

/* seqs[n] in passes of n_at_once each, gradients joined; the results' sums are added to r. */
void golden_trainable_run(struct golden_trainable *g, const struct train_seq *seqs, int32_t n,
                          int32_t n_at_once, const struct pass_options *o, struct pass_result *r);

#endif
