/* step.c: the few things that every part does with the rows of a step. */
#include "model/step.h"

#include <string.h>

int step_take(struct step *s, float **x, int64_t n, struct mk_error *err)
{
    size_t values;

    if (__builtin_mul_overflow((size_t)s->n_rows, (size_t)n, &values))
        return mk_error_memory(err, SIZE_MAX);
    return arena_take(s->memory, x, values, sizeof **x, err);
}

int step_copy(struct step *s, const float **copy, const float *x, int64_t x_stride, int64_t n,
              struct mk_error *err)
{
    float *rows;

    *copy = NULL;
    if (!s->saved)
        return 0;
    if (step_take(s, &rows, n, err))
        return err->code;
    for (int64_t t = 0; t < s->n_rows; t++)
        memcpy(rows + t * n, x + t * x_stride, (size_t)n * sizeof *x);
    *copy = rows;
    return 0;
}

int step_matmul(struct step *s, float *out, int64_t out_stride, const float *x, int64_t x_stride,
                const struct packed *w, struct mk_error *err)
{
    struct matmul_job job = {.w = w,
                             .x = x,
                             .x_stride = x_stride,
                             .n_rows = s->n_rows,
                             .out = out,
                             .out_stride = out_stride};

    return s->c->k->matmul(s->c, &job, 1, err);
}

void step_store(struct step *s, int32_t layer, const float *rows, int32_t row_dim)
{
    int64_t bytes = kv_row_bytes(s->kv_dtype, row_dim);

    for (int32_t i = 0; i < s->n_seqs; i++) {
        const struct forward_seq *seq = &s->seqs[i];

        s->c->k->store_rows(s->c, s->kv_dtype, seq->kv[layer] + seq->position * bytes,
                            rows + s->first_row[i] * row_dim, row_dim, seq->n_ids, row_dim);
    }
    for (int32_t i = 0; i < s->n_seqs; i++)
        if (s->seqs[i].prefix)
            memcpy(s->seqs[i].kv[layer], s->seqs[i].prefix->kv[layer],
                   (size_t)(s->seqs[i].position * bytes));
}

int step_attend(struct step *s, int32_t layer, const struct attend_shape *shape, const float *q,
                int64_t q_stride, float *out, int64_t out_stride, struct mk_error *err)
{
    float *lse = s->saved ? s->saved->lse : NULL;
    struct attend_seq *seqs;

    if (arena_take(s->memory, &seqs, (size_t)s->n_seqs, sizeof *seqs, err))
        return err->code;
    for (int32_t i = 0; i < s->n_seqs; i++)
        seqs[i] = (struct attend_seq){.q = q + s->first_row[i] * q_stride,
                                      .q_stride = q_stride,
                                      .n_rows = s->seqs[i].n_ids,
                                      .position = s->seqs[i].position,
                                      .rows = s->seqs[i].kv[layer],
                                      .shared = s->seqs[i].shared_kv ? s->seqs[i].shared_kv[layer]
                                                                     : NULL,
                                      .n_shared = s->seqs[i].shared_kv ? s->seqs[i].n_shared : 0,
                                      .out = out + s->first_row[i] * out_stride,
                                      .out_stride = out_stride,
                                      .lse = lse ? lse + s->first_row[i] * shape->n_heads : NULL};
    return s->c->k->attend(s->c, shape, seqs, s->n_seqs, err);
}
