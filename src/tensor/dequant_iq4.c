/* dequant_iq4.c: 4-bit formats whose 16 codes name unevenly spaced values, dense near zero. */
#include "tensor/dequant_blocks.h"

static const int8_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

static void read_levels(const unsigned char *nibbles, float d, float *out)
{
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)levels[nibbles[i] & 15];
        out[i + 16] = d * (float)levels[nibbles[i] >> 4];
    }
}

/* f16 d, 16 bytes of nibbles for 32 values */
void dequant_iq4_nl(const unsigned char *b, float *out)
{
    read_levels(b + 2, read_f16(b), out);
}

/* f16 d, u16 high 2 bits and 4 bytes of low nibbles of eight 6-bit scales, 128 bytes of nibbles:
 * 256 values in groups of 32, each laid out as IQ4_NL with the scale d (s - 32) */
void dequant_iq4_xs(const unsigned char *b, float *out)
{
    float d = read_f16(b);
    int high = read_u16(b + 2);

    for (int j = 0; j < 8; j++) {
        int scale = (b[4 + j / 2] >> (j % 2 * 4) & 15) | (high >> (2 * j) & 3) << 4;

        read_levels(b + 8 + 16 * j, d * (float)(scale - 32), out + 32 * j);
    }
}
