/* head_loss.c: logits, softmax, cross entropy and their gradients in chunks of rows. */
#include "train/head_loss.h"

#include <math.h>
#include <string.h>

#define CHUNK_VALUES ((int64_t)1 << 21) /* logits in memory together, about: 8 MB */
#define CHUNK_MAX 1024                  /* rows */

/* Rows of a chunk, gathered because rows without a target are passed over. */
struct chunk {
    int64_t n, room;
    int64_t *row; /* of the step */
    int32_t *target;
    float *scale, *weight, *loss, **loss_out;
    float *x, *dx; /* [room, d_model] */
    const uint32_t **sets; /* [room] of the row; or NULL */
    float *logits;         /* [room, v] */
};

static int take_chunk(struct head_loss *h, struct chunk *c, struct mk_error *err)
{
    const struct arch *a = &h->back->s->m->arch;
    struct arena *m = h->back->s->memory;
    size_t n, d = (size_t)a->d_model;

    c->room = CHUNK_VALUES / a->n_vocab;
    c->room = c->room < 16 ? 16 : c->room > CHUNK_MAX ? CHUNK_MAX : c->room;
    n = (size_t)c->room;
    if (arena_take(m, &c->row, n, sizeof *c->row, err) ||
        arena_take(m, &c->target, n, sizeof *c->target, err) ||
        arena_take(m, &c->scale, n, sizeof *c->scale, err) ||
        arena_take(m, &c->weight, n, sizeof *c->weight, err) ||
        arena_take(m, &c->loss, n, sizeof *c->loss, err) ||
        arena_take(m, &c->loss_out, n, sizeof *c->loss_out, err) ||
        arena_take(m, &c->sets, n, sizeof *c->sets, err) ||
        arena_take(m, &c->x, n * d, sizeof *c->x, err) ||
        arena_take(m, &c->dx, n * d, sizeof *c->dx, err) ||
        arena_take(m, &c->logits, n * (size_t)a->n_vocab, sizeof *c->logits, err))
        return err->code;
    return 0;
}

static int chunk_backward(struct head_loss *h, struct chunk *c, struct mk_error *err)
{
    struct backward *b = h->back;
    int64_t d = b->s->m->arch.d_model, v = b->s->m->arch.n_vocab;
    struct linear head = {.p = params_head(b->p),
                          .n_rows = c->n,
                          .dy = c->logits,
                          .dy_stride = v,
                          .x = c->x,
                          .x_stride = d,
                          .dx = c->dx,
                          .dx_stride = d,
                          .stream = params_head_stream(b->p, h->place)};

    if (linear_backward(b, &head, 1, err))
        return err->code;
    for (int64_t i = 0; i < c->n; i++)
        for (int64_t j = 0; j < d; j++)
            h->dnormed[c->row[i] * d + j] += c->dx[i * d + j];
    return 0;
}

/* What could not be drawn has no part in the softmax, as in generate/scheduler.c. */
static void rule_out(const struct chunk *c, int32_t n_vocab)
{
    for (int64_t i = 0; i < c->n; i++)
        for (int32_t id = 0; c->sets[i] && id < n_vocab; id++)
            if (!(c->sets[i][id / 32] >> id % 32 & 1))
                c->logits[i * n_vocab + id] = -INFINITY;
}

static int chunk_finish(struct head_loss *h, struct chunk *c, struct mk_error *err)
{
    struct step *s = h->back->s;
    const struct arch *a = &s->m->arch;
    struct matmul_job job = {&s->m->head, NULL, c->x, a->d_model, c->n, c->logits, a->n_vocab};

    if (c->n == 0)
        return 0;
    if (s->c->k->matmul(s->c, &job, 1, err))
        return err->code;
    rule_out(c, a->n_vocab);
    s->c->k->softmax_xent(s->c, c->logits, a->n_vocab, c->target, c->scale, c->loss, c->n,
                          a->n_vocab);
    for (int64_t i = 0; i < c->n; i++) {
        h->loss += (double)c->weight[i] * c->loss[i];
        if (c->loss_out[i])
            *c->loss_out[i] = c->loss[i];
    }
    if (h->train && chunk_backward(h, c, err))
        return err->code;
    c->n = 0;
    return 0;
}

static int add_row(struct head_loss *h, struct chunk *c, int32_t seq, int32_t i,
                   struct mk_error *err)
{
    const struct train_seq *q = &h->seqs[seq];
    int64_t d = h->back->s->m->arch.d_model, row = h->back->s->first_row[seq] + i, n = c->n++;

    c->row[n] = row;
    c->target[n] = q->targets[i];
    c->weight[n] = q->weight ? q->weight[i] : 1;
    c->scale[n] = (float)(h->scale * (double)c->weight[n]);
    c->sets[n] = q->sets ? q->sets + (int64_t)i * ((h->back->s->m->arch.n_vocab + 31) / 32) : NULL;
    c->loss_out[n] = q->loss ? &q->loss[i] : NULL;
    memcpy(c->x + n * d, h->normed + row * d, (size_t)d * sizeof *c->x);
    h->n_targets++;
    return c->n == c->room ? chunk_finish(h, c, err) : 0;
}

int head_loss(struct head_loss *h, struct mk_error *err)
{
    struct step *s = h->back->s;
    struct arena_mark mark = arena_mark(s->memory);
    int32_t v = s->m->arch.n_vocab;
    struct chunk c = {0};

    h->n_targets = 0;
    for (int32_t i = 0; i < s->n_seqs; i++)
        for (int32_t j = 0; j < h->seqs[i].n_ids; j++) {
            int32_t target = h->seqs[i].targets[j];

            if (target < -1 || target >= v)
                return mk_error_set(err, MK_EINVAL,
                                    "target id %d is outside the vocabulary of %d tokens", target,
                                    v);
            if (h->seqs[i].loss)
                h->seqs[i].loss[j] = 0;
            if (target >= 0 &&
                ((!c.room && take_chunk(h, &c, err)) || add_row(h, &c, i, j, err)))
                return err->code;
        }
    if (chunk_finish(h, &c, err))
        return err->code;
    arena_rewind(s->memory, mark);
    return 0;
}
