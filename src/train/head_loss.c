/* head_loss.c: logits, softmax, cross entropy, divergence and their gradients in chunks of rows. */
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
    /* With teachers: their rows, what the logits were, and how far the student is away. */
    struct teacher_row *teacher; /* [room] k 0: none */
    float *raw;                  /* [room, v] */
    double *divergence;          /* [room] */
    double *scratch;             /* [threads, 2 v] */
};

static bool has_teachers(const struct head_loss *h)
{
    for (int32_t i = 0; h->distill && i < h->back->s->n_seqs; i++)
        if (h->seqs[i].teacher)
            return true;
    return false;
}

static int take_teachers(struct head_loss *h, struct chunk *c, struct mk_error *err)
{
    struct arena *m = h->back->s->memory;
    size_t n = (size_t)c->room, v = (size_t)h->back->s->m->arch.n_vocab;

    if (!has_teachers(h))
        return 0;
    if (arena_take(m, &c->teacher, n, sizeof *c->teacher, err) ||
        arena_take(m, &c->raw, n * v, sizeof *c->raw, err) ||
        arena_take(m, &c->divergence, n, sizeof *c->divergence, err) ||
        arena_take(m, &c->scratch, 2 * v * (size_t)exec_n_threads(h->back->s->c->ex),
                   sizeof *c->scratch, err))
        return err->code;
    return 0;
}

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
    return take_teachers(h, c, err);
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

/* One chunk's divergences, row by row on any thread. */
struct teaching {
    const struct head_loss *h;
    struct chunk *c;
};

static void teach_row(void *context, int64_t i, int worker)
{
    const struct teaching *t = context;
    const struct distill_options *o = t->h->distill;
    struct chunk *c = t->c;
    int64_t v = t->h->back->s->m->arch.n_vocab;
    double heat = o->divergence.temperature * o->divergence.temperature;
    double scale = t->h->scale * (double)c->weight[i] * o->weight * heat;

    c->divergence[i] = 0;
    if (c->teacher[i].k > 0)
        c->divergence[i] =
            divergence_row(&o->divergence, &c->teacher[i], c->raw + i * v, o->n_vocab, scale,
                           t->h->train ? c->logits + i * v : NULL, c->scratch + 2 * v * worker);
}

/* What row i learns, in nats. */
static double learned(const struct head_loss *h, const struct chunk *c, int64_t i)
{
    const struct distill_options *o = h->distill;
    double entropy = (double)c->loss[i], heat;

    if (!c->teacher || c->teacher[i].k == 0)
        return entropy;
    heat = o->divergence.temperature * o->divergence.temperature;
    return (1 - o->weight) * entropy + o->weight * heat * c->divergence[i];
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
    if (c->teacher)
        memcpy(c->raw, c->logits, (size_t)(c->n * a->n_vocab) * sizeof *c->raw);
    rule_out(c, a->n_vocab);
    s->c->k->softmax_xent(s->c, c->logits, a->n_vocab, c->target, c->scale, c->loss, c->n,
                          a->n_vocab);
    if (c->teacher)
        exec_run(s->c->ex, c->n, teach_row, &(struct teaching){h, c});
    for (int64_t i = 0; i < c->n; i++) {
        h->loss += (double)c->weight[i] * learned(h, c, i);
        h->divergence += c->teacher ? (double)c->weight[i] * c->divergence[i] : 0;
        if (c->loss_out[i])
            *c->loss_out[i] = c->loss[i];
    }
    if (h->train && chunk_backward(h, c, err))
        return err->code;
    c->n = 0;
    return 0;
}

/* Row `nth` of the sequence's teachers. */
static void add_teacher(struct head_loss *h, struct chunk *c, const struct teacher_rows *t,
                        int32_t nth, int64_t n)
{
    if (!c->teacher)
        return;
    c->teacher[n] = (struct teacher_row){0};
    if (!t)
        return;
    c->teacher[n] = (struct teacher_row){.ids = t->ids ? t->ids + (int64_t)nth * t->k : NULL,
                                         .logp = t->logp + (int64_t)nth * t->k,
                                         .k = t->k,
                                         .rest = t->rest ? t->rest[nth] : 0};
    c->scale[n] *= (float)(1 - h->distill->weight);
}

/* Token i of a sequence, its target number `nth`. */
static int add_row(struct head_loss *h, struct chunk *c, int32_t seq, int32_t i, int32_t nth,
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
    add_teacher(h, c, q->teacher, nth, n);
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
        for (int32_t j = 0, nth = 0; j < h->seqs[i].n_ids; j++) {
            int32_t target = h->seqs[i].targets[j];

            if (target < -1 || target >= v)
                return mk_error_set(err, MK_EINVAL,
                                    "target id %d is outside the vocabulary of %d tokens", target,
                                    v);
            if (h->seqs[i].loss)
                h->seqs[i].loss[j] = 0;
            if (target >= 0 &&
                ((!c.room && take_chunk(h, &c, err)) || add_row(h, &c, i, j, nth++, err)))
                return err->code;
        }
    if (chunk_finish(h, &c, err))
        return err->code;
    arena_rewind(s->memory, mark);
    return 0;
}
