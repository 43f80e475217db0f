/* matmul_plain_avx512.c: f32, f16, bf16 and FP8 weights times f32 rows, 512 bits at a time.
 *
 * As matmul_plain_avx2.c, with sixteen outputs in one register and tiles of 12 rows. */
#include "kernels/cpu/x86/matmul_x86.h"

#define TILE 12
#define DEPTH 128     /* even: bf16 comes in pairs of inputs */
#define DEPTH_F32 320 /* inputs of an f32 panel at a time: 20 KB */

/* ---- Widening ---- */

/* See widen_fp8 of matmul_plain_avx2.c. */
MK_INLINE __m512 widen_fp8(const unsigned char *p, __m512 scale)
{
    __m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)p));
    __m256i size = _mm256_and_si256(v, _mm256_set1_epi16(0x7f));
    __m256i nan = _mm256_cmpeq_epi16(size, _mm256_set1_epi16(0x7f));
    __m256i half = _mm256_or_si256(_mm256_slli_epi16(size, 7),
                                   _mm256_slli_epi16(_mm256_andnot_si256(size, v), 8));

    half = _mm256_or_si256(half, _mm256_and_si256(nan, _mm256_set1_epi16(0x7fff)));
    return _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f)), scale);
}

/* Sixteen weights of input k; `panel` is where input 0 lies, scale only for FP8. */
MK_INLINE __m512 widen(enum dtype type, const unsigned char *panel, int64_t k, __m512 scale)
{
    const __m512i even = _mm512_set1_epi32((int32_t)0xffff0000u);
    __m512i pair;

    if (type == MK_F32)
        return _mm512_loadu_ps((const void *)(panel + k * 64));
    if (type == MK_F16)
        return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(panel + k * 32)));
    if (type != MK_BF16)
        return widen_fp8(panel + k * 16, scale);
    pair = _mm512_loadu_si512((const void *)(panel + k / 2 * 64));
    return _mm512_castsi512_ps(k % 2 ? _mm512_slli_epi32(pair, 16) : _mm512_and_si512(pair, even));
}

/* ---- One row, widened in registers ---- */

MK_INLINE __m512 one_row(__m512 acc, enum dtype type, const unsigned char *panel, int32_t n_in,
                         const float *x, __m512 scale)
{
    int32_t k = 0;

    for (; k + 2 <= n_in; k += 2) { /* so that k % 2 is known when a pair is taken apart */
        acc = _mm512_fmadd_ps(widen(type, panel, k, scale), _mm512_set1_ps(x[k]), acc);
        acc = _mm512_fmadd_ps(widen(type, panel, k + 1, scale), _mm512_set1_ps(x[k + 1]), acc);
    }
    if (k < n_in)
        acc = _mm512_fmadd_ps(widen(type, panel, k, scale), _mm512_set1_ps(x[k]), acc);
    return acc;
}

/* ---- Many rows ---- */

/* out[m] = out[m] (or 0 if from_zero) + w . row m over n inputs of f32 weights. */
MK_INLINE void tile(float *out, int64_t out_stride, bool from_zero, int m, const float *w,
                    int32_t n, const float *x, int64_t x_stride)
{
    __m512 sum[TILE];

    MK_UNROLL
    for (int r = 0; r < m; r++)
        sum[r] = from_zero ? _mm512_setzero_ps() : _mm512_loadu_ps(out + r * out_stride);
    for (int32_t k = 0; k < n; k++) {
        __m512 v = _mm512_loadu_ps(w + (int64_t)k * MK_PANEL);

        MK_UNROLL
        for (int r = 0; r < m; r++)
            sum[r] = _mm512_fmadd_ps(v, _mm512_set1_ps(x[r * x_stride + k]), sum[r]);
    }
    MK_UNROLL
    for (int r = 0; r < m; r++)
        _mm512_storeu_ps(out + r * out_stride, sum[r]);
}

static void all_tiles(float *out, int64_t out_stride, bool from_zero, const float *w, int32_t n,
                      const float *x, int64_t x_stride, int32_t n_rows)
{
    for (; n_rows >= TILE; n_rows -= TILE, out += TILE * out_stride, x += TILE * x_stride)
        tile(out, out_stride, from_zero, TILE, w, n, x, x_stride);
    for (; n_rows >= 4; n_rows -= 4, out += 4 * out_stride, x += 4 * x_stride)
        tile(out, out_stride, from_zero, 4, w, n, x, x_stride);
    for (; n_rows > 0; n_rows--, out += out_stride, x += x_stride)
        tile(out, out_stride, from_zero, 1, w, n, x, x_stride);
}

