/* matmul_plain_avx2.c: f32, f16, bf16 and FP8 weights times f32 rows.
 *
 * Many rows: narrow weights are widened to f32 for DEPTH inputs at a time into first-level cache,
 * and tiles of 6 rows x 16 outputs hold their twelve sums in registers. One row: weights are
 * widened in registers. Both add in the order of the inputs. */
#include "kernels/cpu/x86/matmul_x86.h"

#define TILE 6
#define DEPTH 128     /* even: bf16 comes in pairs of inputs */
#define DEPTH_F32 320 /* inputs of an f32 panel at a time: 20 KB */

/* ---- Widening ---- */

/* 4 bits of exponent with bias 7 become the low bits of f16's 5 with bias 15: the value / 256,
 * subnormals included. The one NaN needs all exponent bits. */
MK_INLINE void widen_fp8(__m256 out[2], const unsigned char *p, const __m256 scale[2])
{
    __m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)p));
    __m256i size = _mm256_and_si256(v, _mm256_set1_epi16(0x7f));
    __m256i nan = _mm256_cmpeq_epi16(size, _mm256_set1_epi16(0x7f));
    __m256i half = _mm256_or_si256(_mm256_slli_epi16(size, 7),
                                   _mm256_slli_epi16(_mm256_andnot_si256(size, v), 8));
    const __m256 up = _mm256_set1_ps(256.0f);

    half = _mm256_or_si256(half, _mm256_and_si256(nan, _mm256_set1_epi16(0x7fff)));
    out[0] = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(half)), up);
    out[1] = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(half, 1)), up);
    out[0] = _mm256_mul_ps(out[0], scale[0]);
    out[1] = _mm256_mul_ps(out[1], scale[1]);
}

/* Sixteen weights of input k; `panel` is where input 0 lies, scale only for FP8. */
MK_INLINE void widen(__m256 out[2], enum dtype type, const unsigned char *panel, int64_t k,
                     const __m256 scale[2])
{
    if (type == MK_F32) {
        out[0] = _mm256_loadu_ps((const float *)(const void *)(panel + k * 64));
        out[1] = _mm256_loadu_ps((const float *)(const void *)(panel + k * 64 + 32));
    } else if (type == MK_F16) {
        out[0] = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(panel + k * 32)));
        out[1] = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(panel + k * 32 + 16)));
    } else if (type == MK_BF16) { /* a lane holds inputs k (high) and k + 1 of one output */
        __m256i a = _mm256_loadu_si256((const void *)(panel + k / 2 * 64));
        __m256i b = _mm256_loadu_si256((const void *)(panel + k / 2 * 64 + 32));
        const __m256i even = _mm256_set1_epi32((int32_t)0xffff0000u);

        out[0] = _mm256_castsi256_ps(k % 2 ? _mm256_slli_epi32(a, 16) : _mm256_and_si256(a, even));
        out[1] = _mm256_castsi256_ps(k % 2 ? _mm256_slli_epi32(b, 16) : _mm256_and_si256(b, even));
    } else
        widen_fp8(out, panel + k * 16, scale);
}

/* ---- One row, widened in registers ---- */

MK_INLINE void add_input(__m256 acc[2], enum dtype type, const unsigned char *panel, int64_t k,
                         const __m256 scale[2], float x)
{
    __m256 w[2], v = _mm256_set1_ps(x);

    widen(w, type, panel, k, scale);
    acc[0] = _mm256_fmadd_ps(w[0], v, acc[0]);
    acc[1] = _mm256_fmadd_ps(w[1], v, acc[1]);
}

MK_INLINE void one_row(__m256 acc[2], enum dtype type, const unsigned char *panel, int32_t n_in,
                       const float *x, const __m256 scale[2])
{
    int32_t k = 0;

    for (; k + 2 <= n_in; k += 2) { /* so that k % 2 is known when a pair is taken apart */
        add_input(acc, type, panel, k, scale, x[k]);
        add_input(acc, type, panel, k + 1, scale, x[k + 1]);
    }
    if (k < n_in)
        add_input(acc, type, panel, k, scale, x[k]);
}

/* ---- Many rows ---- */

