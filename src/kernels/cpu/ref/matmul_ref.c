/* matmul_ref.c: the matrix product of one panel in plain C: what every variant must compute. */
#include <math.h>

#include "kernels/cpu/matmul_rows.h"

/* ---- Rounding activations ---- */

static float largest_magnitude(const float *x)
{
    float largest = 0;

    for (int i = 0; i < MK_BLOCK; i++) {
        if (!isfinite(x[i]))
            return INFINITY;
        largest = fmaxf(largest, fabsf(x[i]));
    }
    return largest;
}

static void quantise_block(struct x_block *out, const float *x)
{
    float largest = largest_magnitude(x), inverse;

    memset(out, 0, sizeof *out);
    if (!isfinite(largest))
        out->d = NAN;
    if (!isfinite(largest) || largest < MK_X_TINY)
        return;
    out->d = largest / 127.0f;
    inverse = 127.0f / largest;
    for (int i = 0; i < MK_BLOCK; i++) {
        out->q[i] = (int8_t)lrintf(x[i] * inverse);
        out->sum[i / 16][i % 4 / 2] = (int16_t)(out->sum[i / 16][i % 4 / 2] + out->q[i]);
        out->total += (float)out->q[i];
    }
}

static void quantise_ref(struct x_block *out, int64_t block_stride, const float *x,
                         int32_t n_blocks)
{
    for (int32_t b = 0; b < n_blocks; b++)
        quantise_block(out + b * block_stride, x + (int64_t)b * MK_BLOCK);
}

/* ---- Block weights ---- */

static int32_t integer_sum(const struct panel_block *b, const struct x_block *x, int lane)
{
    int32_t sum = 0;

    for (int s = 0; s < 2; s++) {
        int32_t half = 0;

        for (int k = 16 * s; k < 16 * s + 16; k++)
            half += b->q[k / 4][lane][k % 4] * x->q[k];
        sum += half * b->sub[s][lane];
    }
    return sum;
}

static int32_t minimum_sum(const struct panel_block *b, const struct x_block *x, int lane)
{
    return b->min[0][lane] * (x->sum[0][0] + x->sum[0][1]) +
           b->min[1][lane] * (x->sum[1][0] + x->sum[1][1]);
}

static void blocks_of(enum dtype type, float *acc, const unsigned char *panel, int32_t n_blocks,
                      const struct x_block *x, int32_t n_rows)
{
    struct panel_block b;

    memset(acc, 0, (size_t)n_rows * MK_PANEL * sizeof *acc);
    for (int32_t i = 0; i < n_blocks; i++, x += n_rows) {
        panel_block_read(&b, type, panel, i);
        for (int32_t row = 0; row < n_rows; row++)
            for (int lane = 0; lane < MK_PANEL; lane++) {
                float *a = acc + row * MK_PANEL + lane;

                *a = fmaf((float)integer_sum(&b, x + row, lane), b.d[lane] * x[row].d, *a);
                if (unit_has_min(type))
                    *a = fmaf((float)minimum_sum(&b, x + row, lane), b.m[lane] * x[row].d, *a);
            }
    }
}

static void q8_0(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q8_0, acc, panel, n, x, n_rows);
}

static void q4_0(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q4_0, acc, panel, n, x, n_rows);
}

static void q4_1(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q4_1, acc, panel, n, x, n_rows);
}

static void q5_0(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q5_0, acc, panel, n, x, n_rows);
}

static void q5_1(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q5_1, acc, panel, n, x, n_rows);
}

static void q2_k(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q2_K, acc, panel, n, x, n_rows);
}

static void q3_k(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q3_K, acc, panel, n, x, n_rows);
}

static void q4_k(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q4_K, acc, panel, n, x, n_rows);
}

static void q5_k(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q5_K, acc, panel, n, x, n_rows);
}

static void q6_k(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                 int32_t n_rows)
{
    blocks_of(MK_Q6_K, acc, panel, n, x, n_rows);
}

static void iq4_nl(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                   int32_t n_rows)
{
    blocks_of(MK_IQ4_NL, acc, panel, n, x, n_rows);
}

static void iq4_xs(float *acc, const unsigned char *panel, int32_t n, const struct x_block *x,
                   int32_t n_rows)
{
    blocks_of(MK_IQ4_XS, acc, panel, n, x, n_rows);
}

/* ---- Plain weights ---- */

static void plain_of(enum dtype type, float *out, int64_t out_stride, const unsigned char *panel,
                     int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                     int32_t n_rows)
{
    for (int lane = 0; lane < MK_PANEL; lane++)
        for (int32_t row = 0; row < n_rows; row++)
            out[row * out_stride + lane] = 0;
    for (int32_t k = 0; k < n_in; k++)
        for (int lane = 0; lane < MK_PANEL; lane++) {
            float w = plain_value(type, panel, block_in, lane, k);

            for (int32_t row = 0; row < n_rows; row++) {
                float *a = out + row * out_stride + lane;

                *a = fmaf(w, x[row * x_stride + k], *a);
            }
        }
}

static void f32(float *out, int64_t out_stride, const unsigned char *panel, int32_t n_in,
                int32_t block_in, const float *x, int64_t x_stride, int32_t n_rows)
{
    plain_of(MK_F32, out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
}

static void f16(float *out, int64_t out_stride, const unsigned char *panel, int32_t n_in,
                int32_t block_in, const float *x, int64_t x_stride, int32_t n_rows)
{
    plain_of(MK_F16, out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
}

static void bf16(float *out, int64_t out_stride, const unsigned char *panel, int32_t n_in,
                 int32_t block_in, const float *x, int64_t x_stride, int32_t n_rows)
{
    plain_of(MK_BF16, out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
}

static void fp8(float *out, int64_t out_stride, const unsigned char *panel, int32_t n_in,
                int32_t block_in, const float *x, int64_t x_stride, int32_t n_rows)
{
    plain_of(MK_F8_E4M3, out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
}

static const struct matmul_rows rows = {
    .quantise = quantise_ref,
    .blocks = {[MK_Q8_0] = q8_0, [MK_Q4_0] = q4_0, [MK_Q4_1] = q4_1, [MK_Q5_0] = q5_0,
               [MK_Q5_1] = q5_1, [MK_Q2_K] = q2_k, [MK_Q3_K] = q3_k, [MK_Q4_K] = q4_k,
               [MK_Q5_K] = q5_k, [MK_Q6_K] = q6_k, [MK_IQ4_NL] = iq4_nl, [MK_IQ4_XS] = iq4_xs},
    .plain = {[MK_F32] = f32, [MK_F16] = f16, [MK_BF16] = bf16, [MK_F8_E4M3] = fp8},
};

void matmul_fill_ref(struct kernels *k)
{
    k->matmul_rows = &rows;
}
