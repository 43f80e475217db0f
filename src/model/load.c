/* load.c: finds, checks and packs tensors. */
#include "model/load.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tensor/dequant.h"

int loader_init(struct loader *ld, struct model *m, const struct tensors *t, enum name_style style)
{
    *ld = (struct loader){.file = t, .style = style, .model = m, .active_share = 1};
    arena_init(&ld->temp, SIZE_MAX / 4);
    for (int64_t i = 0; i < t->n_items; i++)
        ld->total_bytes += t->items[i].bytes;
    return 0;
}

void loader_release(struct loader *ld)
{
    arena_release(&ld->temp);
}

static const struct file_tensor *find(const struct loader *ld, enum weight_role role, int32_t layer,
                                      int32_t expert)
{
    char name[MK_NAME_BYTES];

    if (!weight_name(name, ld->style, role, layer, expert))
        return NULL;
    return tensors_find(ld->file, name);
}

bool load_has(const struct loader *ld, enum weight_role role, int32_t layer)
{
    return find(ld, role, layer, 0) != NULL;
}

static int need(const struct loader *ld, const struct file_tensor **t, enum weight_role role,
                int32_t layer, int32_t expert, struct mk_error *err)
{
    char name[MK_NAME_BYTES] = "?";

    *t = find(ld, role, layer, expert);
    if (*t)
        return 0;
    weight_name(name, ld->style, role, layer, expert);
    return mk_error_set(
        err, MK_EFORMAT,
        "%s: tensor %s is missing: the file is incomplete or of another architecture",
        ld->file->n_files ? ld->file->paths[0] : "model", name);
}

static int check_shape(const struct loader *ld, const struct file_tensor *t, int64_t rows,
                       int64_t columns, struct mk_error *err)
{
    int64_t n = 1;

    for (int32_t i = 0; i < t->n_dims - 1; i++)
        n *= t->shape[i];
    if (t->n_dims >= 1 && t->shape[t->n_dims - 1] == columns && n == rows)
        return 0;
    return mk_error_set(err, MK_EFORMAT,
                        "%s: tensor %s has %" PRId64 " x %" PRId64
                        " values, the configuration asks for %" PRId64 " x %" PRId64,
                        ld->file->paths[t->file], t->name, n,
                        t->n_dims ? t->shape[t->n_dims - 1] : 1, rows, columns);
}

/* The block scales that belong to an FP8 tensor ("X.weight_scale_inv": multiply, in spite of the
 * name). */
static int find_scales(const struct loader *ld, const struct file_tensor *t, struct weight_src *src,
                       struct mk_error *err)
{
    const struct arch *a = &ld->model->arch;
    const struct file_tensor *s;
    char name[2 * MK_NAME_BYTES];
    int64_t rows, columns;

    if (t->dtype != MK_F8_E4M3 || a->fp8_block[0] <= 0 || a->fp8_block[1] <= 0)
        return 0;
    snprintf(name, sizeof name, "%s_scale_inv", t->name);
    s = tensors_find(ld->file, name);
    if (!s)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: tensor %s is missing: FP8 weights need their scales",
                            ld->file->paths[t->file], name);
    rows = (t->shape[0] + a->fp8_block[0] - 1) / a->fp8_block[0];
    columns = (t->shape[1] + a->fp8_block[1] - 1) / a->fp8_block[1];
    if (s->dtype != MK_F32)
        return mk_error_set(err, MK_EUNSUPPORTED, "%s: tensor %s is %s, expected F32 scales",
                            ld->file->paths[s->file], name, dtype_info(s->dtype)->name);
    if (check_shape(ld, s, rows, columns, err))
        return err->code;
    src->scales = (const float *)(const void *)s->data;
    src->n_scale_cols = columns;
    src->block_out = a->fp8_block[0];
    src->block_in = a->fp8_block[1];
    return 0;
}

int load_describe(const struct loader *ld, const struct matrix_part *part, struct weight_src *src,
                  const struct file_tensor **tensor, struct mk_error *err)
{
    const struct file_tensor *t;
    int64_t n_rows = part->n_rows, row0 = part->row0;
    bool stack =
        ld->style == NAME_GGUF && part->role >= W_EXPERT_GATE && part->role <= W_EXPERT_DOWN;
    uint64_t row_bytes;

    if (need(ld, &t, part->role, part->layer, part->expert, err))
        return err->code;
    if (stack) {
        row0 += part->expert * part->n_rows;
        n_rows *= ld->model->arch.n_experts;
    }
    if (check_shape(ld, t, n_rows, part->n_in, err))
        return err->code;
    if (!dtype_bytes(t->dtype, (uint64_t)part->n_in, &row_bytes))
        return mk_error_set(
            err, MK_EFORMAT,
            "%s: tensor %s: rows of %" PRId64 " values do not divide into %s blocks",
            ld->file->paths[t->file], t->name, part->n_in, dtype_info(t->dtype)->name);
    *src = (struct weight_src){.dtype = t->dtype,
                               .n_out = part->n_out,
                               .n_in = part->n_in,
                               .data = t->data + (uint64_t)row0 * row_bytes,
                               .row_bytes = (int64_t)row_bytes,
                               .row0 = row0};
    *tensor = t;
    return find_scales(ld, t, src, err);
}

