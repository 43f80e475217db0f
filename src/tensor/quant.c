/* quant.c: which function writes a block of which type, the formats without blocks, and the old
 * block formats. */
#include "tensor/quant.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "minke.h"
#include "tensor/quant_blocks.h"

#define BLOCK 32

static quant_block_fn *const block_functions[MK_N_DTYPES] = {
    [MK_Q8_0] = quant_q8_0, [MK_Q4_0] = quant_q4_0, [MK_Q4_1] = quant_q4_1,
    [MK_Q4_K] = quant_q4_k, [MK_Q6_K] = quant_q6_k,
};

bool quantise_can(enum dtype type)
{
    return type == MK_F32 || type == MK_F16 || type == MK_BF16 || type == MK_F8_E4M3 ||
           block_functions[type];
}

/* 1 / d, or 0 where that is no number. */
static float inverse(float d)
{
    return fabsf(d) > 1 / FLT_MAX ? 1 / d : 0;
}

bool quant_q8_0(const float *x, unsigned char *b)
{
    float largest = 0, d, id;

    for (int i = 0; i < BLOCK; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    d = largest / 127;
    id = inverse(d);
    for (int i = 0; i < BLOCK; i++)
        b[2 + i] = (unsigned char)(int8_t)roundf(x[i] * id);
    return write_f16(b, d);
}

/* The value of largest magnitude becomes -8, the one level without a mirror image. */
bool quant_q4_0(const float *x, unsigned char *b)
{
    float extreme = 0, d, id;

    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > fabsf(extreme))
            extreme = x[i];
    d = extreme / -8;
    id = inverse(d);
    for (int i = 0; i < BLOCK / 2; i++) {
        int low = (int)(x[i] * id + 8.5f), high = (int)(x[i + BLOCK / 2] * id + 8.5f);

        b[2 + i] = (unsigned char)((low > 15 ? 15 : low) | (high > 15 ? 15 : high) << 4);
    }
    return write_f16(b, d);
}

bool quant_q4_1(const float *x, unsigned char *b)
{
    float min = x[0], max = x[0], d, id;

    for (int i = 1; i < BLOCK; i++) {
        min = fminf(min, x[i]);
        max = fmaxf(max, x[i]);
    }
    d = (max - min) / 15;
    if (!isfinite(d) || !write_f16(b, d) || !write_f16(b + 2, min))
        return false;
    id = inverse(d);
    for (int i = 0; i < BLOCK / 2; i++) {
        int low = (int)((x[i] - min) * id + 0.5f);
        int high = (int)((x[i + BLOCK / 2] - min) * id + 0.5f);

        b[4 + i] = (unsigned char)((low > 15 ? 15 : low) | (high > 15 ? 15 : high) << 4);
    }
    return true;
}

static void write_u16(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static int quantise_plain(enum dtype type, const float *x, int64_t n, unsigned char *p)
{
    switch (type) {
    case MK_F32:
        if (n)
            memcpy(p, x, (size_t)n * sizeof *x);
        return 0;
    case MK_F16:
        for (int64_t i = 0; i < n; i++)
            write_u16(p + 2 * i, f32_to_f16(x[i]));
        return 0;
    case MK_BF16:
        for (int64_t i = 0; i < n; i++)
            write_u16(p + 2 * i, f32_to_bf16(x[i]));
        return 0;
    case MK_F8_E4M3:
        for (int64_t i = 0; i < n; i++)
            p[i] = f32_to_e4m3(x[i]);
        return 0;
    default:
        return MK_EINVAL;
    }
}

int quantise_row(enum dtype type, const float *x, int64_t n, void *blocks)
{
    quant_block_fn *write_block = block_functions[type];
    const struct dtype_info *info = dtype_info(type);
    unsigned char *p = blocks;

    if (n < 0 || n % info->block)
        return MK_EINVAL;
    if (!write_block)
        return quantise_plain(type, x, n, p);
    for (int64_t i = 0; i < n; i += info->block, p += info->bytes) {
        for (int k = 0; k < info->block; k++)
            if (!isfinite(x[i + k]))
                return MK_EINVAL;
        if (!write_block(x + i, p))
            return MK_EINVAL;
    }
    return 0;
}
