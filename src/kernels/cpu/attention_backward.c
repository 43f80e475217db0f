/* attention_backward.c: the gradient of softmax attention (FlashAttention-2, Dao 2023).
 *
 * First, for each block of 64 queries of a head: D = rowsum(dout * out) and dq, keys ascending.
 * Then, for each block of 64 keys of a kv head: dK and dV, its query heads ascending and in each
 * the queries ascending. Weights are computed in both, from what the forward pass left of their
 * sum, so that every output has one owner and one order of its sum, and no t by t matrix is kept:
 *
 *              keys            1: a block of queries walks its keys     ->  dq
 *      queries  |\             2: a block of keys walks its queries     |   dK, dV
 *               | \                                                     v
 *
 * Where there are enough sequences and kv heads for all threads, one task walks all of one: keys
 * and then queries, for dq, dK and dV at once, with two of seven products less. Each sum has the
 * order that it has in two walks.
 *
 * The inner functions are those of the forward pass: with V for K `scores` gives dout V^T, and with
 * transposed weights `values` gives P^T dout and dS^T Q. */
#include <string.h>

#include "kernels/cpu/backward_rows.h"

#define BLOCK MK_KEY_BLOCK /* keys, and queries too */
#define JOINT_TASKS 2      /* a thread, at least, for one joint walk */

struct block {
    const struct attend_backward_seq *seq;
    int64_t row_index; /* of the sequence's first row, over all sequences */
    int32_t head;      /* a query head in the first walk, a kv head in the second */
    int32_t first, n;  /* rows: of queries, or of keys, which begin n_past earlier */
};

/* Memory of one worker. */
struct back_work {
    float *k_panels, *v_panels; /* [BLOCK / MK_KEY_PANEL, d, MK_KEY_PANEL] */
    float *p, *ds;              /* [query, BLOCK] */
    float *turned;              /* [key, BLOCK] */
    float *dk, *dv; /* [BLOCK or t, dk_stride or dv_stride]; dk: dq in the first of two walks */
    float *dq;      /* [t, dk_stride] of one head, in a joint walk */
};

struct attend_back {
    const struct attend_shape *shape;
    const struct attention_rows *attention;
    const struct backward_rows *rows;
    const struct vector_rows *vector;
    struct back_work *work;
    struct block *blocks;
    float *delta;  /* [row over all sequences, query head] D */
    int32_t group; /* query heads that share a kv head */
    int64_t dk_stride, dv_stride;
};

