/* gemm_ref.c: one tile of the backward products in plain C, and bf16 products. */
#include <float.h>
#include <math.h>

#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/matmul_rows.h"

#define TILE_ROWS 6
#define TILE_COLS 16

/* ---- f32 ---- */

static void put(uint32_t *word, float x)
{
    memcpy(word, &x, sizeof x);
}

static float get(const uint32_t *word)
{
    float x;

    memcpy(&x, word, sizeof x);
    return x;
}

static void pack_ref(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                     const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    int64_t words = gemm_panel_words(n_terms, 1, width);

    for (int64_t lane = 0; lane < n_lanes; lane += width, panels += words)
        for (int64_t p = 0; p < n_terms; p++) {
            const float *row = gemm_row(x, stride, index, p);

            for (int64_t i = 0; i < width; i++)
                put(panels + p * width + i, lane + i < n_lanes ? row[lane + i] : 0);
        }
}

static void turn_ref(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                     const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    int64_t words = gemm_panel_words(n_terms, 1, width);

    for (int64_t lane = 0; lane < n_lanes; lane += width, panels += words)
        for (int64_t i = 0; i < width; i++) {
            const float *row =
                lane + i < n_lanes ? gemm_row(x, stride, index, lane + i) : NULL;

            for (int64_t p = 0; p < n_terms; p++)
                put(panels + p * width + i, row ? row[p] : 0);
        }
}

static void tile_ref(float *out, int64_t out_stride, const uint32_t *a, const uint32_t *b,
                     int64_t n_terms, bool from_zero)
{
    for (int m = 0; m < TILE_ROWS; m++)
        for (int n = 0; n < TILE_COLS; n++) {
            float sum = from_zero ? 0.0f : out[m * out_stride + n];

            for (int64_t p = 0; p < n_terms; p++)
                sum = fmaf(get(a + p * TILE_ROWS + m), get(b + p * TILE_COLS + n), sum);
            out[m * out_stride + n] = sum;
        }
}

void gemm_fill_ref(struct kernels *k)
{
    static const struct gemm_rows rows = {TILE_ROWS, TILE_COLS, 1, pack_ref, turn_ref, tile_ref};

    k->gemm_rows = &rows;
}

/* ---- bf16 ---- */

static float flush(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

static float round_bf16(float x)
{
    return bf16_to_f32(f32_to_bf16(flush(x)));
}

/* A result of 2^-126 may have been a little less before it was rounded: that is seen where nothing
 * is subnormal, 2^64 higher. The smaller factor is raised: no overflow. */
float bf16_fma(float a, float b, float c)
{
    float sum = fmaf(a, b, c), low = fabsf(a) < fabsf(b) ? a : b, high = low == a ? b : a;

    if (fabsf(sum) == FLT_MIN && fabsf(fmaf(low * 0x1p64f, high, c * 0x1p64f)) < 0x1p-62f)
        return copysignf(0, sum);
    return flush(sum);
}

static void round_panels(uint32_t *panels, int64_t n_terms, int32_t width, int64_t n_lanes)
{
    for (int64_t lane = 0; lane < n_lanes; lane += width) {
        for (int64_t i = 0; i < n_terms * width; i++)
            put(panels + i, round_bf16(get(panels + i)));
        panels += gemm_panel_words(n_terms, 1, width);
    }
}

static void pack_bf16_ref(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                          const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    pack_ref(panels, width, x, stride, index, n_terms, n_lanes);
    round_panels(panels, n_terms, width, n_lanes);
}

static void turn_bf16_ref(uint32_t *panels, int32_t width, const float *x, int64_t stride,
                          const int32_t *index, int64_t n_terms, int64_t n_lanes)
{
    turn_ref(panels, width, x, stride, index, n_terms, n_lanes);
    round_panels(panels, n_terms, width, n_lanes);
}

static void tile_bf16_ref(float *out, int64_t out_stride, const uint32_t *a, const uint32_t *b,
                          int64_t n_terms, bool from_zero)
{
    for (int m = 0; m < TILE_ROWS; m++)
        for (int n = 0; n < TILE_COLS; n++) {
            float sum = from_zero ? 0.0f : flush(out[m * out_stride + n]);

            for (int64_t p = 0; p < n_terms; p++)
                sum = bf16_fma(get(a + p * TILE_ROWS + m), get(b + p * TILE_COLS + n), sum);
            out[m * out_stride + n] = sum;
        }
}

static void round_ref(void *out, const float *x, int32_t n)
{
    float *rounded = out;

    for (int32_t i = 0; i < n; i++)
        rounded[i] = round_bf16(x[i]);
}

static void panels_ref(float *out, int64_t out_stride, const unsigned char *panel,
                       int64_t panel_bytes, int32_t n_panels, int32_t n_in, const void *x,
                       int64_t x_stride, int32_t n_rows)
{
    for (int32_t row = 0; row < n_rows; row++) {
        const float *v = (const void *)((const char *)x + row * x_stride);

        for (int i = 0; i < n_panels * MK_PANEL; i++) {
            const unsigned char *w = panel + i / MK_PANEL * panel_bytes;
            float sum = 0;

            for (int32_t k = 0; k < n_in; k++)
                sum = bf16_fma(flush(plain_value(MK_BF16, w, 0, i % MK_PANEL, k)), v[k], sum);
            out[row * out_stride + i] = sum;
        }
    }
}

void bf16_fill_ref(struct kernels *k)
{
    static const struct bf16_rows rows = {
        .gemm = {TILE_ROWS, TILE_COLS, 1, pack_bf16_ref, turn_bf16_ref, tile_bf16_ref},
        .value_bytes = 4,
        .round = round_ref,
        .panels = panels_ref,
    };

    k->bf16_rows = &rows;
}
