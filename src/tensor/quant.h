/* quant.h: rows of floats to narrower formats, for `minke convert`.
 *
 * Q8_0, Q4_0 and Q4_1 round as ggml's reference does (bit-equal to gguf-py's quantize). Q4_K and
 * Q6_K search the scale of each group for the least weighted squared error; large weights count
 * more. No calibration data is used. */
#ifndef MK_TENSOR_QUANT_H
#define MK_TENSOR_QUANT_H

#include "tensor/dtype.h"

/* F32, F16, BF16, F8_E4M3, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K. */
bool quantise_can(enum dtype type);
/* blocks = the bytes of n values x[n], as dtype_bytes counts them; blocks needs no alignment. To
 * F8_E4M3 without scale: the caller has divided by it. Returns 0, or MK_EINVAL when n is no whole
 * number of blocks, the type is not one of the above, or a block type meets a value that is not
 * finite or is too large for a float16 scale; blocks may have been written up to there. */
int quantise_row(enum dtype type, const float *x, int64_t n, void *blocks);

#endif