static int32_t min32(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t max32(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static const float ones[BLOCK] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
};

static int64_t k_at(const struct attend_shape *s, int32_t kv_head)
{
    return s->k_offset + (int64_t)kv_head * s->k_stride;
}

static int64_t v_at(const struct attend_shape *s, int32_t kv_head)
{
    return s->v_offset + (int64_t)kv_head * s->v_stride;
}

/* The keys that query i sees: from first_key to before end_key. */
static int32_t first_key(const struct attend_shape *s, const struct attend_backward_seq *seq,
                         int32_t i)
{
    return s->window > 0 ? max32(0, seq->n_past + i - s->window + 1) : 0;
}

static int32_t end_key(const struct attend_backward_seq *seq, int32_t i)
{
    return seq->n_past + i + 1;
}

static void pack_block(const struct attend_back *a, struct back_work *w,
                       const struct attend_backward_seq *seq, int32_t kv_head, int32_t key,
                       int32_t n_keys)
{
    const float *rows = seq->rows + key * seq->row_stride;

    a->attention->pack_keys(w->k_panels, rows + k_at(a->shape, kv_head), seq->row_stride, n_keys,
                            a->shape->d_k);
    a->attention->pack_keys(w->v_panels, rows + v_at(a->shape, kv_head), seq->row_stride, n_keys,
                            a->shape->d_v);
}

/* p and ds of n queries and the packed keys. */
static void weights(const struct attend_back *a, struct back_work *w, const struct block *b,
                    int32_t head, int32_t query, int32_t n, int32_t key, int32_t n_keys)
{
    const struct attend_backward_seq *seq = b->seq;
    const struct attend_shape *s = a->shape;
    const float *lse = seq->lse + query * s->n_heads + head;
    const float *delta = a->delta + (b->row_index + query) * s->n_heads + head;
    int32_t n_panels = (n_keys + MK_KEY_PANEL - 1) / MK_KEY_PANEL;

    a->attention->scores(w->p, seq->q + query * seq->q_stride + (int64_t)head * s->d_k,
                         seq->q_stride, n, w->k_panels, s->d_k, 0, n_panels);
    a->attention->scores(w->ds, seq->dout + query * seq->dout_stride + (int64_t)head * s->d_v,
                         seq->dout_stride, n, w->v_panels, s->d_v, 0, n_panels);
    for (int32_t i = 0; i < n; i++, lse += s->n_heads, delta += s->n_heads)
        a->rows->attend_step(w->p + i * BLOCK, w->ds + i * BLOCK, s->scale, *lse, *delta,
                             max32(0, first_key(s, seq, query + i) - key),
                             min32(n_keys, end_key(seq, query + i) - key));
}

/* ---- First walk: D and dq -------------------------------------------------------------------- */

/* D of n rows of a head. */
static void row_sums(const struct attend_back *a, const struct block *b, int32_t head,
                     int32_t first, int32_t n)
{
    const struct attend_backward_seq *seq = b->seq;
    int64_t d_v = a->shape->d_v;

    for (int64_t row = first; row < first + n; row++)
        a->delta[(b->row_index + row) * a->shape->n_heads + head] =
            a->rows->dot(seq->dout + row * seq->dout_stride + head * d_v,
                         seq->out + row * seq->out_stride + head * d_v, (int32_t)d_v);
}

static void query_task(void *context, int64_t task, int worker)
{
    const struct attend_back *a = context;
    const struct attend_shape *s = a->shape;
    const struct block *b = &a->blocks[task];
    const struct attend_backward_seq *seq = b->seq;
    struct back_work *w = &a->work[worker];
    int32_t end = end_key(seq, b->first + b->n - 1), kv_head = b->head / a->group;

    row_sums(a, b, b->head, b->first, b->n);
    memset(w->dk, 0, (size_t)(BLOCK * a->dk_stride) * sizeof *w->dk);
    for (int32_t key = first_key(s, seq, b->first) / BLOCK * BLOCK; key < end; key += BLOCK) {
        int32_t n_keys = min32(BLOCK, end - key);

        pack_block(a, w, seq, kv_head, key, n_keys);
        weights(a, w, b, b->head, b->first, b->n, key, n_keys);
        a->attention->values(w->dk, a->dk_stride, w->ds, ones, b->n,
                             seq->rows + key * seq->row_stride + k_at(s, kv_head), seq->row_stride,
                             s->d_k, n_keys);
    }
    for (int32_t i = 0; i < b->n; i++)
        memcpy(seq->dq + (b->first + i) * seq->dq_stride + (int64_t)b->head * s->d_k,
               w->dk + i * a->dk_stride, (size_t)s->d_k * sizeof *seq->dq);
}

/* ---- Second walk: dK, dV --------------------------------------------------------------------- */

/* What the queries query .. query + n - 1 of one head add to dk and dv. */
static void key_step(const struct attend_back *a, struct back_work *w, const struct block *b,
                     int32_t head, int32_t query, int32_t n)
{
    const struct attend_backward_seq *seq = b->seq;
    const struct attend_shape *s = a->shape;

    weights(a, w, b, head, query, n, b->first, b->n);
    a->rows->turn(w->turned, w->p, n);
    a->attention->values(w->dv, a->dv_stride, w->turned, ones, b->n,
                         seq->dout + query * seq->dout_stride + (int64_t)head * s->d_v,
                         seq->dout_stride, s->d_v, n);
    a->rows->turn(w->turned, w->ds, n);
    a->attention->values(w->dk, a->dk_stride, w->turned, ones, b->n,
                         seq->q + query * seq->q_stride + (int64_t)head * s->d_k, seq->q_stride,
                         s->d_k, n);
}

/* The first query that sees a key, and the one behind the last that sees one of n keys. */
static int32_t first_query(const struct attend_backward_seq *seq, int32_t key)
{
    return max32(0, key - seq->n_past);
}

static int32_t query_end(const struct attend_shape *s, const struct attend_backward_seq *seq,
                         int32_t key, int32_t n)
{
    int64_t end = (int64_t)key + n - 1 + s->window - seq->n_past;

    return s->window > 0 && end < seq->n_rows ? (int32_t)end : seq->n_rows;
}

/* n rows of dk and dv -> drows. */
static void add_rows(const struct attend_back *a, const struct back_work *w, const struct block *b)
{
    const struct attend_shape *s = a->shape;

    for (int32_t i = 0; i < b->n; i++) {
        float *row = b->seq->drows + (b->first + i) * b->seq->drow_stride;

        a->vector->add_scaled(row + k_at(s, b->head), w->dk + i * a->dk_stride, 1.0f, s->d_k);
        a->vector->add_scaled(row + v_at(s, b->head), w->dv + i * a->dv_stride, 1.0f, s->d_v);
    }
}

static void key_task(void *context, int64_t task, int worker)
{
    const struct attend_back *a = context;
    const struct block *b = &a->blocks[task];
    const struct attend_backward_seq *seq = b->seq;
    struct back_work *w = &a->work[worker];
    int32_t end = query_end(a->shape, seq, b->first, b->n);

    memset(w->dk, 0, (size_t)(BLOCK * a->dk_stride) * sizeof *w->dk);
    memset(w->dv, 0, (size_t)(BLOCK * a->dv_stride) * sizeof *w->dv);
    pack_block(a, w, seq, b->head, b->first, b->n);
    for (int32_t head = b->head * a->group; head < (b->head + 1) * a->group; head++)
        for (int32_t query = first_query(seq, b->first); query < end; query += BLOCK)
            key_step(a, w, b, head, query, min32(BLOCK, seq->n_rows - query));
    add_rows(a, w, b);
}

/* ---- Both walks in one ----------------------------------------------------------------------- */

/* What a block of keys and one head add to dq, dk and dv. */
static void joint_keys(const struct attend_back *a, struct back_work *w, const struct block *b,
                       int32_t head)
{
    const struct attend_backward_seq *seq = b->seq;
    struct back_work at = *w; /* the keys' own rows of dk and dv */
    int32_t end = query_end(a->shape, seq, b->first, b->n);

    at.dk += b->first * a->dk_stride;
    at.dv += b->first * a->dv_stride;
    pack_block(a, w, seq, b->head, b->first, b->n);
    for (int32_t query = first_query(seq, b->first); query < end; query += BLOCK) {
        int32_t n = min32(BLOCK, seq->n_rows - query);

        key_step(a, &at, b, head, query, n);
        a->attention->values(w->dq + query * a->dk_stride, a->dk_stride, w->ds, ones, n,
                             seq->rows + b->first * seq->row_stride + k_at(a->shape, b->head),
                             seq->row_stride, a->shape->d_k, b->n);
    }
}

/* A sequence and a kv head. */
static void joint_task(void *context, int64_t task, int worker)
{
    const struct attend_back *a = context;
    const struct block *b = &a->blocks[task];
    const struct attend_backward_seq *seq = b->seq;
    struct back_work *w = &a->work[worker];
    int64_t d_k = a->shape->d_k;

    memset(w->dk, 0, (size_t)(b->n * a->dk_stride) * sizeof *w->dk);
    memset(w->dv, 0, (size_t)(b->n * a->dv_stride) * sizeof *w->dv);
    for (int32_t head = b->head * a->group; head < (b->head + 1) * a->group; head++) {
        memset(w->dq, 0, (size_t)(seq->n_rows * a->dk_stride) * sizeof *w->dq);
        row_sums(a, b, head, 0, seq->n_rows);
        for (int32_t i = 0; i < b->n; i += BLOCK)
            joint_keys(a, w,
                       &(struct block){seq, b->row_index, b->head, i, min32(BLOCK, b->n - i)},
                       head);
        for (int32_t i = 0; i < seq->n_rows; i++)
            memcpy(seq->dq + i * seq->dq_stride + head * d_k, w->dq + i * a->dk_stride,
                   (size_t)d_k * sizeof *seq->dq);
    }
    add_rows(a, w, b);
}

/* ---- Division -------------------------------------------------------------------------------- */

/* n_rows of dk and dv; of dq in a joint walk. */
static int take_work(struct compute *c, struct attend_back *a, int64_t n_rows, bool joint,
                     struct mk_error *err)
{
    struct arena *m = &c->scratch;
    const struct attend_shape *s = a->shape;
    const size_t n_threads = (size_t)exec_n_threads(c->ex), square = (size_t)BLOCK * BLOCK;

    if (arena_take(m, &a->work, n_threads, sizeof *a->work, err))
        return err->code;
    for (size_t i = 0; i < n_threads; i++) {
        struct back_work *w = &a->work[i];

        if (arena_take(m, &w->k_panels, (size_t)s->d_k, BLOCK * sizeof(float), err) ||
            arena_take(m, &w->v_panels, (size_t)s->d_v, BLOCK * sizeof(float), err) ||
            arena_take(m, &w->p, square, sizeof(float), err) ||
            arena_take(m, &w->ds, square, sizeof(float), err) ||
            arena_take(m, &w->turned, square, sizeof(float), err) ||
            arena_take(m, &w->dk, (size_t)(n_rows * a->dk_stride), sizeof(float), err) ||
            arena_take(m, &w->dv, (size_t)(n_rows * a->dv_stride), sizeof(float), err) ||
            (joint && arena_take(m, &w->dq, (size_t)(n_rows * a->dk_stride), sizeof(float), err)))
            return err->code;
    }
    return 0;
}

/* The blocks of `most` queries, or keys, of all sequences and heads; returns how many. */
static int64_t list_blocks(struct block *blocks, const struct attend_backward_seq *seqs,
                           int32_t n_seqs, int32_t n_heads, int32_t most, bool keys)
{
    int64_t n = 0, row_index = 0;

    for (int32_t i = 0; i < n_seqs; row_index += seqs[i++].n_rows) {
        int32_t end = seqs[i].n_rows + (keys ? seqs[i].n_past : 0);

        for (int32_t first = 0; first < end; first += most)
            for (int32_t head = 0; head < n_heads; head++)
                blocks[n++] =
                    (struct block){&seqs[i], row_index, head, first, min32(most, end - first)};
    }
    return n;
}

static int attend_backward(struct compute *c, const struct attend_shape *shape,
                           const struct attend_backward_seq *seqs, int32_t n_seqs,
                           struct mk_error *err)
{
    struct attend_back a = {.shape = shape,
                            .attention = c->k->attention_rows,
                            .rows = c->k->backward_rows,
                            .vector = c->k->vector_rows,
                            .group = shape->n_heads / shape->n_kv_heads,
                            .dk_stride = (shape->d_k + 15) / 16 * 16,
                            .dv_stride = (shape->d_v + 15) / 16 * 16};
    bool joint = (int64_t)n_seqs * shape->n_kv_heads >= JOINT_TASKS * exec_n_threads(c->ex);
    int64_t n_rows = 0, n_blocks = 0;
    int32_t longest = 0;

    for (int32_t i = 0; i < n_seqs; i++) {
        longest = max32(longest, seqs[i].n_past + seqs[i].n_rows);
        n_rows += seqs[i].n_rows;
        n_blocks += ((int64_t)seqs[i].n_past + seqs[i].n_rows + BLOCK - 1) / BLOCK;
    }
    if (n_rows == 0)
        return 0;
    arena_reset(&c->scratch);
    if (take_work(c, &a, joint ? longest : BLOCK, joint, err) ||
        arena_take(&c->scratch, &a.blocks, (size_t)(n_blocks * shape->n_heads), sizeof *a.blocks,
                   err) ||
        arena_take(&c->scratch, &a.delta, (size_t)(n_rows * shape->n_heads), sizeof *a.delta, err))
        return err->code;
    if (joint) {
        exec_run(c->ex, list_blocks(a.blocks, seqs, n_seqs, shape->n_kv_heads, longest, true),
                 joint_task, &a);
        return 0;
    }
    exec_run(c->ex, list_blocks(a.blocks, seqs, n_seqs, shape->n_heads, BLOCK, false), query_task,
             &a);
    exec_run(c->ex, list_blocks(a.blocks, seqs, n_seqs, shape->n_kv_heads, BLOCK, true), key_task,
             &a);
    return 0;
}

void attention_backward_fill_ops(struct kernels *k)
{
    k->attend_backward = attend_backward;
}
