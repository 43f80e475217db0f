/* capacity.h: V2's device-level dropping of tokens while training (V2 report, 2.2.4; deepseek.md
 * 3.6). V3 and V4 drop none.
 *
 * Experts are divided evenly among devices. A device has room for `factor` times the mean number of
 * choices; beyond it those with the lowest scores are dropped: they get weight 0 and no gradient.
 * V2 counts over what a device holds of a batch, we over one sequence: a token's numbers may not
 * depend on how a step is cut. Dropped rows are computed all the same; it is the effect on learning
 * that is of interest here. */
#ifndef MK_MODEL_CAPACITY_H
#define MK_MODEL_CAPACITY_H

#include "base/arena.h"
#include "formats/arch.h"
#include "model/saved.h"

struct capacity {
    double factor; /* 0: nothing is dropped */
    int32_t n_devices;
};

/* One sequence: logits [n_rows, e]; index, weight, dropped [n_rows, used]. A budget is rounded up.
 * Among equal scores the later token goes. */
int capacity_drop(const struct capacity *c, const struct arch *a, const float *logits,
                  int64_t n_rows, const int32_t *index, float *weight, bool *dropped,
                  struct arena *memory, struct mk_error *err);

#endif
