/* pack_blocks.c: GGUF blocks as lanes of panel units.
 *
 * Every type goes the same way: the file's block is spread into one byte a quant, in the order of
 * the inputs (layouts: ggml-common.h and docs/formats.md), then the bits are gathered again four
 * inputs at a time, as planes of 4, 2 or 1 bits. The block's own scales keep their bytes. */
#include "kernels/cpu/panel.h"

/* Bits of each input by plane: nibbles of two groups share bytes (256 bytes for 32 inputs of 16
 * lanes), then pairs of bits (128), then single bits (64). Q8_0 has whole bytes. */
static const struct unit_layout layouts[MK_N_DTYPES] = {
    [MK_Q8_0] = {32, 32, 512},          [MK_Q4_0] = {32, 32, 256},
    [MK_Q4_1] = {32, 64, 256},          [MK_Q5_0] = {32, 32, 256 + 64},
    [MK_Q5_1] = {32, 64, 256 + 64},     [MK_IQ4_NL] = {32, 32, 256},
    [MK_Q2_K] = {256, 64 + 256, 128},   [MK_Q3_K] = {256, 32 + 192, 128 + 64},
    [MK_Q4_K] = {256, 64 + 192, 256},   [MK_Q5_K] = {256, 64 + 192, 256 + 64},
    [MK_Q6_K] = {256, 32 + 256, 256 + 128}, [MK_IQ4_XS] = {256, 32 + 32 + 64, 256},
};

const struct unit_layout *unit_layout(enum dtype type)
{
    return &layouts[type];
}

/* ---- Gathering: v [32], one quant a byte, into the planes of a part ---- */

static void put_bytes(unsigned char *plane, int32_t lane, const uint8_t *v)
{
    for (int g = 0; g < 8; g++)
        memcpy(plane + (g * MK_PANEL + lane) * 4, v + 4 * g, 4);
}

/* Groups 2 p and 2 p + 1 share the 64 bytes of p: low and high nibble. */
static void put_nibbles(unsigned char *plane, int32_t lane, const uint8_t *v)
{
    for (int p = 0; p < 4; p++)
        store32(plane + (p * MK_PANEL + lane) * 4,
                (load32(v + 8 * p) & 0x0f0f0f0fu) | (load32(v + 8 * p + 4) & 0x0f0f0f0fu) << 4);
}

/* Groups 4 h .. 4 h + 3 share the 64 bytes of h, the first in the lowest bits. */
static void put_pairs(unsigned char *plane, int32_t lane, const uint8_t *v, int shift)
{
    for (int h = 0; h < 2; h++) {
        uint32_t bits = 0;

        for (int i = 0; i < 4; i++)
            bits |= (load32(v + 16 * h + 4 * i) >> shift & 0x03030303u) << 2 * i;
        store32(plane + (h * MK_PANEL + lane) * 4, bits);
    }
}

/* All eight groups share 64 bytes, group g in bit g. */
static void put_bits(unsigned char *plane, int32_t lane, const uint8_t *v, int shift)
{
    uint32_t bits = 0;

    for (int g = 0; g < 8; g++)
        bits |= (load32(v + 4 * g) >> shift & 0x01010101u) << g;
    store32(plane + lane * 4, bits);
}

/* ---- Spreading: the file's quants into v, one byte each ---- */

static void spread_nibbles(uint8_t *v, const unsigned char *qs)
{
    for (int i = 0; i < 16; i++) {
        v[i] = qs[i] & 15;
        v[16 + i] = qs[i] >> 4;
    }
}

static void spread_q5(uint8_t *v, const unsigned char *qh, const unsigned char *qs)
{
    uint32_t high = load32(qh);

    spread_nibbles(v, qs);
    for (int i = 0; i < 32; i++)
        v[i] |= (uint8_t)((high >> i & 1) << 4);
}

static void spread_q2_k(uint8_t *v, const unsigned char *qs)
{
    for (int n = 0; n < 2; n++)
        for (int j = 0; j < 4; j++)
            for (int i = 0; i < 32; i++)
                v[128 * n + 32 * j + i] = qs[32 * n + i] >> 2 * j & 3;
}

static void spread_q3_k(uint8_t *v, const unsigned char *hmask, const unsigned char *qs)
{
    spread_q2_k(v, qs);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            v[32 * j + i] |= (uint8_t)((hmask[i] >> j & 1) << 2);
}

static void spread_q4_k(uint8_t *v, const unsigned char *qs)
{
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 32; i++) {
            v[64 * j + i] = qs[32 * j + i] & 15;
            v[64 * j + 32 + i] = qs[32 * j + i] >> 4;
        }
}

static void spread_q5_k(uint8_t *v, const unsigned char *qh, const unsigned char *qs)
{
    spread_q4_k(v, qs);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            v[32 * j + i] |= (uint8_t)((qh[i] >> j & 1) << 4);
}