static int progress(struct loader *ld, uint64_t bytes, struct mk_error *err)
{
    const struct model_options *o = &ld->model->options;

    ld->done_bytes += bytes;
    if (o->progress && o->progress(o->progress_user, ld->done_bytes, ld->total_bytes))
        return mk_error_set(err, MK_ECANCELLED, "loading was cancelled");
    return 0;
}

void load_row_f32(const struct weight_src *src, int64_t r, float *out)
{
    const float *scales;

    dequantise_row(src->dtype, (const unsigned char *)src->data + r * src->row_bytes, src->n_in,
                   out);
    if (!src->scales)
        return;
    scales = src->scales + (src->row0 + r) / src->block_out * src->n_scale_cols;
    for (int64_t k = 0; k < src->n_in; k++)
        out[k] *= scales[k / src->block_in];
}

/* Rows as f32 in the temporary arena. */
static int part_to_f32(struct loader *ld, const struct weight_src *src, float **values,
                       struct mk_error *err)
{
    if (arena_take(&ld->temp, values, (size_t)(src->n_out * src->n_in), sizeof(float), err))
        return err->code;
    for (int64_t r = 0; r < src->n_out; r++)
        load_row_f32(src, r, *values + r * src->n_in);
    return 0;
}

static int check_finite(struct loader *ld, const struct weight_src *src,
                        const struct file_tensor *t, struct mk_error *err)
{
    float *row;

    if (!ld->model->options.check_tensors)
        return 0;
    arena_reset(&ld->temp);
    if (arena_take(&ld->temp, &row, (size_t)src->n_in, sizeof *row, err))
        return err->code;
    for (int64_t r = 0; r < src->n_out; r++) {
        load_row_f32(src, r, row);
        for (int64_t k = 0; k < src->n_in; k++)
            if (!isfinite(row[k]))
                return mk_error_set(err, MK_EFORMAT,
                                    "%s: tensor %s: value %" PRId64 " of row %" PRId64
                                    " is not a finite number: the file is damaged",
                                    ld->file->paths[t->file], t->name, k, src->row0 + r);
    }
    return 0;
}

/* For model_refill: p or vector came from src. */
static int remember(struct loader *ld, const struct weight_src *src, const struct packed *p,
                    float *vector, struct mk_error *err)
{
    struct weight_origin *o;

    if (!ld->model->options.refill)
        return 0;
    if (arena_take(&ld->model->memory, &o, 1, sizeof *o, err))
        return err->code;
    *o = (struct weight_origin){.next = ld->model->origins, .src = *src, .vector = vector};
    if (p)
        o->packed = *p;
    ld->model->origins = o;
    ld->model->n_origins++;
    return 0;
}

/* A weight that is converted on the way has no lasting values to be packed from again. */
static int refuse_refill(const struct loader *ld, const struct file_tensor *t, struct mk_error *err)
{
    if (!ld->model->options.refill)
        return 0;
    return mk_error_set(err, MK_EUNSUPPORTED, "%s: tensor %s of type %s cannot be packed again",
                        ld->file->paths[t->file], t->name, dtype_info(t->dtype)->name);
}

/* Packs, counts, and lets go of the pages that were read. */
static int pack(struct loader *ld, struct packed *p, const struct weight_src *src,
                const struct weight_src *in_file, const struct file_tensor *t, struct mk_error *err)
{
    uint64_t bytes = (uint64_t)(in_file->n_out * in_file->row_bytes), packed;
    uint64_t n = (uint64_t)(in_file->n_out * in_file->n_in);

    if (check_finite(ld, in_file, t, err))
        return err->code;
    if (packed_bytes(src, &packed, err) || packed_init(p, src, &ld->model->memory, err))
        return mk_error_wrap(err, "%s: tensor %s", ld->file->paths[t->file], t->name);
    if (remember(ld, src, p, NULL, err))
        return err->code;
    ld->model->weight_bytes += packed;
    ld->model->n_params += n;
    ld->n_active += (double)n * ld->active_share;
    map_file_forget(&ld->file->files[t->file], in_file->data, bytes);
    return progress(ld, bytes, err);
}

