/* panel.h: how the values of a packed matrix lie inside its panels (kernels/PANELS.md draws it).
 *
 * A panel is 16 outputs, called lanes, and every input. Block types are cut along K into units: one
 * file block of each lane, rearranged so that lanes lie side by side. A unit is a head of scales
 * and then, for each 32 inputs, a part with their quants. Plain types have no units. */
#ifndef MK_KERNELS_CPU_PANEL_H
#define MK_KERNELS_CPU_PANEL_H

#include <stdint.h>
#include <string.h>

#include "kernels/packed.h"

#define MK_BLOCK 32 /* inputs that are multiplied as integers before anything is rounded */

/* Where the f16 scales of a unit lie; types with one scale use the first. */
#define MK_UNIT_D 0
#define MK_UNIT_M 32

struct unit_layout {
    int32_t block;      /* inputs of a unit: 32 or 256; 0: not a block type */
    int32_t head_bytes; /* f16 scales [16] each, then the bytes of the block's scales, [..][16] */
    int32_t part_bytes; /* quants of 32 inputs */
};
const struct unit_layout *unit_layout(enum dtype type);

/* 32 inputs of 16 outputs with everything unpacked. A value is
 *     d * (sub[s] * q) + m * min[s],   s = 0 for the first 16 inputs, 1 for the others
 * where d, m and the products of two small integers are exact. Types whose smallest scaled block
 * is 32 have sub = min = 1 and the integer scale inside d and m; those without a minimum, m = 0. */
struct panel_block {
    int8_t q[8][MK_PANEL][4]; /* input 4 g + j of a lane is [g][lane][j] */
    float d[MK_PANEL], m[MK_PANEL];
    int32_t sub[2][MK_PANEL], min[2][MK_PANEL];
};
/* Unpacks inputs 32 * block .. + 31 of a panel of block type. */
void panel_block_read(struct panel_block *b, enum dtype type, const unsigned char *panel,
                      int32_t block);
/* Whether values of this type have the term m. */
bool unit_has_min(enum dtype type);

/* Writes one file block as lane `lane` of a unit. */
void unit_pack_lane(enum dtype type, unsigned char *unit, int32_t lane, const unsigned char *block);

/* Plain panels. f32 and f16: [k][16]. bf16: [(k + 1) / 2][16][2]. FP8: for each block_in inputs 16
 * f32 scales, then [block_in][16]; the last block may be shorter. */
int64_t plain_panel_bytes(enum dtype type, int32_t n_in, int32_t block_in);
/* Packs the lanes of panel `index`; lanes past the last output stay zero. */
void plain_pack(const struct weight_src *src, int32_t block_in, int64_t index,
                unsigned char *panel);
/* Value (lane, k) as f32. */
float plain_value(enum dtype type, const unsigned char *panel, int32_t block_in, int32_t lane,
                  int32_t k);

/* IQ4: the sixteen values that 4 bits stand for (ggml, kvalues_iq4nl). */
extern const int8_t mk_iq4_values[16];

static inline uint16_t load16(const unsigned char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load32(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline float load_f32(const unsigned char *p)
{
    float v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store32(unsigned char *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

#endif
