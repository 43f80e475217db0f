/* narrow.h: weights in bf16 or FP8 for the products, masters in f32.
 *
 * bf16: every matrix but the routers. FP8: V3's scheme (V3 report, section 3.3; kernels/fp8.h) for
 * the matrices inside the blocks; embedding, head and the projection of MTP are bf16; routers,
 * norms, biases and attention itself f32. Gradients and sums stay f32. */
#ifndef MK_TRAIN_NARROW_H
#define MK_TRAIN_NARROW_H

#include "base/exec.h"
#include "train/params.h"

/* compute: MK_F32, MK_BF16 or MK_F8_E4M3. Takes memory and rounds; the compute that multiplies must
 * round its inputs too (compute_round_inputs). */
int narrow_init(struct params *p, enum dtype compute, struct exec *ex, struct mk_error *err);
/* After every change of the masters, before params_pack. */
void narrow_round(struct params *p, struct exec *ex);

#endif
