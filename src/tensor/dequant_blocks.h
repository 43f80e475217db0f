/* dequant_blocks.h: one block of each GGUF format to floats; for dequant.c and the tests of it.
 *
 * Multiplications and subtractions are separately rounded and stand in the order of ggml's
 * definition, so that results are the same bits everywhere. Scales are float16, little-endian. */
#ifndef MK_TENSOR_DEQUANT_BLOCKS_H
#define MK_TENSOR_DEQUANT_BLOCKS_H

#include "tensor/dtype.h"

/* out [block values of the type] */
typedef void dequant_block_fn(const unsigned char *block, float *out);

dequant_block_fn dequant_q8_0, dequant_q4_0, dequant_q4_1, dequant_q5_0, dequant_q5_1;
dequant_block_fn dequant_q2_k, dequant_q3_k, dequant_q4_k, dequant_q5_k, dequant_q6_k;
dequant_block_fn dequant_iq4_nl, dequant_iq4_xs;

static inline uint16_t read_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline float read_f16(const unsigned char *p)
{
    return f16_to_f32(read_u16(p));
}

/* 6-bit scale and minimum of the j-th (0..7) group of 32 in the 12 bytes that Q4_K and Q5_K share:
 * low 6 bits of bytes 0-3 scales 0-3, of bytes 4-7 minima 0-3; bytes 8-11 hold the low nibbles of
 * scale and minimum 4-7, whose high 2 bits fill the tops of bytes 0-3 and 4-7. */
static inline void read_k_scale(const unsigned char *s, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6 << 4);
        *min = (s[j + 4] >> 4) | (s[j] >> 6 << 4);
    }
}

#endif
