/* panel_read.c: block panels unpacked in plain C: the meaning of every layout in one place. The
 * reference product and packed_row read through it. */
#include "kernels/cpu/panel.h"

const int8_t mk_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

bool unit_has_min(enum dtype type)
{
    return type == MK_Q4_1 || type == MK_Q5_1 || type == MK_Q2_K || type == MK_Q4_K ||
           type == MK_Q5_K;
}

static int nibble(const unsigned char *plane, int g, int lane, int j)
{
    return plane[(g / 2 * MK_PANEL + lane) * 4 + j] >> (g % 2 ? 4 : 0) & 15;
}

static int pair(const unsigned char *plane, int g, int lane, int j)
{
    return plane[(g / 4 * MK_PANEL + lane) * 4 + j] >> 2 * (g % 4) & 3;
}

static int bit(const unsigned char *plane, int g, int lane, int j)
{
    return plane[lane * 4 + j] >> g & 1;
}

/* Input 4 g + j of a lane, offset and table applied. */
static int quant(enum dtype type, const unsigned char *part, int g, int lane, int j)
{
    switch (type) {
    case MK_Q8_0:
        return (int8_t)part[(g * MK_PANEL + lane) * 4 + j];
    case MK_Q4_0:
        return nibble(part, g, lane, j) - 8;
    case MK_Q5_0:
        return nibble(part, g, lane, j) + (bit(part + 256, g, lane, j) << 4) - 16;
    case MK_Q5_1:
    case MK_Q5_K:
        return nibble(part, g, lane, j) + (bit(part + 256, g, lane, j) << 4);
    case MK_Q2_K:
        return pair(part, g, lane, j);
    case MK_Q3_K:
        return pair(part, g, lane, j) + (bit(part + 128, g, lane, j) << 2) - 4;
    case MK_Q6_K:
        return nibble(part, g, lane, j) + (pair(part + 256, g, lane, j) << 4) - 32;
    case MK_IQ4_NL:
    case MK_IQ4_XS:
        return mk_iq4_values[nibble(part, g, lane, j)];
    default:
        return nibble(part, g, lane, j);
    }
}

/* Q4_K and Q5_K: 8 scales and 8 minima of 6 bits in 12 bytes, here 16 lanes wide. */
static void scale_q4_k(const unsigned char *rows, int lane, int block, int *scale, int *min)
{
    const unsigned char *low = rows + block * MK_PANEL + lane; /* byte `block` of 12 */
    const unsigned char *mid = low + 4 * MK_PANEL;

    if (block < 4) {
        *scale = *low & 63;
        *min = *mid & 63;
    } else {
        *scale = (*mid & 15) | low[-4 * MK_PANEL] >> 6 << 4;
        *min = *mid >> 4 | *low >> 6 << 4;
    }
}

/* Q3_K: 16 scales of 6 bits, minus 32: low nibbles in 8 bytes, pairs of high bits in 4. */
static int scale_q3_k(const unsigned char *rows, int lane, int i)
{
    int low = rows[i % 8 * MK_PANEL + lane] >> (i < 8 ? 0 : 4) & 15;
    int high = rows[(8 + i % 4) * MK_PANEL + lane] >> 2 * (i / 4) & 3;

    return (low | high << 4) - 32;
}

static int scale_iq4_xs(const unsigned char *unit, int lane, int block)
{
    int low = unit[64 + block / 2 * MK_PANEL + lane] >> 4 * (block % 2) & 15;
    int high = load16(unit + 32 + lane * 2) >> 2 * block & 3;

    return (low | high << 4) - 32;
}

/* Scales of one lane; `block` counts 32 inputs inside the unit. */
static void read_scales(struct panel_block *b, enum dtype type, const unsigned char *unit, int lane,
                        int block)
{
    float d = f16_to_f32(load16(unit + MK_UNIT_D + lane * 2));
    float m = unit_has_min(type) ? f16_to_f32(load16(unit + MK_UNIT_M + lane * 2)) : 0.0f;
    int scale = 1, min = 1;

    if (type == MK_Q4_K || type == MK_Q5_K)
        scale_q4_k(unit + 64, lane, block, &scale, &min);
    else if (type == MK_IQ4_XS)
        scale = scale_iq4_xs(unit, lane, block);
    if (unit_layout(type)->block == 256)
        m = -m; /* the K-quants store what is subtracted */
    b->d[lane] = d * (float)scale;
    b->m[lane] = m * (float)min;
    for (int s = 0; s < 2; s++) {
        int i = 2 * block + s;

        b->sub[s][lane] = 1;
        b->min[s][lane] = 1;
        if (type == MK_Q2_K) {
            b->sub[s][lane] = unit[64 + i * MK_PANEL + lane] & 15;
            b->min[s][lane] = unit[64 + i * MK_PANEL + lane] >> 4;
        } else if (type == MK_Q3_K)
            b->sub[s][lane] = scale_q3_k(unit + 32, lane, i);
        else if (type == MK_Q6_K)
            b->sub[s][lane] = (int8_t)unit[32 + i * MK_PANEL + lane];
    }
}

void panel_block_read(struct panel_block *b, enum dtype type, const unsigned char *panel,
                      int32_t block)
{
    const struct unit_layout *l = unit_layout(type);
    int32_t n_parts = l->block / MK_BLOCK;
    const unsigned char *unit =
        panel + (int64_t)(block / n_parts) * (l->head_bytes + (int64_t)n_parts * l->part_bytes);
    const unsigned char *part = unit + l->head_bytes + block % n_parts * l->part_bytes;

    for (int lane = 0; lane < MK_PANEL; lane++)
        read_scales(b, type, unit, lane, block % n_parts);
    for (int g = 0; g < 8; g++)
        for (int lane = 0; lane < MK_PANEL; lane++)
            for (int j = 0; j < 4; j++)
                b->q[g][lane][j] = (int8_t)quant(type, part, g, lane, j);
}
