/* block_backward.c: one layer backwards: feed-forward, then attention, each around its residual. */
#include <string.h>

#include "train/backward.h"

/* A part's input once more, as residual_plain read it. */
static void norm_again(struct backward *b, const struct param *gain, const float *h, float *x)
{
    const struct arch *a = &b->s->m->arch;

    b->s->c->k->rmsnorm(b->s->c, x, a->d_model, h, a->d_model, gain->w, b->s->n_rows, a->d_model,
                        a->rms_norm_eps);
}

int block_backward(struct backward *b, int32_t index, const struct block_saved *saved, float *dh,
                   struct mk_error *err)
{
    const struct arch *a = &b->s->m->arch;
    struct arena_mark mark = arena_mark(b->s->memory);
    struct param *ffn_norm = params_get(b->p, W_FFN_NORM, index, 0);
    struct param *attention_norm = params_get(b->p, W_ATTN_NORM, index, 0);
    int32_t d = a->d_model;
    int64_t n = b->s->n_rows;
    float *x, *dx;

    if (step_take(b->s, &dx, d, err) || step_take(b->s, &x, d, err))
        return err->code;
    norm_again(b, ffn_norm, saved->mid, x);
    if (arch_layer_is_moe(a, index) ? moe_backward(b, index, saved, x, dh, dx, err)
                                    : dense_backward(b, index, saved, x, dh, dx, err))
        return err->code;
    if (norm_backward(b, ffn_norm, dh, d, dx, d, saved->mid, d, n, d, a->rms_norm_eps, err))
        return err->code;
    norm_again(b, attention_norm, saved->in, x);
    if (a->attention == ARCH_MLA ? mla_backward(b, index, saved, x, dh, dx, err)
                                 : gqa_backward(b, index, saved, x, dh, dx, err))
        return err->code;
    if (norm_backward(b, attention_norm, dh, d, dx, d, saved->in, d, n, d, a->rms_norm_eps, err))
        return err->code;
    arena_rewind(b->s->memory, mark);
    return 0;
}

/* Sequences that go on behind a shared beginning: their rows and those of it in one piece, and
 * room for the gradient of both. */
static int join_prefix(struct step *s, int32_t i, int64_t n_row, const float *rows,
                       struct attend_backward_seq *seq, struct mk_error *err)
{
    const struct forward_seq *f = &s->seqs[i];
    int64_t first = s->first_row[f->prefix - s->seqs], n = f->position + f->n_ids;
    float *all;

    if (arena_take(s->memory, &all, (size_t)(n * n_row), sizeof *all, err) ||
        arena_take(s->memory, &seq->drows, (size_t)(n * n_row), sizeof *all, err))
        return err->code;
    memcpy(all, rows + first * n_row, (size_t)(f->position * n_row) * sizeof *all);
    memcpy(all + f->position * n_row, rows + s->first_row[i] * n_row,
           (size_t)(f->n_ids * n_row) * sizeof *all);
    memset(seq->drows, 0, (size_t)(n * n_row) * sizeof *all);
    seq->rows = all;
    seq->n_past = f->position;
    return 0;
}

/* The gradient of what was joined to where it belongs. */
static void part_prefix(const struct step *s, int32_t i, int64_t n_row,
                        const struct attend_backward_seq *seq, float *drows)
{
    const struct forward_seq *f = &s->seqs[i];
    float *shared = drows + s->first_row[f->prefix - s->seqs] * n_row;

    for (int64_t k = 0; k < f->position * n_row; k++)
        shared[k] += seq->drows[k];
    memcpy(drows + s->first_row[i] * n_row, seq->drows + f->position * n_row,
           (size_t)(f->n_ids * n_row) * sizeof *drows);
}

int attention_backward(struct backward *b, const struct attend_shape *shape, const float *q,
                       const float *rows, const float *lse, const float *out, const float *dout,
                       float *dq, float *drows, struct mk_error *err)
{
    struct step *s = b->s;
    struct arena_mark mark = arena_mark(s->memory);
    int64_t n_q = (int64_t)shape->n_heads * shape->d_k,
            n_out = (int64_t)shape->n_heads * shape->d_v;
    int64_t n_row = shape->row_dim;
    struct attend_backward_seq *seqs;

    if (arena_take(s->memory, &seqs, (size_t)s->n_seqs, sizeof *seqs, err))
        return err->code;
    memset(drows, 0, (size_t)(s->n_rows * n_row) * sizeof *drows);
    for (int32_t i = 0; i < s->n_seqs; i++) {
        int64_t first = s->first_row[i];

        seqs[i] = (struct attend_backward_seq){.q = q + first * n_q,
                                               .rows = rows + first * n_row,
                                               .lse = lse + first * shape->n_heads,
                                               .out = out + first * n_out,
                                               .dout = dout + first * n_out,
                                               .dq = dq + first * n_q,
                                               .drows = drows + first * n_row,
                                               .q_stride = n_q,
                                               .row_stride = n_row,
                                               .out_stride = n_out,
                                               .dout_stride = n_out,
                                               .dq_stride = n_q,
                                               .drow_stride = n_row,
                                               .n_rows = s->seqs[i].n_ids};
        if (s->seqs[i].prefix && join_prefix(s, i, n_row, rows, &seqs[i], err))
            return err->code;
    }
    if (s->c->k->attend_backward(s->c, shape, seqs, s->n_seqs, err))
        return err->code;
    for (int32_t i = 0; i < s->n_seqs; i++)
        if (s->seqs[i].prefix)
            part_prefix(s, i, n_row, &seqs[i], drows);
    arena_rewind(s->memory, mark);
    return 0;
}
