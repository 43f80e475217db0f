/* golden_gradients.h: gradients against those of PyTorch (tools/golden/gradients.py). */
#ifndef MK_TESTS_GOLDEN_GRADIENTS_H
#define MK_TESTS_GOLDEN_GRADIENTS_H

#include <stdio.h>

#include "train/params.h"

/* The file's loss is `loss`, every line of it is a gradient of p within 1e-4 of that tensor's own
 * norm, and every gradient has its line. Failures end the test. */
void golden_gradients_check(const struct params *p, const char *path, double loss);

/* The same of the rest of a file, without a loss, within `bound` of each tensor's norm. */
void golden_gradients_read(FILE *in, const struct params *p, double bound, const char *path);

/* The same, with a word to be said of each: how far it is away, as a share of its norm. */
typedef void golden_gradient_fn(void *user, const struct param *q, double away);
void golden_gradients_each(FILE *in, const struct params *p, golden_gradient_fn *each, void *user,
                           const char *path);

#endif
