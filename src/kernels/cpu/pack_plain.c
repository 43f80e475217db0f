/* pack_plain.c: f32, f16, bf16 and FP8 matrices as panels. */
#include "kernels/cpu/panel.h"

#define PACK_INPUTS 64

static int32_t fp8_block(int32_t n_in, int32_t block_in, int32_t k)
{
    int32_t left = n_in - k / block_in * block_in;

    return left < block_in ? left : block_in;
}

int64_t plain_panel_bytes(enum dtype type, int32_t n_in, int32_t block_in)
{
    int64_t n = n_in, n_blocks;

    switch (type) {
    case MK_F32:
        return n * MK_PANEL * 4;
    case MK_F16:
        return n * MK_PANEL * 2;
    case MK_BF16:
        return (n + 1) / 2 * MK_PANEL * 4;
    default:
        n_blocks = (n + block_in - 1) / block_in;
        return n_blocks * MK_PANEL * 4 + n * MK_PANEL;
    }
}

static const unsigned char *source(const struct weight_src *src, int64_t r, int64_t k)
{
    int64_t bytes = dtype_info(src->dtype)->bytes;
    const unsigned char *data = src->data;

    return src->transposed ? data + k * src->row_bytes + r * bytes
                           : data + r * src->row_bytes + k * bytes;
}

/* Inputs first .. end - 1 of one lane; so few that their part of the panel stays in cache while the
 * other lanes are written. */
static void pack_lane_f32(const struct weight_src *src, int64_t r, unsigned char *out,
                          int64_t first, int64_t end)
{
    const unsigned char *in = source(src, r, 0);
    int64_t step = src->transposed ? src->row_bytes : 4;

    for (int64_t k = first; k < end; k++)
        memcpy(out + k * MK_PANEL * 4, in + k * step, 4);
}

static void pack_lane_f16(const struct weight_src *src, int64_t r, unsigned char *out,
                          int64_t first, int64_t end)
{
    const unsigned char *in = source(src, r, 0);
    int64_t step = src->transposed ? src->row_bytes : 2;

    for (int64_t k = first; k < end; k++)
        memcpy(out + k * MK_PANEL * 2, in + k * step, 2);
}

static void pack_lane_bf16(const struct weight_src *src, int64_t r, unsigned char *out,
                           int64_t first, int64_t end)
{
    const unsigned char *in = source(src, r, 0);
    int64_t step = src->transposed ? src->row_bytes : 2;

    for (int64_t k = first; k < end; k++)
        memcpy(out + k / 2 * MK_PANEL * 4 + (k + 1) % 2 * 2, in + k * step, 2);
}

/* All lanes of a panel at once, which is written in order: training packs every weight anew after
 * each step. Values of two inputs lie in one word, the earlier in its upper half. */
static void pack_panel_bf16(const struct weight_src *src, int64_t row, unsigned char *out)
{
    const unsigned char *in[MK_PANEL];

    for (int lane = 0; lane < MK_PANEL; lane++)
        in[lane] = source(src, row + lane, 0);
    for (int64_t pair = 0; pair < src->n_in / 2; pair++)
        for (int lane = 0; lane < MK_PANEL; lane++) {
            uint32_t two = load32(in[lane] + pair * 4);

            store32(out + (pair * MK_PANEL + lane) * 4, two << 16 | two >> 16);
        }
    for (int lane = 0; src->n_in % 2 && lane < MK_PANEL; lane++)
        pack_lane_bf16(src, row + lane, out + lane * 4, src->n_in - 1, src->n_in);
}

static float fp8_scale(const struct weight_src *src, int64_t r, int64_t k)
{
    if (!src->scales)
        return 1.0f;
    return src->scales[(src->row0 + r) / src->block_out * src->n_scale_cols + k / src->block_in];
}

static void pack_lane_fp8(const struct weight_src *src, int32_t block_in, int64_t r, int32_t lane,
                          unsigned char *panel)
{
    const unsigned char *in = source(src, r, 0);

    for (int32_t k = 0; k < src->n_in; k += block_in) {
        int32_t n = fp8_block((int32_t)src->n_in, block_in, k);
        float scale = fp8_scale(src, r, k);

        memcpy(panel + lane * 4, &scale, sizeof scale);
        panel += MK_PANEL * 4;
        for (int32_t i = 0; i < n; i++)
            panel[i * MK_PANEL + lane] = in[k + i];
        panel += (int64_t)n * MK_PANEL;
    }
}

void plain_pack(const struct weight_src *src, int32_t block_in, int64_t index,
                unsigned char *panel)
{
    int64_t n_lanes = src->n_out - index * MK_PANEL, row = index * MK_PANEL;

    n_lanes = n_lanes < MK_PANEL ? n_lanes : MK_PANEL;
    if (src->dtype == MK_BF16 && n_lanes == MK_PANEL && !src->transposed) {
        pack_panel_bf16(src, row, panel);
        return;
    }
    for (int32_t lane = 0; src->dtype == MK_F8_E4M3 && lane < n_lanes; lane++)
        pack_lane_fp8(src, block_in, row + lane, lane, panel);
    for (int64_t k = 0; src->dtype != MK_F8_E4M3 && k < src->n_in; k += PACK_INPUTS) {
        int64_t end = src->n_in - k < PACK_INPUTS ? src->n_in : k + PACK_INPUTS;

        for (int32_t lane = 0; lane < n_lanes; lane++)
            if (src->dtype == MK_F32)
                pack_lane_f32(src, row + lane, panel + lane * 4, k, end);
            else if (src->dtype == MK_F16)
                pack_lane_f16(src, row + lane, panel + lane * 2, k, end);
            else
                pack_lane_bf16(src, row + lane, panel + lane * 4, k, end);
    }
}

static float fp8_value(const unsigned char *panel, int32_t block_in, int32_t lane, int32_t k)
{
    int64_t whole = MK_PANEL * 4 + (int64_t)block_in * MK_PANEL;
    const unsigned char *block = panel + k / block_in * whole;

    return e4m3_to_f32(block[MK_PANEL * 4 + (int64_t)(k % block_in) * MK_PANEL + lane]) *
           load_f32(block + lane * 4);
}

float plain_value(enum dtype type, const unsigned char *panel, int32_t block_in, int32_t lane,
                  int32_t k)
{
    int64_t at = (int64_t)k * MK_PANEL + lane;

    switch (type) {
    case MK_F32:
        return load_f32(panel + at * 4);
    case MK_F16:
        return f16_to_f32(load16(panel + at * 2));
    case MK_BF16:
        return bf16_to_f32(
            load16(panel + ((int64_t)(k / 2) * MK_PANEL + lane) * 4 + (k + 1) % 2 * 2));
    default:
        return fp8_value(panel, block_in, lane, k);
    }
}