int load_matrix(struct loader *ld, struct packed *p, const struct matrix_part *part,
                struct mk_error *err)
{
    const struct file_tensor *t;
    struct weight_src src;

    if (load_describe(ld, part, &src, &t, err))
        return err->code;
    return pack(ld, p, &src, &src, t, err);
}

int load_matrix_f32(struct loader *ld, struct packed *p, const struct matrix_part *part,
                    struct mk_error *err)
{
    const struct file_tensor *t;
    struct weight_src src, wide;
    float *values;

    arena_reset(&ld->temp);
    if (load_describe(ld, part, &src, &t, err))
        return err->code;
    if (src.dtype == MK_F32)
        return pack(ld, p, &src, &src, t, err);
    if (refuse_refill(ld, t, err) || part_to_f32(ld, &src, &values, err))
        return err->code;
    wide =
        (struct weight_src){.dtype = MK_F32, .n_out = src.n_out, .n_in = src.n_in, .data = values};
    return pack(ld, p, &wide, &src, t, err);
}

/* Blocks cannot be turned: their values become f32 (FP8, whose product with the scale needs it) or
 * f16 (quantised ones, which are coarser than f16 by far). */
static int widen(struct loader *ld, const struct weight_src *src, struct weight_src *view,
                 struct mk_error *err)
{
    int64_t n = src->n_out * src->n_in;
    uint16_t *narrow;
    float *values;

    arena_reset(&ld->temp);
    if (part_to_f32(ld, src, &values, err))
        return err->code;
    view->dtype = MK_F32;
    view->data = values;
    view->row_bytes = src->n_in * (int64_t)sizeof *values;
    if (!dtype_is_quantised(src->dtype))
        return 0;
    if (arena_take(&ld->temp, &narrow, (size_t)n, sizeof *narrow, err))
        return err->code;
    for (int64_t i = 0; i < n; i++)
        narrow[i] = f32_to_f16(values[i]);
    view->dtype = MK_F16;
    view->data = narrow;
    view->row_bytes = src->n_in * (int64_t)sizeof *narrow;
    return 0;
}

int load_transposed(struct loader *ld, struct packed *p, const struct matrix_part *part,
                    struct mk_error *err)
{
    const struct file_tensor *t;
    struct weight_src src, view;

    if (load_describe(ld, part, &src, &t, err))
        return err->code;
    view = (struct weight_src){.dtype = src.dtype,
                               .n_out = src.n_in,
                               .n_in = src.n_out,
                               .data = src.data,
                               .row_bytes = src.row_bytes,
                               .transposed = true};
    if (src.dtype != MK_F32 && src.dtype != MK_F16 && src.dtype != MK_BF16 &&
        (refuse_refill(ld, t, err) || widen(ld, &src, &view, err)))
        return err->code;
    return pack(ld, p, &view, &src, t, err);
}

int load_vector(struct loader *ld, const float **v, enum weight_role role, int32_t layer, int64_t n,
                struct mk_error *err)
{
    const struct file_tensor *t;
    struct weight_src src;
    float *values;

    if (need(ld, &t, role, layer, 0, err) || check_shape(ld, t, 1, n, err) ||
        arena_take(&ld->model->memory, &values, (size_t)n, sizeof *values, err))
        return err->code;
    if (t->dtype != MK_F32 && t->dtype != MK_F16 && t->dtype != MK_BF16)
        return mk_error_set(err, MK_EUNSUPPORTED, "%s: tensor %s is %s, expected F32, F16 or BF16",
                            ld->file->paths[t->file], t->name, dtype_info(t->dtype)->name);
    src = (struct weight_src){.dtype = t->dtype, .n_out = 1, .n_in = n, .data = t->data};
    if (check_finite(ld, &src, t, err))
        return err->code;
    load_row_f32(&src, 0, values);
    if (remember(ld, &src, NULL, values, err))
        return err->code;
    *v = values;
    ld->model->n_params += (uint64_t)n;
    ld->n_active += (double)n * ld->active_share;
    ld->model->weight_bytes += (uint64_t)n * sizeof *values;
    return progress(ld, t->bytes, err);
}

int load_take(struct loader *ld, void *pointer_to_pointer, size_t n, size_t size,
              struct mk_error *err)
{
    void *p;

    if (arena_take(&ld->model->memory, &p, n, size, err))
        return err->code;
    memset(p, 0, n * size);
    memcpy(pointer_to_pointer, &p, sizeof p);
    return 0;
}
