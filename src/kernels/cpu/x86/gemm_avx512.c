/* gemm_avx512.c: tiles of the backward products, sixteen lanes at a time. */
#include "kernels/cpu/x86/gemm_x86.h"
#include "kernels/cpu/x86/lanes_avx512.h"

#define TILE_ROWS 8
#define TILE_COLS 32

/* Lanes lane .. lane + 15 of one term: to one panel, or to two of eight lanes. */
MK_INLINE void store_lanes(float *panels, int32_t width, int64_t panel_words, int64_t lane,
                           int64_t n_lanes, __m512 v)
{
    float *out = panels + lane / width * panel_words + lane % width;

    if (width >= 16) {
        _mm512_storeu_ps(out, v);
        return;
    }
    _mm256_storeu_ps(out, _mm512_castps512_ps256(v));
    if (n_lanes - lane > TILE_ROWS)
        _mm256_storeu_ps(out + panel_words, upper_half(v));
}

MK_INLINE void pack_term(float *out, int32_t width, int64_t panel_words, const float *row,
                         int64_t n_lanes)
{
    int64_t lane = 0;

    for (; lane + 16 <= n_lanes; lane += 16)
        store_lanes(out, width, panel_words, lane, n_lanes, _mm512_loadu_ps(row + lane));
    for (; lane < (n_lanes + width - 1) / width * width; lane += 16) {
        __mmask16 mask = first_mask(lane < n_lanes ? (int32_t)(n_lanes - lane) : 0);

        store_lanes(out, width, panel_words, lane, n_lanes,
                    _mm512_maskz_loadu_ps(mask, row + lane));
    }
}

static void pack_avx512(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                        const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    int64_t words = gemm_panel_words(n_terms, 1, width);

    for (int64_t p = 0; p < n_terms; p++, panels += width) {
        const float *row = gemm_row(x, stride, index, p);

        if (p + GEMM_AHEAD < n_terms)
            gemm_prefetch(gemm_row(x, stride, index, p + GEMM_AHEAD), n_lanes);
        if (width == TILE_ROWS)
            pack_term((float *)panels, TILE_ROWS, words, row, n_lanes);
        else
            pack_term((float *)panels, TILE_COLS, words, row, n_lanes);
    }
}

/* Sixteen sums, two panels of b and one value of a. */
static void tile_avx512(float *out, int64_t out_stride, const uint32_t *a_words,
                        const uint32_t *b_words, int64_t n_terms, bool from_zero)
{
    const float *a = (const float *)a_words, *b = (const float *)b_words;
    __m512 sum[2 * TILE_ROWS];

    MK_UNROLL
    for (int m = 0; m < TILE_ROWS; m++) {
        const float *row = out + m * out_stride;

        sum[2 * m] = from_zero ? _mm512_setzero_ps() : _mm512_loadu_ps(row);
        sum[2 * m + 1] = from_zero ? _mm512_setzero_ps() : _mm512_loadu_ps(row + 16);
    }
    for (int64_t p = 0; p < n_terms; p++, a += TILE_ROWS, b += TILE_COLS) {
        __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);

        MK_UNROLL
        for (int m = 0; m < TILE_ROWS; m++) {
            __m512 x = _mm512_set1_ps(a[m]);

            sum[2 * m] = _mm512_fmadd_ps(x, b0, sum[2 * m]);
            sum[2 * m + 1] = _mm512_fmadd_ps(x, b1, sum[2 * m + 1]);
        }
    }
    MK_UNROLL
    for (int m = 0; m < TILE_ROWS; m++) {
        _mm512_storeu_ps(out + m * out_stride, sum[2 * m]);
        _mm512_storeu_ps(out + m * out_stride + 16, sum[2 * m + 1]);
    }
}

void gemm_fill_avx512(struct kernels *k)
{
    static const struct gemm_rows rows = {TILE_ROWS,   TILE_COLS,  1, pack_avx512,
                                          gemm_pack_turned_avx2, tile_avx512};

    k->gemm_rows = &rows;
}