/* out[m] = out[m] (or 0 if from_zero) + w . row m over n inputs of f32 weights. */
MK_INLINE void tile(float *out, int64_t out_stride, bool from_zero, int m, const float *w,
                    int32_t n, const float *x, int64_t x_stride)
{
    const __m256 zero = _mm256_setzero_ps();
    __m256 sum[TILE][2];

    MK_UNROLL
    for (int r = 0; r < m; r++) {
        sum[r][0] = from_zero ? zero : _mm256_loadu_ps(out + r * out_stride);
        sum[r][1] = from_zero ? zero : _mm256_loadu_ps(out + r * out_stride + 8);
    }
    for (int32_t k = 0; k < n; k++) {
        __m256 w0 = _mm256_load_ps(w + (int64_t)k * MK_PANEL);
        __m256 w1 = _mm256_load_ps(w + (int64_t)k * MK_PANEL + 8);

        MK_UNROLL
        for (int r = 0; r < m; r++) {
            __m256 v = _mm256_set1_ps(x[r * x_stride + k]);

            sum[r][0] = _mm256_fmadd_ps(w0, v, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(w1, v, sum[r][1]);
        }
    }
    MK_UNROLL
    for (int r = 0; r < m; r++) {
        _mm256_storeu_ps(out + r * out_stride, sum[r][0]);
        _mm256_storeu_ps(out + r * out_stride + 8, sum[r][1]);
    }
}

/* The last rows in one tile: two small ones would each wait for their sums. */
static void all_tiles(float *out, int64_t out_stride, bool from_zero, const float *w, int32_t n,
                      const float *x, int64_t x_stride, int32_t n_rows)
{
    for (; n_rows >= TILE; n_rows -= TILE, out += TILE * out_stride, x += TILE * x_stride)
        tile(out, out_stride, from_zero, TILE, w, n, x, x_stride);
    if (n_rows == 5)
        tile(out, out_stride, from_zero, 5, w, n, x, x_stride);
    else if (n_rows == 4)
        tile(out, out_stride, from_zero, 4, w, n, x, x_stride);
    else if (n_rows == 3)
        tile(out, out_stride, from_zero, 3, w, n, x, x_stride);
    else if (n_rows == 2)
        tile(out, out_stride, from_zero, 2, w, n, x, x_stride);
    else if (n_rows == 1)
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
                         int64_t x_stride, int32_t n_rows, const __m256 scale[2])
{
    _Alignas(32) float wide[DEPTH * MK_PANEL]; /* [k, 16] */

    for (int32_t first = 0; first < n_in; first += DEPTH) {
        int32_t n = n_in - first < DEPTH ? n_in - first : DEPTH;

        for (int32_t k = 0; k < n; k++) {
            __m256 w[2];

            widen(w, type, panel, first + k, scale);
            _mm256_store_ps(wide + k * MK_PANEL, w[0]);
            _mm256_store_ps(wide + k * MK_PANEL + 8, w[1]);
        }
        all_tiles(out, out_stride, from_zero && first == 0, wide, n, x + first, x_stride, n_rows);
    }
}

/* n_in inputs under one scale, added to out or to 0. */
MK_INLINE void run(float *out, int64_t out_stride, bool from_zero, enum dtype type,
                   const unsigned char *panel, int32_t n_in, const float *x, int64_t x_stride,
                   int32_t n_rows, const __m256 scale[2])
{
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};

    if (n_rows > 1 && type == MK_F32) { /* panels are 64-byte aligned */
        many_rows_f32(out, out_stride, (const float *)(const void *)panel, n_in, x, x_stride,
                      n_rows);
        return;
    }
    if (n_rows > 1) {
        many_rows(out, out_stride, from_zero, type, panel, n_in, x, x_stride, n_rows, scale);
        return;
    }
    if (!from_zero) {
        sum[0] = _mm256_loadu_ps(out);
        sum[1] = _mm256_loadu_ps(out + 8);
    }
    one_row(sum, type, panel, n_in, x, scale);
    _mm256_storeu_ps(out, sum[0]);
    _mm256_storeu_ps(out + 8, sum[1]);
}

void matmul_f32_avx2(float *out, int64_t out_stride, const unsigned char *panel,
                     int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                     int32_t n_rows)
{
    (void)block_in;
    run(out, out_stride, true, MK_F32, panel, n_in, x, x_stride, n_rows, NULL);
}

void matmul_f16_avx2(float *out, int64_t out_stride, const unsigned char *panel,
                     int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                     int32_t n_rows)
{
    (void)block_in;
    run(out, out_stride, true, MK_F16, panel, n_in, x, x_stride, n_rows, NULL);
}

void matmul_bf16_avx2(float *out, int64_t out_stride, const unsigned char *panel,
                      int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                      int32_t n_rows)
{
    (void)block_in;
    run(out, out_stride, true, MK_BF16, panel, n_in, x, x_stride, n_rows, NULL);
}

void matmul_fp8_avx2(float *out, int64_t out_stride, const unsigned char *panel,
                     int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                     int32_t n_rows)
{
    for (int32_t k = 0; k < n_in; k += block_in) {
        int32_t n = n_in - k < block_in ? n_in - k : block_in;
        const float *scales = (const float *)(const void *)panel; /* panels keep 16-byte steps */
        const __m256 scale[2] = {_mm256_loadu_ps(scales), _mm256_loadu_ps(scales + 8)};

        panel += MK_PANEL * sizeof *scales;
        run(out, out_stride, k == 0, MK_F8_E4M3, panel, n, x + k, x_stride, n_rows, scale);
        panel += (int64_t)n * MK_PANEL;
    }
}
