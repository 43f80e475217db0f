/* products_bf16.c: products of bf16 numbers with AVX512-BF16, to the bits of the reference.
 *
 * `vdpbf16ps` adds two products to each f32 lane, that of the upper halves first, each by an FMA of
 * its own that takes subnormal numbers as zeros (bf16_rows.h). */
#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/x86/lanes_avx512.h"
#include "kernels/cpu/x86/matmul_x86.h"

#define TILE_ROWS 8
#define TILE_COLS 32
/* ---- Pairs ---- */

/* Sixteen words of two terms: `first` in the upper halves. */
MK_INLINE __m512i pair_rows(__m512 first, __m512 second)
{
    const __m512i order = _mm512_set_epi32(
        0x001f000f, 0x001e000e, 0x001d000d, 0x001c000c, 0x001b000b, 0x001a000a, 0x00190009,
        0x00180008, 0x00170007, 0x00160006, 0x00150005, 0x00140004, 0x00130003, 0x00120002,
        0x00110001, 0x00100000);

    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(first, second));
}

/* Eight words of sixteen terms that follow one another. */
MK_INLINE __m256i pair_terms(__m512 x)
{
    return _mm256_shuffle_epi8((__m256i)_mm512_cvtneps_pbh(x),
                               _mm256_set_epi32(0x0d0c0f0e, 0x09080b0a, 0x05040706, 0x01000302,
                                                0x0d0c0f0e, 0x09080b0a, 0x05040706, 0x01000302));
}

/* Lanes lane .. lane + 15 of two terms, as words: to one panel, or to two of eight lanes. */
MK_INLINE void store_words(uint32_t *panels, int32_t width, int64_t panel_words, int64_t lane,
                           int64_t n_lanes, __m512i words)
{
    uint32_t *out = panels + lane / width * panel_words + lane % width;

    if (width >= 16) {
        _mm512_storeu_si512((void *)out, words);
        return;
    }
    _mm256_storeu_si256((void *)out, _mm512_castsi512_si256(words));
    if (n_lanes - lane > TILE_ROWS)
        _mm256_storeu_si256((void *)(out + panel_words), _mm512_extracti64x4_epi64(words, 1));
}

MK_INLINE void pack_terms(uint32_t *out, int32_t width, int64_t panel_words, const float *first,
                          const float *second, int64_t n_lanes)
{
    int64_t lane = 0;

    for (; lane + 16 <= n_lanes; lane += 16)
        store_words(out, width, panel_words, lane, n_lanes,
                    pair_rows(_mm512_loadu_ps(first + lane), _mm512_loadu_ps(second + lane)));
    for (; lane < (n_lanes + width - 1) / width * width; lane += 16) {
        __mmask16 mask = first_mask(lane < n_lanes ? (int32_t)(n_lanes - lane) : 0);

        store_words(out, width, panel_words, lane, n_lanes,
                    pair_rows(_mm512_maskz_loadu_ps(mask, first + lane),
                              _mm512_maskz_loadu_ps(mask, second + lane)));
    }
}

static void pack(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                 const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    static const float zeros[MK_GEMM_LANES];
    int64_t words = gemm_panel_words(n_terms, 2, width);

    for (int64_t p = 0; p < n_terms; p += 2, panels += width) {
        const float *first = gemm_row(x, stride, index, p);
        const float *second = p + 1 < n_terms ? gemm_row(x, stride, index, p + 1) : zeros;

        if (width == TILE_ROWS)
            pack_terms(panels, TILE_ROWS, words, first, second, n_lanes);
        else
            pack_terms(panels, TILE_COLS, words, first, second, n_lanes);
    }
}

/* Eight lanes of all terms. */
static void turn_panel(uint32_t *out, const float *const rows[TILE_ROWS], int64_t n_terms)
{
    for (int64_t p = 0; p < n_terms; p += 16) {
        int32_t n = n_terms - p < 16 ? (int32_t)(n_terms - p) : 16;
        __m256 v[TILE_ROWS];

        MK_UNROLL
        for (int i = 0; i < TILE_ROWS; i++) {
            __m512 x = rows[i] ? _mm512_maskz_loadu_ps(first_mask(n), rows[i] + p)
                               : _mm512_setzero_ps();

            v[i] = _mm256_castsi256_ps(pair_terms(x));
        }
        transpose_8x8(v);
        if (n == 16) {
            MK_UNROLL
            for (int i = 0; i < 8; i++)
                _mm256_storeu_ps((float *)(out + (p / 2 + i) * TILE_ROWS), v[i]);
            continue;
        }
        for (int i = 0; i < (n + 1) / 2; i++)
            _mm256_storeu_ps((float *)(out + (p / 2 + i) * TILE_ROWS), v[i]);
    }
}

static void pack_turned(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                        const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    int64_t words = gemm_panel_words(n_terms, 2, width);

    for (int64_t lane = 0; lane < n_lanes; lane += width, panels += words) {
        const float *rows[TILE_ROWS];

        for (int i = 0; i < TILE_ROWS; i++)
            rows[i] = lane + i < n_lanes ? gemm_row(x, stride, index, lane + i) : NULL;
        turn_panel(panels, rows, n_terms);
    }
}

/* ---- Tiles of the backward products ---- */

