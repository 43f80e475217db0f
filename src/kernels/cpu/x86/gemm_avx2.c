/* gemm_avx2.c: tiles of the backward products with AVX2, and bf16 products on machines that have no
 * instruction for them: rounded values stay f32, and the machine is told to take subnormal numbers
 * as zeros while they are summed. */
#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/x86/matmul_x86.h"
#include "kernels/cpu/x86/gemm_x86.h"
#include "kernels/cpu/x86/lanes_avx2.h"

#define TILE_ROWS 6
#define TILE_COLS 16
#define FLUSH_BITS 0x8040 /* of MXCSR: FTZ, DAZ */

/* Twelve sums, two panels of b and one value of a: fifteen of sixteen registers. */
static void tile_avx2(float *out, int64_t out_stride, const uint32_t *a_words,
                      const uint32_t *b_words, int64_t n_terms, bool from_zero)
{
    const float *a = (const float *)a_words, *b = (const float *)b_words;
    __m256 sum[2 * TILE_ROWS];

    MK_UNROLL
    for (int m = 0; m < TILE_ROWS; m++) {
        const float *row = out + m * out_stride;

        sum[2 * m] = from_zero ? _mm256_setzero_ps() : _mm256_loadu_ps(row);
        sum[2 * m + 1] = from_zero ? _mm256_setzero_ps() : _mm256_loadu_ps(row + 8);
    }
    for (int64_t p = 0; p < n_terms; p++, a += TILE_ROWS, b += TILE_COLS) {
        __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);

        MK_UNROLL
        for (int m = 0; m < TILE_ROWS; m++) {
            __m256 x = _mm256_broadcast_ss(a + m);

            sum[2 * m] = _mm256_fmadd_ps(x, b0, sum[2 * m]);
            sum[2 * m + 1] = _mm256_fmadd_ps(x, b1, sum[2 * m + 1]);
        }
    }
    MK_UNROLL
    for (int m = 0; m < TILE_ROWS; m++) {
        _mm256_storeu_ps(out + m * out_stride, sum[2 * m]);
        _mm256_storeu_ps(out + m * out_stride + 8, sum[2 * m + 1]);
    }
}

/* Nearest bf16, ties to even, subnormal to zero, NaN quiet: what vcvtneps2bf16 does. */
MK_INLINE __m256 round8(__m256 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256i u = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16),
                                                               _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256 size = _mm256_andnot_ps(sign, x), nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256i tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), _mm256_castps_si256(size));
    __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));

    up = _mm256_blendv_epi8(up, _mm256_and_si256(u, _mm256_castps_si256(sign)), tiny);
    up = _mm256_blendv_epi8(up, quiet, _mm256_castps_si256(nan));
    return _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32((int32_t)0xffff0000u)));
}

/* Lanes of one term, to panels `words` apart. Panels of 6 lanes are written eight at a time too,
 * here and below: the last two are the next term's, which overwrites them, or the gap's. */
MK_INLINE void pack_term(bool round, float *out, int32_t width, int64_t words, const float *row,
                         int64_t n_lanes)
{
    int64_t lane = 0;

    for (; lane + (width < 8 ? 8 : width) <= n_lanes; lane += width, out += words)
        for (int32_t i = 0; i < width; i += 8) {
            __m256 v = _mm256_loadu_ps(row + lane + i);

            _mm256_storeu_ps(out + i, round ? round8(v) : v);
        }
    for (; lane < n_lanes; lane += width, out += words)
        for (int32_t i = 0; i < width; i += 8) {
            int64_t left = n_lanes - lane - i;
            __m256 v = load_first(row + lane + i, left < 0 ? 0 : (int32_t)left);

            _mm256_storeu_ps(out + i, round ? round8(v) : v);
        }
}

MK_INLINE void pack_any(bool round, float *panels, int32_t width, const float *x, int64_t stride,
                        const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    int64_t words = gemm_panel_words(n_terms, 1, width);

    for (int64_t p = 0; p < n_terms; p++, panels += width) {
        const float *row = gemm_row(x, stride, index, p);

        if (p + GEMM_AHEAD < n_terms)
            gemm_prefetch(gemm_row(x, stride, index, p + GEMM_AHEAD), n_lanes);
        if (width == TILE_ROWS)
            pack_term(round, panels, TILE_ROWS, words, row, n_lanes);
        else
            pack_term(round, panels, TILE_COLS, words, row, n_lanes);
    }
}

