/* speed.h: how well a run uses the machine: its arithmetic beside the most that one large product
 * of matrices of the same type reaches here. */
#ifndef MK_TRAIN_SPEED_H
#define MK_TRAIN_SPEED_H

#include "kernels/kernels.h"
#include "train/params.h"

/* Multiplications and additions that learning from one token takes, as everyone counts them: 6 for
 * each parameter that it is multiplied with (4 where that is frozen: no gradient of its own). A
 * lookup in the embedding is none, the head counts once more for each block of MTP; attention's
 * scores are left out. */
double speed_token_ops(const struct params *p);
/* Operations a second of the products of c, with weights of this type (MK_F32, MK_BF16,
 * MK_F8_E4M3): measured for some hundredths of a second, the best of several. */
#define SPEED_PEAK_BYTES ((uint64_t)9 << 20) /* that it takes, and gives back */
int speed_peak(struct compute *c, enum dtype type, double *ops, struct mk_error *err);

#endif