static void spread_q6_k(uint8_t *v, const unsigned char *ql, const unsigned char *qh)
{
    for (int n = 0; n < 2; n++, v += 128, ql += 64, qh += 32)
        for (int i = 0; i < 32; i++) {
            v[i] = (uint8_t)((ql[i] & 15) | (qh[i] & 3) << 4);
            v[32 + i] = (uint8_t)((ql[32 + i] & 15) | (qh[i] >> 2 & 3) << 4);
            v[64 + i] = (uint8_t)(ql[i] >> 4 | (qh[i] >> 4 & 3) << 4);
            v[96 + i] = (uint8_t)(ql[32 + i] >> 4 | qh[i] >> 6 << 4);
        }
}

static void spread_iq4_xs(uint8_t *v, const unsigned char *qs)
{
    for (int j = 0; j < 8; j++)
        spread_nibbles(v + 32 * j, qs + 16 * j);
}

/* ---- One block of each type ---- */

static void put_f16(unsigned char *head, int32_t lane, const unsigned char *scale)
{
    memcpy(head + lane * 2, scale, 2);
}

/* n bytes of the block's own scales, one lane of [n][16]. */
static void put_scales(unsigned char *rows, int32_t lane, const unsigned char *scales, int n)
{
    for (int i = 0; i < n; i++)
        rows[i * MK_PANEL + lane] = scales[i];
}

static void pack_block_32(enum dtype type, unsigned char *unit, int32_t lane,
                          const unsigned char *b)
{
    unsigned char *part = unit + layouts[type].head_bytes;
    bool has_min = type == MK_Q4_1 || type == MK_Q5_1;
    uint8_t v[32];

    put_f16(unit + MK_UNIT_D, lane, b);
    if (has_min)
        put_f16(unit + MK_UNIT_M, lane, b + 2);
    b += has_min ? 4 : 2;
    if (type == MK_Q8_0) {
        put_bytes(part, lane, b);
        return;
    }
    if (type == MK_Q5_0 || type == MK_Q5_1) {
        spread_q5(v, b, b + 4);
        put_bits(part + 256, lane, v, 4);
    } else
        spread_nibbles(v, b);
    put_nibbles(part, lane, v);
}

/* What lies after the scales, in one byte a quant. */
static void spread_block_256(enum dtype type, uint8_t *v, const unsigned char *b)
{
    switch (type) {
    case MK_Q2_K:
        spread_q2_k(v, b + 16);
        return;
    case MK_Q3_K:
        spread_q3_k(v, b, b + 32);
        return;
    case MK_Q4_K:
        spread_q4_k(v, b + 16);
        return;
    case MK_Q5_K:
        spread_q5_k(v, b + 16, b + 48);
        return;
    case MK_Q6_K:
        spread_q6_k(v, b, b + 128);
        return;
    default:
        spread_iq4_xs(v, b + 8);
        return;
    }
}

static void pack_head_256(enum dtype type, unsigned char *unit, int32_t lane,
                          const unsigned char *b)
{
    switch (type) {
    case MK_Q2_K:
        put_f16(unit + MK_UNIT_D, lane, b + 80);
        put_f16(unit + MK_UNIT_M, lane, b + 82);
        put_scales(unit + 64, lane, b, 16);
        return;
    case MK_Q3_K:
        put_f16(unit + MK_UNIT_D, lane, b + 108);
        put_scales(unit + 32, lane, b + 96, 12);
        return;
    case MK_Q4_K:
    case MK_Q5_K:
        put_f16(unit + MK_UNIT_D, lane, b);
        put_f16(unit + MK_UNIT_M, lane, b + 2);
        put_scales(unit + 64, lane, b + 4, 12);
        return;
    case MK_Q6_K:
        put_f16(unit + MK_UNIT_D, lane, b + 208);
        put_scales(unit + 32, lane, b + 192, 16);
        return;
    default: /* IQ4_XS: 16 bits of high parts stay together */
        put_f16(unit + MK_UNIT_D, lane, b);
        put_f16(unit + 32, lane, b + 2);
        put_scales(unit + 64, lane, b + 4, 4);
        return;
    }
}

static void pack_part_256(enum dtype type, unsigned char *part, int32_t lane, const uint8_t *v)
{
    switch (type) {
    case MK_Q2_K:
        put_pairs(part, lane, v, 0);
        return;
    case MK_Q3_K:
        put_pairs(part, lane, v, 0);
        put_bits(part + 128, lane, v, 2);
        return;
    case MK_Q5_K:
        put_nibbles(part, lane, v);
        put_bits(part + 256, lane, v, 4);
        return;
    case MK_Q6_K:
        put_nibbles(part, lane, v);
        put_pairs(part + 256, lane, v, 4);
        return;
    default:
        put_nibbles(part, lane, v);
        return;
    }
}

void unit_pack_lane(enum dtype type, unsigned char *unit, int32_t lane, const unsigned char *block)
{
    const struct unit_layout *l = &layouts[type];
    uint8_t v[256];

    if (l->block == 32) {
        pack_block_32(type, unit, lane, block);
        return;
    }
    pack_head_256(type, unit, lane, block);
    spread_block_256(type, v, block);
    for (int i = 0; i < 8; i++)
        pack_part_256(type, unit + l->head_bytes + i * l->part_bytes, lane, v + 32 * i);
}
