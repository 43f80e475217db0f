/* dequant.h: rows of weights, as they lie in a file, to float.
 *
 * This is the plain definition of what the bits of every number format mean; kernels are checked
 * against it. Bit-equal to gguf-py's gguf.quants.dequantize (tests/golden/quants).
 * docs/formats.md draws the blocks. */
#ifndef MK_TENSOR_DEQUANT_H
#define MK_TENSOR_DEQUANT_H

#include "tensor/dtype.h"

/* out[n] = the values of n / block blocks at `blocks`, which need no alignment. F8_E4M3 gives the
 * stored values: their 128x128 scales are a tensor of their own. Returns 0, or MK_EINVAL (and
 * writes nothing) when n is no whole number of blocks or the type is an integer or f64. */
int dequantise_row(enum dtype type, const void *blocks, int64_t n, float *out);

#endif
