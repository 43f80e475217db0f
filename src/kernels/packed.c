/* packed.c: checks what a weight claims to be, takes memory for its panels, and fills them. */
#include "kernels/packed.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/cpu/panel.h"

static int check_shape(const struct weight_src *src, struct mk_error *err)
{
    if ((unsigned)src->dtype >= MK_N_DTYPES)
        return mk_error_set(err, MK_EINVAL, "number format %d does not exist", (int)src->dtype);
    if (src->dtype > MK_IQ4_XS)
        return mk_error_set(err, MK_EUNSUPPORTED, "a weight of type %s has no matrix product",
                            dtype_info(src->dtype)->name);
    if (src->n_out < 1 || src->n_in < 1 || src->n_out > INT32_MAX - MK_PANEL ||
        src->n_in > INT32_MAX - 256)
        return mk_error_set(err, MK_EFORMAT,
                            "a weight of %" PRId64 " outputs and %" PRId64
                            " inputs; each must be 1 to 2^31 - 257",
                            src->n_out, src->n_in);
    if (src->n_in % dtype_info(src->dtype)->block)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%" PRId64 " inputs do not divide into the blocks of %d of type %s",
                            src->n_in, (int)dtype_info(src->dtype)->block,
                            dtype_info(src->dtype)->name);
    if (src->transposed && src->dtype > MK_BF16)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "a weight of type %s cannot be read transposed; only f32, f16 and bf16",
                            dtype_info(src->dtype)->name);
    return 0;
}

/* FP8: every scale that packing will read must be inside a row of the scales. */
static int check_scales(const struct weight_src *src, struct mk_error *err)
{
    if (!src->scales)
        return 0;
    if (src->dtype != MK_F8_E4M3)
        return mk_error_set(err, MK_EUNSUPPORTED, "a weight of type %s takes no block scales",
                            dtype_info(src->dtype)->name);
    if (src->block_in < 1 || src->block_out < 1 || src->row0 < 0 ||
        src->n_scale_cols < (src->n_in - 1) / src->block_in + 1)
        return mk_error_set(err, MK_EFORMAT,
                            "FP8 scales of blocks of %d x %d in %" PRId64
                            " columns do not cover %" PRId64 " inputs",
                            (int)src->block_out, (int)src->block_in, src->n_scale_cols, src->n_in);
    return 0;
}

/* Inputs that share an FP8 scale; without scales one block (and a scale of 1) covers all. */
static int32_t block_in_of(const struct weight_src *src)
{
    if (src->dtype != MK_F8_E4M3)
        return 0;
    return !src->scales || src->block_in > src->n_in ? (int32_t)src->n_in : src->block_in;
}

static int64_t panel_bytes_of(const struct weight_src *src)
{
    const struct unit_layout *l = unit_layout(src->dtype);
    int64_t n_parts = l->block / MK_BLOCK, bytes;

    if (l->block)
        bytes = src->n_in / l->block * (l->head_bytes + n_parts * l->part_bytes);
    else
        bytes = plain_panel_bytes(src->dtype, (int32_t)src->n_in, block_in_of(src));
    return (bytes + 63) & ~(int64_t)63;
}

int packed_bytes(const struct weight_src *src, uint64_t *bytes, struct mk_error *err)
{
    uint64_t n_panels;
    int code = check_shape(src, err);

    if (!code)
        code = check_scales(src, err);
    if (code)
        return code;
    n_panels = ((uint64_t)src->n_out + MK_PANEL - 1) / MK_PANEL;
    if (!checked_mul(n_panels, (uint64_t)panel_bytes_of(src), bytes) || *bytes > SIZE_MAX / 2)
        return mk_error_set(err, MK_EFORMAT,
                            "a weight of %" PRId64 " outputs and %" PRId64 " inputs is too large",
                            src->n_out, src->n_in);
    return 0;
}

