/* dtype.c: the table of number formats and the scalar conversions that everything else is checked
 * against. */
#include "tensor/dtype.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const struct dtype_info table[MK_N_DTYPES] = {
    [MK_F32] = {"f32", "F32", 0, 1, 4},         [MK_F16] = {"f16", "F16", 1, 1, 2},
    [MK_BF16] = {"bf16", "BF16", 30, 1, 2},     [MK_F8_E4M3] = {"fp8", "F8_E4M3", -1, 1, 1},
    [MK_Q8_0] = {"q8_0", NULL, 8, 32, 34},      [MK_Q4_0] = {"q4_0", NULL, 2, 32, 18},
    [MK_Q4_1] = {"q4_1", NULL, 3, 32, 20},      [MK_Q5_0] = {"q5_0", NULL, 6, 32, 22},
    [MK_Q5_1] = {"q5_1", NULL, 7, 32, 24},      [MK_Q2_K] = {"q2_K", NULL, 10, 256, 84},
    [MK_Q3_K] = {"q3_K", NULL, 11, 256, 110},   [MK_Q4_K] = {"q4_K", NULL, 12, 256, 144},
    [MK_Q5_K] = {"q5_K", NULL, 13, 256, 176},   [MK_Q6_K] = {"q6_K", NULL, 14, 256, 210},
    [MK_IQ4_NL] = {"iq4_nl", NULL, 20, 32, 18}, [MK_IQ4_XS] = {"iq4_xs", NULL, 23, 256, 136},
    [MK_I8] = {"i8", "I8", 24, 1, 1},           [MK_I32] = {"i32", "I32", 26, 1, 4},
    [MK_I64] = {"i64", "I64", 27, 1, 8},        [MK_U8] = {"u8", "U8", -1, 1, 1},
    [MK_F64] = {"f64", "F64", 28, 1, 8},
};

const struct dtype_info *dtype_info(enum dtype type)
{
    return &table[type];
}

bool dtype_from_name(const char *name, enum dtype *type)
{
    for (int i = 0; i < MK_N_DTYPES; i++)
        if (!strcasecmp(table[i].name, name)) {
            *type = (enum dtype)i;
            return true;
        }
    return false;
}

bool dtype_from_safetensors(const char *name, enum dtype *type)
{
    for (int i = 0; i < MK_N_DTYPES; i++)
        if (table[i].safetensors && !strcmp(table[i].safetensors, name)) {
            *type = (enum dtype)i;
            return true;
        }
    return false;
}

bool dtype_from_gguf(uint32_t number, enum dtype *type)
{
    for (int i = 0; i < MK_N_DTYPES; i++)
        if (table[i].gguf >= 0 && (uint32_t)table[i].gguf == number) {
            *type = (enum dtype)i;
            return true;
        }
    return false;
}

bool dtype_bytes(enum dtype type, uint64_t n, uint64_t *bytes)
{
    uint64_t block = (uint64_t)table[type].block;

    return n % block == 0 && !__builtin_mul_overflow(n / block, (uint64_t)table[type].bytes, bytes);
}

bool dtype_is_quantised(enum dtype type)
{
    return table[type].block > 1;
}

static uint32_t bits_of(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;

    if (exponent == 31)
        return float_of(sign | 0x7f800000u | mantissa << 13);
    if (exponent)
        return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
    return (sign ? -1.0f : 1.0f) * (float)mantissa * 0x1p-24f;
}

uint16_t f32_to_f16(float f)
{
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffffu, rounded;

    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000u) /* 65520: the midpoint between 65504 and 65536 */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000u) /* below 2^-14: subnormal, a multiple of 2^-24 */
        return (uint16_t)(sign | (uint32_t)lrintf(float_of(magnitude) * 0x1p24f));
    rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

static inline uint16_t round_to_bf16(uint32_t u)
{
    uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;

    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

uint16_t f32_to_bf16(float f)
{
    return round_to_bf16(bits_of(f));
}

/* Whole blocks first: compilers turn a loop of fixed length into vectors. */
void f32_to_bf16_row(uint16_t *restrict out, const float *restrict x, int64_t n)
{
    int64_t i = 0;

    for (; i + 32 <= n; i += 32)
        for (int j = 0; j < 32; j++)
            out[i + j] = round_to_bf16(bits_of(x[i + j]));
    for (; i < n; i++)
        out[i] = f32_to_bf16(x[i]);
}

float e4m3_to_f32(uint8_t b)
{
    uint32_t exponent = b >> 3 & 15, mantissa = b & 7;
    float value;

    if ((b & 0x7f) == 0x7f)
        return NAN;
    if (exponent)
        value = float_of((exponent + 120) << 23 | mantissa << 20);
    else
        value = (float)mantissa * 0x1p-9f;
    return b & 0x80 ? -value : value;
}

uint8_t f32_to_e4m3(float f)
{
    uint32_t u = bits_of(f), sign = u >> 24 & 0x80, magnitude = u & 0x7fffffffu, rounded;

    if (magnitude > 0x7f800000u)
        return (uint8_t)(sign | 0x7f);
    if (magnitude >= 0x43e00000u) /* 448 */
        return (uint8_t)(sign | 0x7e);
    if (magnitude < 0x3c800000u) /* below 2^-6: subnormal, a multiple of 2^-9 */
        return (uint8_t)(sign | (uint32_t)lrintf(float_of(magnitude) * 0x1p9f));
    rounded = magnitude + 0x7ffff + (magnitude >> 20 & 1);
    rounded = (rounded - (120u << 23)) >> 20;
    return (uint8_t)(sign | (rounded > 0x7e ? 0x7e : rounded));
}
