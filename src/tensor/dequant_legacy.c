/* dequant_legacy.c: the first GGUF formats: 32 values share one scale, or a scale and a minimum.
 *
 * Nibbles: byte i holds value i in its low and value i + 16 in its high half. The fifth bits of
 * Q5_0 and Q5_1 lie in one 32-bit word, bit i for value i. */
#include "tensor/dequant_blocks.h"

#define BLOCK 32

static uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)read_u16(p) | (uint32_t)read_u16(p + 2) << 16;
}

/* f16 d, 32 x i8 q: q d */
void dequant_q8_0(const unsigned char *b, float *out)
{
    float d = read_f16(b);

    for (int i = 0; i < BLOCK; i++)
        out[i] = (float)(int8_t)b[2 + i] * d;
}

/* f16 d, 16 bytes of nibbles: d (q - 8) */
void dequant_q4_0(const unsigned char *b, float *out)
{
    float d = read_f16(b);

    for (int i = 0; i < BLOCK / 2; i++) {
        out[i] = d * (float)((b[2 + i] & 15) - 8);
        out[i + BLOCK / 2] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

/* f16 d, f16 m, 16 bytes of nibbles: d q + m */
void dequant_q4_1(const unsigned char *b, float *out)
{
    float d = read_f16(b), m = read_f16(b + 2);

    for (int i = 0; i < BLOCK / 2; i++) {
        out[i] = d * (float)(b[4 + i] & 15) + m;
        out[i + BLOCK / 2] = d * (float)(b[4 + i] >> 4) + m;
    }
}

/* f16 d, u32 fifth bits, 16 bytes of nibbles: d (q - 16) */
void dequant_q5_0(const unsigned char *b, float *out)
{
    float d = read_f16(b);
    uint32_t high = read_u32(b + 2);

    for (int i = 0; i < BLOCK / 2; i++) {
        int low_q = (b[6 + i] & 15) | (int)(high >> i & 1) << 4;
        int high_q = b[6 + i] >> 4 | (int)(high >> (i + BLOCK / 2) & 1) << 4;

        out[i] = d * (float)(low_q - 16);
        out[i + BLOCK / 2] = d * (float)(high_q - 16);
    }
}

/* f16 d, f16 m, u32 fifth bits, 16 bytes of nibbles: d q + m */
void dequant_q5_1(const unsigned char *b, float *out)
{
    float d = read_f16(b), m = read_f16(b + 2);
    uint32_t high = read_u32(b + 4);

    for (int i = 0; i < BLOCK / 2; i++) {
        int low_q = (b[8 + i] & 15) | (int)(high >> i & 1) << 4;
        int high_q = b[8 + i] >> 4 | (int)(high >> (i + BLOCK / 2) & 1) << 4;

        out[i] = d * (float)low_q + m;
        out[i + BLOCK / 2] = d * (float)high_q + m;
    }
}