int packed_reserve(struct packed *p, const struct weight_src *src, struct arena *arena,
                   struct mk_error *err)
{
    uint64_t bytes;
    int code = packed_bytes(src, &bytes, err);

    if (code)
        return code;
    *p = (struct packed){.dtype = src->dtype,
                         .n_out = (int32_t)src->n_out,
                         .n_in = (int32_t)src->n_in,
                         .block_in = block_in_of(src),
                         .panel_bytes = panel_bytes_of(src)};
    return arena_take(arena, &p->data, (size_t)bytes, 1, err);
}

static void fill_units(const struct packed *p, const struct weight_src *src, int64_t index,
                       unsigned char *panel)
{
    const struct unit_layout *l = unit_layout(p->dtype);
    int32_t n_lanes = p->n_out - index * MK_PANEL < MK_PANEL
                          ? (int32_t)(p->n_out - index * MK_PANEL)
                          : MK_PANEL;
    int64_t block_bytes = dtype_info(p->dtype)->bytes;
    int64_t unit_bytes = l->head_bytes + l->block / MK_BLOCK * (int64_t)l->part_bytes;
    const unsigned char *first =
        (const unsigned char *)src->data + index * MK_PANEL * src->row_bytes;

    for (int64_t u = 0; u < p->n_in / l->block; u++)
        for (int32_t lane = 0; lane < n_lanes; lane++)
            unit_pack_lane(p->dtype, panel + u * unit_bytes, lane,
                           first + lane * src->row_bytes + u * block_bytes);
}

void packed_fill(struct packed *p, const struct weight_src *original)
{
    struct weight_src src = *original;
    int64_t n_panels = packed_n_panels(p), row = src.transposed ? src.n_out : src.n_in;

    if (!src.row_bytes)
        src.row_bytes = row / dtype_info(src.dtype)->block * dtype_info(src.dtype)->bytes;
    for (int64_t i = 0; i < n_panels; i++) {
        unsigned char *panel = p->data + i * p->panel_bytes;

        if (i == n_panels - 1) /* lanes that are not there */
            memset(panel, 0, (size_t)p->panel_bytes);
        else
            memset(panel + p->panel_bytes - 64, 0, 64);
        if (dtype_is_quantised(p->dtype))
            fill_units(p, &src, i, panel);
        else
            plain_pack(&src, p->block_in, i, panel);
    }
}

int packed_init(struct packed *p, const struct weight_src *src, struct arena *arena,
                struct mk_error *err)
{
    int code = packed_reserve(p, src, arena, err);

    if (!code)
        packed_fill(p, src);
    return code;
}

static void row_of_blocks(const struct packed *p, const unsigned char *panel, int32_t lane,
                          float *out)
{
    struct panel_block b;

    for (int32_t block = 0; block < p->n_in / MK_BLOCK; block++) {
        panel_block_read(&b, p->dtype, panel, block);
        for (int k = 0; k < MK_BLOCK; k++) {
            int s = k / 16;
            float value = b.d[lane] * (float)(b.sub[s][lane] * b.q[k / 4][lane][k % 4]);

            out[block * MK_BLOCK + k] = value + b.m[lane] * (float)b.min[s][lane];
        }
    }
}

void packed_row(const struct packed *p, int64_t r, float *out)
{
    const unsigned char *panel = p->data + r / MK_PANEL * p->panel_bytes;
    int32_t lane = (int32_t)(r % MK_PANEL);

    if (dtype_is_quantised(p->dtype)) {
        row_of_blocks(p, panel, lane, out);
        return;
    }
    if (p->dtype == MK_F32) { /* every token of a training pass reads one */
        const float *values = (const float *)(const void *)panel + lane;

        for (int32_t k = 0; k < p->n_in; k++)
            out[k] = values[k * MK_PANEL];
        return;
    }
    for (int32_t k = 0; k < p->n_in; k++)
        out[k] = plain_value(p->dtype, panel, p->block_in, lane, k);
}
