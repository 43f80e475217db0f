/* narrow.c: the rounded copies of the masters. */
#include "train/narrow.h"

#include <math.h>
#include <string.h>

#include "kernels/fp8.h"

static enum dtype type_of(const struct param *q, enum dtype compute)
{
    if (q->n_dims != 2 || q->role == W_ROUTER || q->role == W_SCORE || q->adapter)
        return MK_F32;
    if (compute == MK_F8_E4M3 && (q->role == W_EMBED || q->role == W_HEAD || q->role == W_MTP_PROJ))
        return MK_BF16;
    return compute;
}

static int64_t n_scales(const struct param *q)
{
    return (q->shape[0] + FP8_TILE - 1) / FP8_TILE * ((q->shape[1] + FP8_TILE - 1) / FP8_TILE);
}

int narrow_init(struct params *p, enum dtype compute, struct exec *ex, struct mk_error *err)
{
    for (int64_t i = 0; i < p->n_items; i++) {
        struct param *q = &p->items[i];
        uint64_t bytes;

        q->compute = type_of(q, compute);
        if (q->compute == MK_F32)
            continue;
        dtype_bytes(q->compute, (uint64_t)q->n, &bytes);
        if (arena_take(&p->memory, &q->bytes, (size_t)bytes, 1, err) ||
            (q->compute == MK_F8_E4M3 &&
             (arena_take(&p->memory, &q->rounded, (size_t)q->n, sizeof *q->rounded, err) ||
              arena_take(&p->memory, &q->scales, (size_t)n_scales(q), sizeof *q->scales, err))))
            return err->code;
    }
    narrow_round(p, ex);
    return params_view(p, err);
}

/* One block of 128 x 128 as E4M3 and its scale, as fp8_weight rounds it. */
static void store_block(struct param *q, int64_t row, int64_t column, float *scale)
{
    int64_t rows = q->shape[0] - row < FP8_TILE ? q->shape[0] - row : FP8_TILE;
    int64_t columns = q->shape[1] - column < FP8_TILE ? q->shape[1] - column : FP8_TILE;
    float most = 1e-4f;

    for (int64_t r = row; r < row + rows; r++)
        for (int64_t k = column; k < column + columns; k++)
            most = fmaxf(most, fabsf(q->w[r * q->shape[1] + k]));
    *scale = most / 448;
    for (int64_t r = row; r < row + rows; r++)
        for (int64_t k = column; k < column + columns; k++)
            q->bytes[r * q->shape[1] + k] = f32_to_e4m3(q->w[r * q->shape[1] + k] / *scale);
}

static void store_fp8(struct param *q)
{
    float *scale = q->scales;

    for (int64_t row = 0; row < q->shape[0]; row += FP8_TILE)
        for (int64_t column = 0; column < q->shape[1]; column += FP8_TILE)
            store_block(q, row, column, scale++);
}

static void store_bf16(struct param *q)
{
    f32_to_bf16_row((uint16_t *)(void *)q->bytes, q->w, q->n); /* of an arena: aligned */
}

static void store_task(void *context, int64_t task, int worker)
{
    struct param *q = &((struct params *)context)->items[task];

    (void)worker;
    if (q->compute == MK_F8_E4M3)
        store_fp8(q);
    else if (q->compute == MK_BF16)
        store_bf16(q);
}

void narrow_round(struct params *p, struct exec *ex)
{
    exec_run(ex, p->n_items, store_task, p);
    for (int64_t i = 0; i < p->n_items; i++) {
        struct param *q = &p->items[i];

        if (q->compute == MK_F8_E4M3)
            fp8_round(ex, &fp8_weight, q->rounded, q->w, q->shape[0], q->shape[1]);
    }
}
