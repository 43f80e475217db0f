/* dequant.c: which function reads a block of which type, and the formats without blocks. */
#include "tensor/dequant.h"

#include <string.h>

#include "minke.h"
#include "tensor/dequant_blocks.h"

static dequant_block_fn *const block_functions[MK_N_DTYPES] = {
    [MK_Q8_0] = dequant_q8_0,
    [MK_Q4_0] = dequant_q4_0,
    [MK_Q4_1] = dequant_q4_1,
    [MK_Q5_0] = dequant_q5_0,
    [MK_Q5_1] = dequant_q5_1,
    [MK_Q2_K] = dequant_q2_k,
    [MK_Q3_K] = dequant_q3_k,
    [MK_Q4_K] = dequant_q4_k,
    [MK_Q5_K] = dequant_q5_k,
    [MK_Q6_K] = dequant_q6_k,
    [MK_IQ4_NL] = dequant_iq4_nl,
    [MK_IQ4_XS] = dequant_iq4_xs,
};

static int dequantise_plain(enum dtype type, const unsigned char *p, int64_t n, float *out)
{
    switch (type) {
    case MK_F32:
        memcpy(out, p, (size_t)n * sizeof *out);
        return 0;
    case MK_F16:
        for (int64_t i = 0; i < n; i++)
            out[i] = read_f16(p + 2 * i);
        return 0;
    case MK_BF16:
        for (int64_t i = 0; i < n; i++)
            out[i] = bf16_to_f32(read_u16(p + 2 * i));
        return 0;
    case MK_F8_E4M3:
        for (int64_t i = 0; i < n; i++)
            out[i] = e4m3_to_f32(p[i]);
        return 0;
    default:
        return MK_EINVAL;
    }
}

int dequantise_row(enum dtype type, const void *blocks, int64_t n, float *out)
{
    dequant_block_fn *read_block = block_functions[type];
    const struct dtype_info *info = dtype_info(type);
    const unsigned char *p = blocks;

    if (n < 0 || n % info->block)
        return MK_EINVAL;
    if (!read_block)
        return dequantise_plain(type, p, n, out);
    for (int64_t i = 0; i < n; i += info->block, p += info->bytes)
        read_block(p, out + i);
    return 0;
}
