/* dequant_k.c: the K formats: 256 values a block, in groups of 16 or 32 whose small integer scales
 * are themselves multiples of a float16 of the block.
 *
 * Packed bits are taken in planes: 32 bytes give 32 values from their lowest bits, the next 32 from
 * the bits above, and so on. Q2_K, Q4_K and Q5_K subtract minima (d q - m); Q3_K and Q6_K are
 * centred. */
#include "tensor/dequant_blocks.h"

#define BLOCK 256

/* 16 bytes {scale: 4, min: 4}, 64 bytes of 2-bit values, f16 d, f16 dmin; groups of 16 */
void dequant_q2_k(const unsigned char *b, float *out)
{
    const unsigned char *scales = b, *values = b + 16;
    float d = read_f16(b + 80), dmin = read_f16(b + 82);

    for (int i = 0; i < BLOCK; i++) {
        int plane = i / 32 % 4, q = values[i / 128 * 32 + i % 32] >> (2 * plane) & 3;
        unsigned char s = scales[i / 16];

        out[i] = d * (float)(s & 15) * (float)q - dmin * (float)(s >> 4);
    }
}

/* Scale j (0..15) of Q3_K, 6 bits: a nibble in bytes 0-7 (low half j < 8), 2 bits in bytes 8-11. */
static int read_q3_scale(const unsigned char *s, int j)
{
    int low = s[j % 8] >> (j / 8 * 4) & 15, high = s[8 + j % 4] >> (j / 4 * 2) & 3;

    return (low | high << 4) - 32;
}

/* 32 bytes of third bits, 64 bytes of low 2 bits, 12 bytes of scales, f16 d; groups of 16. A third
 * bit that is *clear* takes 4 away: q runs from -4 to 3. */
void dequant_q3_k(const unsigned char *b, float *out)
{
    const unsigned char *third = b, *values = b + 32, *scales = b + 96;
    float d = read_f16(b + 108);

    for (int i = 0; i < BLOCK; i++) {
        int q = values[i / 128 * 32 + i % 32] >> (2 * (i / 32 % 4)) & 3;

        if (!(third[i % 32] >> (i / 32) & 1))
            q -= 4;
        out[i] = d * (float)read_q3_scale(scales, i / 16) * (float)q;
    }
}

/* f16 d, f16 dmin, 12 bytes of scales and minima, 128 bytes of nibbles; groups of 32 */
void dequant_q4_k(const unsigned char *b, float *out)
{
    float d = read_f16(b), dmin = read_f16(b + 2);

    for (int j = 0; j < BLOCK / 32; j++) {
        const unsigned char *values = b + 16 + j / 2 * 32;
        int scale, min;
        float group_d, group_m;

        read_k_scale(b + 4, j, &scale, &min);
        group_d = d * (float)scale;
        group_m = dmin * (float)min;
        for (int i = 0; i < 32; i++)
            out[32 * j + i] = group_d * (float)(values[i] >> (j % 2 * 4) & 15) - group_m;
    }
}

/* As Q4_K with 32 bytes of fifth bits before the nibbles: bit j of byte i is for value 32 j + i */
void dequant_q5_k(const unsigned char *b, float *out)
{
    const unsigned char *fifth = b + 16;
    float d = read_f16(b), dmin = read_f16(b + 2);

    for (int j = 0; j < BLOCK / 32; j++) {
        const unsigned char *values = b + 48 + j / 2 * 32;
        int scale, min;
        float group_d, group_m;

        read_k_scale(b + 4, j, &scale, &min);
        group_d = d * (float)scale;
        group_m = dmin * (float)min;
        for (int i = 0; i < 32; i++) {
            int q = (values[i] >> (j % 2 * 4) & 15) | (fifth[i] >> j & 1) << 4;

            out[32 * j + i] = group_d * (float)q - group_m;
        }
    }
}

/* 128 bytes of low nibbles, 64 bytes of high 2 bits, 16 x i8 scales, f16 d; groups of 16. Nibbles
 * go in planes of 64 bytes, high bits in planes of 32, each within a half block of 128 values. */
void dequant_q6_k(const unsigned char *b, float *out)
{
    const unsigned char *low = b, *high = b + 128, *scales = b + 192;
    float d = read_f16(b + 208);

    for (int i = 0; i < BLOCK; i++) {
        int half = i / 128, at = i % 128;
        int q = low[half * 64 + at % 64] >> (at / 64 * 4) & 15;

        q |= (high[half * 32 + at % 32] >> (at / 32 * 2) & 3) << 4;
        out[i] = d * (float)(int8_t)scales[i / 16] * (float)(q - 32);
    }
}