/* The f32 panel itself, in nearly equal parts that stay in first-level cache beside a tile's x. */
static void many_rows_f32(float *out, int64_t out_stride, const float *panel, int32_t n_in,
                          const float *x, int64_t x_stride, int32_t n_rows)
{
    int32_t n_parts = (n_in + DEPTH_F32 - 1) / DEPTH_F32, depth = (n_in + n_parts - 1) / n_parts;

    for (int32_t first = 0; first < n_in; first += depth)
        all_tiles(out, out_stride, first == 0, panel + (int64_t)first * MK_PANEL,
                  n_in - first < depth ? n_in - first : depth, x + first, x_stride, n_rows);
}

MK_INLINE void many_rows(float *out, int64_t out_stride, bool from_zero, enum dtype type,
                         const unsigned char *panel, int32_t n_in, const float *x,
                         int64_t x_stride, int32_t n_rows, __m512 scale)
{
    _Alignas(64) float wide[DEPTH * MK_PANEL]; /* [k, 16] */

    for (int32_t first = 0; first < n_in; first += DEPTH) {
        int32_t n = n_in - first < DEPTH ? n_in - first : DEPTH;

        for (int32_t k = 0; k < n; k++)
            _mm512_storeu_ps(wide + k * MK_PANEL, widen(type, panel, first + k, scale));
        all_tiles(out, out_stride, from_zero && first == 0, wide, n, x + first, x_stride, n_rows);
    }
}

/* n_in inputs under one scale, added to out or to 0. */
MK_INLINE void run(float *out, int64_t out_stride, bool from_zero, enum dtype type,
                   const unsigned char *panel, int32_t n_in, const float *x, int64_t x_stride,
                   int32_t n_rows, __m512 scale)
{
    __m512 sum = _mm512_setzero_ps();

    if (n_rows > 1 && type == MK_F32) { /* panels are 64-byte aligned */
        many_rows_f32(out, out_stride, (const float *)(const void *)panel, n_in, x, x_stride,
                      n_rows);
        return;
    }
    if (n_rows > 1) {
        many_rows(out, out_stride, from_zero, type, panel, n_in, x, x_stride, n_rows, scale);
        return;
    }
    if (!from_zero)
        sum = _mm512_loadu_ps(out);
    _mm512_storeu_ps(out, one_row(sum, type, panel, n_in, x, scale));
}

void matmul_f32_avx512(float *out, int64_t out_stride, const unsigned char *panel,
                       int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                       int32_t n_rows)
{
    (void)block_in;
    run(out, out_stride, true, MK_F32, panel, n_in, x, x_stride, n_rows, _mm512_setzero_ps());
}

void matmul_f16_avx512(float *out, int64_t out_stride, const unsigned char *panel,
                       int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                       int32_t n_rows)
{
    (void)block_in;
    run(out, out_stride, true, MK_F16, panel, n_in, x, x_stride, n_rows, _mm512_setzero_ps());
}

void matmul_bf16_avx512(float *out, int64_t out_stride, const unsigned char *panel,
                        int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                        int32_t n_rows)
{
    (void)block_in;
    run(out, out_stride, true, MK_BF16, panel, n_in, x, x_stride, n_rows, _mm512_setzero_ps());
}

void matmul_fp8_avx512(float *out, int64_t out_stride, const unsigned char *panel,
                       int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                       int32_t n_rows)
{
    for (int32_t k = 0; k < n_in; k += block_in) {
        int32_t n = n_in - k < block_in ? n_in - k : block_in;
        __m512 scale = _mm512_loadu_ps((const void *)panel);

        panel += MK_PANEL * sizeof(float);
        run(out, out_stride, k == 0, MK_F8_E4M3, panel, n, x + k, x_stride, n_rows, scale);
        panel += (int64_t)n * MK_PANEL;
    }
}

/* Block types are AVX2's: without VNNI wider registers gain little. */
void matmul_fill_avx512(struct kernels *k)
{
    static const struct matmul_rows rows = {
        .quantise = matmul_quantise_avx2,
        .blocks = MATMUL_BLOCKS_AVX2,
        .plain = {[MK_F32] = matmul_f32_avx512, [MK_F16] = matmul_f16_avx512,
                  [MK_BF16] = matmul_bf16_avx512, [MK_F8_E4M3] = matmul_fp8_avx512},
    };

    k->matmul_rows = &rows;
}
