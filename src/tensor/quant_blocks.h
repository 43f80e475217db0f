/* quant_blocks.h: one block of floats to each format that can be written; for quant.c. */
#ifndef MK_TENSOR_QUANT_BLOCKS_H
#define MK_TENSOR_QUANT_BLOCKS_H

#include "tensor/dtype.h"

/* x [block values of the type], finite. false when a scale does not fit in float16. */
typedef bool quant_block_fn(const float *x, unsigned char *block);

quant_block_fn quant_q8_0, quant_q4_0, quant_q4_1, quant_q4_k, quant_q6_k;

/* Stores a scale and tells whether it is finite. */
static inline bool write_f16(unsigned char *p, float f)
{
    uint16_t h = f32_to_f16(f);

    p[0] = (unsigned char)h;
    p[1] = (unsigned char)(h >> 8);
    return (h & 0x7c00) != 0x7c00;
}

#endif
