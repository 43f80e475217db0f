/* low_precision.h: products whose inputs are rounded as training in a narrow type would round them.
 *
 * bf16 weights then meet bf16 inputs (cpu/bf16_rows.h), FP8 weights inputs in FP8 tiles (fp8.h),
 * and what experts send back is bf16; sums stay f32, and f32 weights (the router) meet f32 as
 * before. The bits are the same on every machine. */
#ifndef MK_KERNELS_LOW_PRECISION_H
#define MK_KERNELS_LOW_PRECISION_H

#include "kernels/kernels.h"

/* From now on, for every product of c. Once. */
void compute_round_inputs(struct compute *c);

#endif