/* Lanes lane .. lane + width - 1 of all terms, eight terms at a time. */
MK_INLINE void turn_panel(bool round, float *out, int32_t width, const float *const rows[8],
                          int64_t n_terms)
{
    for (int64_t p = 0; p < n_terms; p += 8) {
        int32_t n = n_terms - p < 8 ? (int32_t)(n_terms - p) : 8;
        __m256 v[8];

        MK_UNROLL
        for (int i = 0; i < 8; i++) {
            v[i] = rows[i] ? load_first(rows[i] + p, n) : _mm256_setzero_ps();
            v[i] = round ? round8(v[i]) : v[i];
        }
        transpose_8x8(v);
        if (n == 8) {
            MK_UNROLL
            for (int i = 0; i < 8; i++)
                _mm256_storeu_ps(out + (p + i) * width, v[i]);
            continue;
        }
        for (int i = 0; i < n; i++)
            _mm256_storeu_ps(out + (p + i) * width, v[i]);
    }
}

MK_INLINE void turn_any(bool round, float *panels, int32_t width, const float *x, int64_t stride,
                        const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    int64_t words = gemm_panel_words(n_terms, 1, width);

    for (int64_t lane = 0; lane < n_lanes; lane += width, panels += words) {
        const float *rows[8];

        for (int i = 0; i < 8; i++)
            rows[i] = i < width && lane + i < n_lanes ? gemm_row(x, stride, index, lane + i) : NULL;
        turn_panel(round, panels, width, rows, n_terms);
    }
}

void gemm_pack_turned_avx2(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                           const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    turn_any(false, (float *)panels, width, x, stride, index, n_terms, n_lanes);
}

static void pack_avx2(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                      const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    pack_any(false, (float *)panels, width, x, stride, index, n_terms, n_lanes);
}

void gemm_fill_avx2(struct kernels *k)
{
    static const struct gemm_rows rows = {TILE_ROWS, TILE_COLS, 1, pack_avx2, gemm_pack_turned_avx2,
                                          tile_avx2};

    k->gemm_rows = &rows;
}

/* ---- bf16 ---- */

static void pack_bf16(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                      const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    pack_any(true, (float *)panels, width, x, stride, index, n_terms, n_lanes);
}

static void turn_bf16(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                      const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    turn_any(true, (float *)panels, width, x, stride, index, n_terms, n_lanes);
}

/* Not inlined: nothing of a sum may be moved out from between the two settings. */
__attribute__((noinline)) static void tile_called(float *out, int64_t out_stride, const uint32_t *a,
                                                  const uint32_t *b, int64_t n_terms,
                                                  bool from_zero)
{
    tile_avx2(out, out_stride, a, b, n_terms, from_zero);
}

static void tile_bf16(float *out, int64_t out_stride, const uint32_t *a, const uint32_t *b,
                      int64_t n_terms, bool from_zero)
{
    unsigned before = _mm_getcsr();

    _mm_setcsr(before | FLUSH_BITS);
    tile_called(out, out_stride, a, b, n_terms, from_zero);
    _mm_setcsr(before);
}

static void round_avx2(void *out, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i += 8)
        store_first((float *)out + i, round8(load_first(x + i, n - i)), n - i);
}

static void panels_avx2(float *out, int64_t out_stride, const unsigned char *panel,
                        int64_t panel_bytes, int32_t n_panels, int32_t n_in, const void *x,
                        int64_t x_stride, int32_t n_rows)
{
    unsigned before = _mm_getcsr();

    _mm_setcsr(before | FLUSH_BITS);
    for (int32_t p = 0; p < n_panels; p++)
        matmul_bf16_avx2(out + p * MK_PANEL, out_stride, panel + p * panel_bytes, n_in, 0, x,
                         x_stride / (int64_t)sizeof(float), n_rows);
    _mm_setcsr(before);
}

void bf16_fill_avx2(struct kernels *k)
{
    static const struct bf16_rows rows = {
        .gemm = {TILE_ROWS, TILE_COLS, 1, pack_bf16, turn_bf16, tile_bf16},
        .value_bytes = 4,
        .round = round_avx2,
        .panels = panels_avx2,
    };

    k->bf16_rows = &rows;
}
