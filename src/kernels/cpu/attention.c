/* attention.c: softmax attention over cached rows: who walks which keys, in which order.
 *
 * A query vector is one row of one query head. Vectors that read the same kv head are walked
 * together as a tile, so that the work of bringing a block of keys is shared:
 *
 *            positions 0      64     128            256                    a part
 *                      |block |block | ...          |block | ...           256 keys
 *   tile: rows x heads |======|======|==============|===|
 *                      online softmax, in order     a fresh start, then merged in order
 *
 * Blocks and parts lie at fixed absolute positions, and a vector takes exactly the keys that it may
 * see: neither the tile nor the chunk that a row came in can change its bits. Parts let threads
 * share one long row: each computes a part, then the parts are merged in the order in which one
 * thread would have met them. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/exp_poly.h"

#define KEY_PART 256            /* a multiple of MK_KEY_BLOCK */
#define TILE_BYTES (128 * 1024) /* queries and sums of a tile: a part of a core's second cache */
#define PARTS_BYTES ((int64_t)1 << 26) /* of unmerged parts */
#define SMALL_WORK (1 << 17)           /* multiplications: less is not worth waking a thread */

struct attend {
    struct attend_call call;
    const struct attend_seq *seqs;
    struct attend_work *work; /* [worker] */
    struct attend_tile *tiles;
    int64_t n_tiles, n_rows;
    int32_t n_seqs, tile_rows, tile_heads, tile_vectors;
    int32_t max_parts;  /* of any sequence */
    bool by_part;       /* a tile is one part of the keys, not all of them */
    int64_t task_tiles; /* consecutive tiles that one task takes */
    struct attend_state parts; /* [row, head, part] if by_part */
};

