/* dtype.h: the number formats that weights, activations and caches come in, and how wide they are.
 *
 * A block type stores `block` values together in `bytes` bytes; plain types have block 1. The GGUF
 * types are laid out as ggml defines them (docs/formats.md draws each). */
#ifndef MK_TENSOR_DTYPE_H
#define MK_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
    MK_F32,
    MK_F16,
    MK_BF16,
    MK_F8_E4M3,
    MK_Q8_0,
    MK_Q4_0,
    MK_Q4_1,
    MK_Q5_0,
    MK_Q5_1,
    MK_Q2_K,
    MK_Q3_K,
    MK_Q4_K,
    MK_Q5_K,
    MK_Q6_K,
    MK_IQ4_NL,
    MK_IQ4_XS,
    MK_I8,
    MK_I32,
    MK_I64,
    MK_U8,
    MK_F64, /* found in files; no arithmetic on them */
    MK_N_DTYPES
};

struct dtype_info {
    const char *name;        /* "q4_K", "bf16": as printed and as accepted by `--to` */
    const char *safetensors; /* "BF16", or NULL when the format has no such type */
    int32_t gguf;            /* GGUF type number, or -1 */
    int32_t block, bytes;    /* values a block, bytes a block */
};

const struct dtype_info *dtype_info(enum dtype type); /* never NULL for a valid type */
/* false when `name` is unknown. Case is ignored. */
bool dtype_from_name(const char *name, enum dtype *type);
bool dtype_from_safetensors(const char *name, enum dtype *type);
bool dtype_from_gguf(uint32_t number, enum dtype *type);
/* Bytes of n values; false when n is not a multiple of the block or the product overflows. */
bool dtype_bytes(enum dtype type, uint64_t n, uint64_t *bytes);
bool dtype_is_quantised(enum dtype type); /* one of the GGUF block types */

/* Scalar conversions. To a narrower type: round to nearest, ties to even; f32 overflow to f16 gives
 * infinity, to E4M3 NaN. */
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);
static inline float bf16_to_f32(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = (uint32_t)h << 16};
    return v.f;
}
uint16_t f32_to_bf16(float f);
void f32_to_bf16_row(uint16_t *out, const float *x, int64_t n);
float e4m3_to_f32(uint8_t b);
uint8_t f32_to_e4m3(float f); /* saturates to 448 as DeepSeek's kernels do; NaN stays NaN */

#endif