/* Adds one word of a and b to all sums. */
MK_INLINE void add_word(__m512 sum[2 * TILE_ROWS], const uint32_t *a, uint32_t with,
                        const uint32_t *b)
{
    __m512bh b0 = (__m512bh)_mm512_loadu_si512((const void *)b);
    __m512bh b1 = (__m512bh)_mm512_loadu_si512((const void *)(b + 16));

    MK_UNROLL
    for (int m = 0; m < TILE_ROWS; m++) {
        __m512bh x = (__m512bh)_mm512_set1_epi32((int32_t)(a[m] | with));

        sum[2 * m] = _mm512_dpbf16_ps(sum[2 * m], x, b0);
        sum[2 * m + 1] = _mm512_dpbf16_ps(sum[2 * m + 1], x, b1);
    }
}

static void tile(float *out, int64_t out_stride, const uint32_t *a, const uint32_t *b,
                 int64_t n_terms, bool from_zero)
{
    __m512 sum[2 * TILE_ROWS];

    MK_UNROLL
    for (int m = 0; m < TILE_ROWS; m++) {
        const float *row = out + m * out_stride;

        sum[2 * m] = from_zero ? _mm512_setzero_ps() : _mm512_loadu_ps(row);
        sum[2 * m + 1] = from_zero ? _mm512_setzero_ps() : _mm512_loadu_ps(row + 16);
    }
    for (int64_t p = 0; p < n_terms / 2; p++, a += TILE_ROWS, b += TILE_COLS)
        add_word(sum, a, 0, b);
    if (n_terms % 2)
        add_word(sum, a, 0x8000, b); /* -0 * +0 is added last */
    MK_UNROLL
    for (int m = 0; m < TILE_ROWS; m++) {
        _mm512_storeu_ps(out + m * out_stride, sum[2 * m]);
        _mm512_storeu_ps(out + m * out_stride + 16, sum[2 * m + 1]);
    }
}

/* ---- Rows by packed weights ---- */

/* [(n + 1) / 2] words. */
static void round_row(void *out, const float *x, int32_t n)
{
    uint32_t *words = out;

    for (int32_t k = 0; k < n; k += 16) {
        __m256i v = pair_terms(_mm512_maskz_loadu_ps(first_mask(n - k), x + k));

        _mm256_storeu_si256((void *)(words + k / 2), v);
    }
    if (n % 2)
        words[n / 2] |= 0x8000;
}

#define DEPTH 128 /* words of two panels that stay in first-level cache while all rows pass */

/* m rows by p panels, n words of each: out = or += w . x. */
MK_INLINE void panel_tile(const int m, const int p, float *out, int64_t out_stride,
                          const unsigned char *w, int64_t panel_bytes, int32_t n,
                          const uint32_t *x, int64_t stride, bool from_zero)
{
    __m512 sum[2 * TILE_ROWS];

    MK_UNROLL
    for (int i = 0; i < m * p; i++)
        sum[i] = from_zero ? _mm512_setzero_ps()
                           : _mm512_loadu_ps(out + i / p * out_stride + i % p * MK_PANEL);
    for (int32_t k = 0; k < n; k++, w += 64) {
        __m512bh v[2];

        MK_UNROLL
        for (int j = 0; j < p; j++)
            v[j] = (__m512bh)_mm512_loadu_si512((const void *)(w + j * panel_bytes));
        MK_UNROLL
        for (int r = 0; r < m; r++) {
            __m512bh a = (__m512bh)_mm512_set1_epi32((int32_t)x[r * stride + k]);

            MK_UNROLL
            for (int j = 0; j < p; j++)
                sum[r * p + j] = _mm512_dpbf16_ps(sum[r * p + j], v[j], a);
        }
    }
    MK_UNROLL
    for (int i = 0; i < m * p; i++)
        _mm512_storeu_ps(out + i / p * out_stride + i % p * MK_PANEL, sum[i]);
}

MK_INLINE void panel_rows(const int p, float *out, int64_t out_stride, const unsigned char *w,
                          int64_t panel_bytes, int32_t n, const uint32_t *x, int64_t stride,
                          int32_t n_rows, bool from_zero)
{
    for (; n_rows >= 8; n_rows -= 8, out += 8 * out_stride, x += 8 * stride)
        panel_tile(8, p, out, out_stride, w, panel_bytes, n, x, stride, from_zero);
    for (; n_rows >= 4; n_rows -= 4, out += 4 * out_stride, x += 4 * stride)
        panel_tile(4, p, out, out_stride, w, panel_bytes, n, x, stride, from_zero);
    for (; n_rows > 0; n_rows--, out += out_stride, x += stride)
        panel_tile(1, p, out, out_stride, w, panel_bytes, n, x, stride, from_zero);
}

static void panels_bf16(float *out, int64_t out_stride, const unsigned char *panel,
                        int64_t panel_bytes, int32_t n_panels, int32_t n_in, const void *x,
                        int64_t x_stride, int32_t n_rows)
{
    int64_t stride = x_stride / 4;
    int32_t n_words = (n_in + 1) / 2;

    for (int32_t first = 0; first < n_words; first += DEPTH) {
        int32_t n = n_words - first < DEPTH ? n_words - first : DEPTH;
        const unsigned char *w = panel + (int64_t)first * 64;
        const uint32_t *row = (const uint32_t *)x + first;

        if (n_panels == 2)
            panel_rows(2, out, out_stride, w, panel_bytes, n, row, stride, n_rows, first == 0);
        else
            panel_rows(1, out, out_stride, w, panel_bytes, n, row, stride, n_rows, first == 0);
    }
}

void bf16_fill_bf16(struct kernels *k)
{
    static const struct bf16_rows rows = {
        .gemm = {TILE_ROWS, TILE_COLS, 2, pack, pack_turned, tile},
        .value_bytes = 2,
        .round = round_row,
        .panels = panels_bf16,
    };

    k->bf16_rows = &rows;
}