static int32_t min32(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t max32(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* ---- Parts and tiles ------------------------------------------------------------------------- */

static int32_t n_vectors(const struct attend_tile *tile)
{
    return tile->n_seqs * tile->n_rows * tile->n_heads;
}

static void clear_state(const struct attend *a, const struct attend_state *st, int32_t n)
{
    for (int32_t m = 0; m < n; m++) {
        st->max[m] = -INFINITY;
        st->sum[m] = 0.0f;
    }
    memset(st->acc, 0, (size_t)n * (size_t)a->call.acc_stride * sizeof *st->acc);
}

/* The rows of a block that comes next, for the heads that come next too. */
static void prefetch_block(const struct attend *a, const struct attend_tile *tile, int32_t block)
{
    const struct attend_seq *seq = tile->seq;
    int32_t n_keys = seq->position + seq->n_rows - block;

    attend_prefetch(&a->call, (const unsigned char *)seq->rows + block * a->call.row_bytes,
                    min32(MK_KEY_BLOCK, n_keys));
}

static void walk_part(const struct attend *a, const struct attend_tile *tile,
                      const struct attend_work *w, const struct attend_state *st, int32_t part)
{
    int32_t end = min32(tile->end, (part + 1) * KEY_PART), begin = part * KEY_PART;
    int32_t window = a->call.shape->window;

    clear_state(a, st, n_vectors(tile));
    if (window > 0)
        begin = max32(begin, (tile->seq->position + tile->row - window + 1) / MK_KEY_BLOCK *
                                 MK_KEY_BLOCK);
    for (int32_t b = begin; b < end; b += MK_KEY_BLOCK) {
        if (a->by_part && tile->head == 0 && tile->n_seqs == 1)
            prefetch_block(a, tile, b + MK_KEY_BLOCK);
        attend_block(&a->call, tile, w, st, b);
    }
}

/* Vector m of `total` takes in vector i of `part`, whose keys all come later. */
static void merge_vector(const struct attend *a, const struct attend_state *total, int64_t m,
                         const struct attend_state *part, int64_t i)
{
    float *acc = total->acc + m * a->call.acc_stride;
    const float *more = part->acc + i * a->call.acc_stride;
    float max, old, new;

    if (part->sum[i] == 0.0f) /* it saw nothing */
        return;
    if (total->sum[m] == 0.0f) {
        total->max[m] = part->max[i];
        total->sum[m] = part->sum[i];
        memcpy(acc, more, (size_t)a->call.shape->d_v * sizeof *acc);
        return;
    }
    max = total->max[m] > part->max[i] ? total->max[m] : part->max[i];
    old = exp_poly(total->max[m] - max);
    new = exp_poly(part->max[i] - max);
    total->max[m] = max;
    total->sum[m] = total->sum[m] * old + part->sum[i] * new;
    for (int32_t c = 0; c < a->call.shape->d_v; c++)
        acc[c] = acc[c] * old + more[c] * new;
}

/* Vector m is one head of a row of a sequence. */
static void write_vector(const struct attend *a, const struct attend_seq *seq, int64_t row,
                         int64_t head, const struct attend_state *st, int64_t m)
{
    const struct attend_shape *s = a->call.shape;
    const float *acc = st->acc + m * a->call.acc_stride;
    float *out = seq->out + row * seq->out_stride + head * s->d_v, inverse = 1.0f / st->sum[m];

    for (int32_t c = 0; c < s->d_v; c++)
        out[c] = acc[c] * inverse;
    if (seq->lse)
        seq->lse[row * s->n_heads + head] = st->max[m] + logf(st->sum[m]);
}

static void gather_queries(const struct attend *a, const struct attend_tile *tile,
                           const struct attend_work *w)
{
    size_t n = (size_t)tile->n_heads * (size_t)a->call.shape->d_k;

    for (int32_t r = 0; r < tile->n_seqs * tile->n_rows; r++) {
        int32_t row;
        const struct attend_seq *seq = attend_tile_seq(tile, r, &row);

        memcpy(w->q + (size_t)r * n,
               seq->q + row * seq->q_stride + (int64_t)tile->head * a->call.shape->d_k,
               n * sizeof *w->q);
    }
}

/* All parts of a tile, merged as they come. */
static void run_whole(const struct attend *a, const struct attend_tile *tile,
                      const struct attend_work *w)
{
    int32_t n = n_vectors(tile);

    gather_queries(a, tile, w);
    walk_part(a, tile, w, &w->total, 0);
    for (int32_t p = 1; p < tile->n_parts; p++) {
        walk_part(a, tile, w, &w->part, p);
        for (int32_t m = 0; m < n; m++)
            merge_vector(a, &w->total, m, &w->part, m);
    }
    for (int32_t m = 0; m < n; m++) {
        int32_t row;
        const struct attend_seq *seq = attend_tile_seq(tile, m / tile->n_heads, &row);

        write_vector(a, seq, row, tile->head + m % tile->n_heads, &w->total, m);
    }
}

/* One part of a tile, kept for merge_task. */
static void run_part(const struct attend *a, const struct attend_tile *tile,
                     const struct attend_work *w)
{
    gather_queries(a, tile, w);
    walk_part(a, tile, w, &w->part, tile->part);
    for (int32_t m = 0; m < n_vectors(tile); m++) {
        int64_t row = tile->row_index + m / tile->n_heads;
        int64_t head = tile->head + m % tile->n_heads;
        int64_t i = (row * a->call.shape->n_heads + head) * a->max_parts + tile->part;

        a->parts.max[i] = w->part.max[m];
        a->parts.sum[i] = w->part.sum[m];
        memcpy(a->parts.acc + i * a->call.acc_stride, w->part.acc + (int64_t)m * a->call.acc_stride,
               (size_t)a->call.shape->d_v * sizeof(float));
    }
}

/* The first block, but for what was near for the sequence before it. */
static void prefetch_own(const struct attend *a, const struct attend_seq *seq)
{
    int32_t from = min32(seq->n_shared, MK_KEY_BLOCK) / MK_KEY_PANEL * MK_KEY_PANEL;

    attend_prefetch(&a->call, (const unsigned char *)seq->rows + from * a->call.row_bytes,
                  min32(MK_KEY_BLOCK, seq->position) - from);
}

/* Rows of the sequence whose turn comes when all heads of this tile's have had theirs. */
static void prefetch_next(const struct attend *a, int64_t i)
{
    const struct attend_tile *t = &a->tiles[i], *next = t;

    if (t->head || t->n_seqs * t->n_rows > 1)
        return;
    while (next < a->tiles + a->n_tiles && next->seq == t->seq)
        next++;
    if (next < a->tiles + a->n_tiles)
        prefetch_own(a, next->seq);
}

static void run_tiles(void *context, int64_t task, int worker)
{
    const struct attend *a = context;

    if (!a->by_part)
        prefetch_next(a, task * a->task_tiles);
    for (int64_t i = task * a->task_tiles; i < (task + 1) * a->task_tiles; i++)
        if (a->by_part)
            run_part(a, &a->tiles[i], &a->work[worker]);
        else
            run_whole(a, &a->tiles[i], &a->work[worker]);
}

/* Merges the parts of one head of all rows into part 0 and writes the result. */
static void merge_task(void *context, int64_t head, int worker)
{
    const struct attend *a = context;
    const struct attend_shape *s = a->call.shape;
    int64_t row = 0;

    (void)worker;
    for (int32_t i = 0; i < a->n_seqs; i++) {
        const struct attend_seq *seq = &a->seqs[i];
        int32_t n_parts = (seq->position + seq->n_rows + KEY_PART - 1) / KEY_PART;

        for (int32_t r = 0; r < seq->n_rows; r++, row++) {
            int64_t m = (row * s->n_heads + head) * a->max_parts;

            for (int32_t p = 1; p < n_parts; p++)
                merge_vector(a, &a->parts, m, &a->parts, m + p);
            write_vector(a, seq, r, head, &a->parts, m);
        }
    }
}

/* ---- The division of the work ---------------------------------------------------------------- */

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* How many sequences from i on are one row each behind the same shared rows: they make one tile
 * where there is no window and nothing to convert. At most `most`, at least 1. */
static int32_t joint_seqs(const struct attend *a, int32_t i, int32_t most)
{
    const struct attend_shape *s = a->call.shape;
    const struct attend_seq *first = &a->seqs[i];
    int32_t n = 1;

    if (s->window > 0 || s->row_dtype != MK_F32 || first->n_shared < MK_KEY_PANEL)
        return 1;
    while (n < most && i + n < a->n_seqs && first->n_rows == 1 && first[n].n_rows == 1 &&
           first[n].shared == first->shared && first[n].n_shared == first->n_shared)
        n++;
    return n;
}

static int64_t count_tiles(const struct attend *a)
{
    const struct attend_shape *s = a->call.shape;
    int64_t chunks = s->n_kv_heads * ceil_div(s->n_heads / s->n_kv_heads, a->tile_heads), n = 0;

    for (int32_t i = 0; i < a->n_seqs; i += joint_seqs(a, i, a->tile_rows))
        n += ceil_div(a->seqs[i].n_rows, a->tile_rows) * chunks;
    return n;
}

/* As many vectors as share a kv head and fit the cache; fewer where threads would be idle. */
static void choose_tile(struct attend *a, int n_threads)
{
    const struct attend_shape *s = a->call.shape;
    int32_t group = s->n_heads / s->n_kv_heads;
    int64_t fit = TILE_BYTES / ((int64_t)(s->d_k + s->d_v) * (int64_t)sizeof(float));
    int32_t n = fit > MK_TILE_VECTORS ? MK_TILE_VECTORS : fit < 8 ? 8 : (int32_t)fit;
    int32_t longest = 1;

    for (int32_t i = 0; i < a->n_seqs; i++)
        longest = max32(longest, max32(a->seqs[i].n_rows, joint_seqs(a, i, MK_TILE_VECTORS)));
    a->tile_heads = min32(n, group);
    a->tile_rows = min32(n / a->tile_heads, longest);
    while (a->tile_rows > 1 && count_tiles(a) < 2 * n_threads)
        a->tile_rows = (a->tile_rows + 1) / 2;
    while (a->tile_heads > 4 && count_tiles(a) < n_threads)
        a->tile_heads = (a->tile_heads + 1) / 2;
    a->tile_vectors = a->tile_rows * a->tile_heads;
}

/* The tiles of some rows, one for each chunk of query heads. */
static void list_heads(struct attend *a, struct attend_tile t)
{
    const struct attend_shape *s = a->call.shape;
    int32_t group = s->n_heads / s->n_kv_heads;

    for (t.head = 0; t.head < s->n_heads; t.head += t.n_heads) {
        t.kv_head = t.head / group;
        t.n_heads = min32(a->tile_heads, (t.kv_head + 1) * group - t.head);
        a->tiles[a->n_tiles++] = t;
    }
}

/* Part by part, so that the heads of a part follow one another while its rows are in the cache. */
static void list_parts(struct attend *a, struct attend_tile t)
{
    t.n_parts = (int32_t)ceil_div(t.end, KEY_PART);
    for (; t.part < (a->by_part ? t.n_parts : 1); t.part++)
        list_heads(a, t);
}

/* A sequence's last rows first: they see the most keys. */
static void list_tiles(struct attend *a)
{
    int64_t row_index = 0;

    a->n_tiles = 0;
    for (int32_t i = 0, n; i < a->n_seqs; row_index += n > 1 ? n : a->seqs[i].n_rows, i += n) {
        const struct attend_seq *seq = &a->seqs[i];
        int32_t row = (int32_t)ceil_div(seq->n_rows, a->tile_rows) * a->tile_rows;

        n = joint_seqs(a, i, a->tile_rows);
        if (n > 1) {
            struct attend_tile t = {.seq = seq, .n_seqs = n, .n_rows = 1, .row_index = row_index};

            for (int32_t r = 0; r < n; r++)
                t.end = max32(t.end, seq[r].position + 1);
            list_parts(a, t);
            continue;
        }
        while ((row -= a->tile_rows) >= 0) {
            struct attend_tile t = {.seq = seq, .n_seqs = 1, .row = row};

            t.row_index = row_index + row;
            t.n_rows = min32(a->tile_rows, seq->n_rows - row);
            t.end = seq->position + row + t.n_rows;
            list_parts(a, t);
        }
    }
}

static int take_state(const struct attend *a, struct attend_state *st, int64_t n,
                      struct arena *arena, struct mk_error *err)
{
    size_t n_acc = (size_t)n * (size_t)a->call.acc_stride;
    int code = arena_take(arena, &st->max, (size_t)n, sizeof(float), err);

    if (!code)
        code = arena_take(arena, &st->sum, (size_t)n, sizeof(float), err);
    if (!code)
        code = arena_take(arena, &st->acc, n_acc, sizeof(float), err);
    return code;
}

static int take_work(const struct attend *a, struct attend_work *w, struct arena *arena,
                     struct mk_error *err)
{
    const struct attend_shape *s = a->call.shape;
    size_t n = (size_t)a->tile_vectors, d_k = (size_t)s->d_k, d_v = (size_t)s->d_v;
    int code = take_state(a, &w->total, a->tile_vectors, arena, err);

    if (!code)
        code = take_state(a, &w->part, a->tile_vectors, arena, err);
    if (!code)
        code = arena_take(arena, &w->q, n * d_k, sizeof(float), err);
    if (!code && s->row_dtype != MK_F32)
        code = arena_take(arena, &w->keys, MK_KEY_BLOCK * d_k, sizeof(float), err);
    if (!code && s->row_dtype != MK_F32)
        code = arena_take(arena, &w->values, MK_KEY_BLOCK * d_v, sizeof(float), err);
    if (!code)
        code = arena_take(arena, &w->panels, MK_KEY_BLOCK * d_k, sizeof(float), err);
    if (!code)
        code = arena_take(arena, &w->scores, n * MK_KEY_BLOCK, sizeof(float), err);
    if (!code)
        code = arena_take(arena, &w->factor, n, sizeof(float), err);
    return code;
}

/* Parts are tasks of their own where rows are few: then threads would be idle, and all heads of a
 * part should pass while its rows are in the cache. */
static void choose_parts(struct attend *a, int n_threads)
{
    const struct attend_shape *s = a->call.shape;
    int64_t n_chunks = s->n_kv_heads * ceil_div(s->n_heads / s->n_kv_heads, a->tile_heads);
    int64_t n_tiles = count_tiles(a), n_parts = a->n_rows * s->n_heads * a->max_parts;

    a->by_part = a->max_parts > 1 && (n_tiles < 4 * n_threads || a->n_rows <= 8 * a->n_seqs) &&
                 n_parts * a->call.acc_stride * (int64_t)sizeof(float) <= PARTS_BYTES;
    a->task_tiles = a->by_part && n_tiles / n_chunks * a->max_parts >= 4 * n_threads ? n_chunks : 1;
}

/* Divides the work and takes its memory. */
static int plan(struct attend *a, struct arena *arena, int n_threads, struct mk_error *err)
{
    int64_t n_parts = a->n_rows * a->call.shape->n_heads * a->max_parts;
    int code;

    choose_tile(a, n_threads);
    choose_parts(a, n_threads);
    code = arena_take(arena, &a->tiles, (size_t)(count_tiles(a) * (a->by_part ? a->max_parts : 1)),
                      sizeof *a->tiles, err);
    if (!code && a->by_part)
        code = take_state(a, &a->parts, n_parts, arena, err);
    if (!code && a->by_part) /* early rows have fewer parts than late ones: nothing seen */
        memset(a->parts.sum, 0, (size_t)n_parts * sizeof *a->parts.sum);
    if (!code)
        code = arena_take(arena, &a->work, (size_t)n_threads, sizeof *a->work, err);
    if (code)
        return code;
    memset(a->work, 0, (size_t)n_threads * sizeof *a->work);
    for (int i = 0; !code && i < n_threads; i++)
        code = take_work(a, &a->work[i], arena, err);
    if (!code)
        list_tiles(a);
    return code;
}

static void run_tasks(struct compute *c, struct attend *a, int n_threads)
{
    int64_t n_tasks = a->n_tiles / a->task_tiles;

    if (n_threads > 1) {
        exec_run(c->ex, n_tasks, run_tiles, a);
        if (a->by_part)
            exec_run(c->ex, a->call.shape->n_heads, merge_task, a);
        return;
    }
    for (int64_t i = 0; i < n_tasks; i++)
        run_tiles(a, i, 0);
    for (int32_t head = 0; a->by_part && head < a->call.shape->n_heads; head++)
        merge_task(a, head, 0);
}

static int attend(struct compute *c, const struct attend_shape *shape,
                  const struct attend_seq *seqs, int32_t n_seqs, struct mk_error *err)
{
    struct attend a = {.call = {.shape = shape,
                                .vector = c->k->vector_rows,
                                .rows = c->k->attention_rows,
                                .row_bytes = kv_row_bytes(shape->row_dtype, shape->row_dim),
                                .acc_stride = (shape->d_v + 15) / 16 * 16},
                       .seqs = seqs,
                       .n_seqs = n_seqs};
    int64_t n_keys = 0;
    int n_threads = exec_n_threads(c->ex);
    int code;

    for (int32_t i = 0; i < n_seqs; i++) {
        int32_t end = seqs[i].position + seqs[i].n_rows;

        a.n_rows += seqs[i].n_rows;
        n_keys += (int64_t)seqs[i].n_rows * end;
        a.max_parts = max32(a.max_parts, (int32_t)ceil_div(end, KEY_PART));
    }
    if (a.n_rows == 0)
        return 0;
    if (n_keys * shape->n_heads * (shape->d_k + shape->d_v) < SMALL_WORK)
        n_threads = 1;
    arena_reset(&c->scratch);
    code = plan(&a, &c->scratch, n_threads, err);
    if (code)
        return mk_error_wrap(err, "attention");
    run_tasks(c, &a, n_threads);
    return 0;
}

void attention_fill_ops(struct kernels *k)
{
    k->attend = attend;
}
