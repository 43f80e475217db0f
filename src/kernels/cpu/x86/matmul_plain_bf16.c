/* matmul_plain_bf16.c: bf16 weights with AVX512-BF16.
 *
 * The one variant that computes something else than the reference: `vdpbf16ps` multiplies pairs of
 * bf16, so each activation is rounded to bf16 first (relative error 2^-9 at most), and takes
 * subnormal numbers as zeros. Pairs are added in the order of the inputs, so a row's bits still
 * depend on the row alone. */
#include "kernels/cpu/x86/matmul_x86.h"

#define TILE 12
#define DEPTH 256 /* inputs rounded at a time: 24 KB for a chunk of rows */

/* x [n_rows, n] rounded to pairs [n_rows, DEPTH / 2]; an odd last input gets a zero beside it. */
static void round_rows(uint32_t *pairs, const float *x, int64_t x_stride, int32_t n,
                       int32_t n_rows)
{
    for (int32_t r = 0; r < n_rows; r++, x += x_stride, pairs += DEPTH / 2) {
        int32_t k = 0;

        for (; k + 16 <= n; k += 16)
            _mm256_storeu_si256((void *)(pairs + k / 2),
                                (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + k)));
        if (k < n) {
            float rest[16] = {0};

            memcpy(rest, x + k, (size_t)(n - k) * sizeof *rest);
            _mm256_storeu_si256((void *)(pairs + k / 2),
                                (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(rest)));
        }
    }
}

/* acc[m] += w . row m over n pairs. */
MK_INLINE void tile(float *acc, int m, const unsigned char *w, int32_t n, const uint32_t *x)
{
    __m512 sum[TILE];

    MK_UNROLL
    for (int r = 0; r < m; r++)
        sum[r] = _mm512_loadu_ps(acc + r * MK_PANEL);
    for (int32_t k = 0; k < n; k++) {
        __m512bh v = (__m512bh)_mm512_loadu_si512((const void *)(w + (int64_t)k * 64));

        MK_UNROLL
        for (int r = 0; r < m; r++)
            sum[r] = _mm512_dpbf16_ps(
                sum[r], v, (__m512bh)_mm512_set1_epi32((int32_t)x[r * (DEPTH / 2) + k]));
    }
    MK_UNROLL
    for (int r = 0; r < m; r++)
        _mm512_storeu_ps(acc + r * MK_PANEL, sum[r]);
}

static void bf16(float *acc, const unsigned char *panel, int32_t n_in, int32_t block_in,
                 const float *x, int64_t x_stride, int32_t n_rows)
{
    _Alignas(64) uint32_t pairs[MK_MAX_TILE_ROWS * DEPTH / 2];

    (void)block_in;
    memset(acc, 0, (size_t)n_rows * MK_PANEL * sizeof *acc);
    for (int32_t first = 0; first < n_in; first += DEPTH) {
        int32_t n = n_in - first < DEPTH ? n_in - first : DEPTH, n_pairs = (n + 1) / 2, r = 0;
        const unsigned char *w = panel + (int64_t)first * MK_PANEL * 2;

        round_rows(pairs, x + first, x_stride, n, n_rows);
        for (; r + TILE <= n_rows; r += TILE)
            tile(acc + r * MK_PANEL, TILE, w, n_pairs, pairs + r * DEPTH / 2);
        for (; r < n_rows; r++)
            tile(acc + r * MK_PANEL, 1, w, n_pairs, pairs + r * DEPTH / 2);
    }
}

/* Machines with AVX512-BF16 have VNNI. */
void matmul_fill_bf16(struct kernels *k)
{
    static const struct matmul_rows rows = {
        .quantise = matmul_quantise_avx2,
        .blocks = MATMUL_BLOCKS_VNNI,
        .plain = {[MK_F32] = matmul_f32_avx512, [MK_F16] = matmul_f16_avx512, [MK_BF16] = bf16,
                  [MK_F8_E4M3] = matmul_fp8_avx512},
    };

    k->matmul_rows = &rows;
}
