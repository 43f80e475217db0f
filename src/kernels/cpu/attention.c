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

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/exp_poly.h"
#include "kernels/cpu/vector_rows.h"

#define KEY_PART 256            /* a multiple of MK_KEY_BLOCK */
#define TILE_VECTORS 64         /* at most */
#define TILE_BYTES (128 * 1024) /* queries and sums of a tile: a part of a core's second cache */
#define PARTS_BYTES ((int64_t)1 << 26) /* of unmerged parts */
#define SMALL_WORK (1 << 17)           /* multiplications: less is not worth waking a thread */
#define EDGE_ROWS 4                    /* rows whose ends differ are taken so many at a time */

/* What a tile's vectors have seen so far. A vector has seen nothing where sum is 0. */
struct state {
    float *max, *sum; /* [vector]; sum of e^(score - max) */
    float *acc;       /* [vector, acc_stride]; sum of e^(score - max) * value */
};

struct tile {
    const struct attend_seq *seq;
    int64_t row_index;     /* of its first row, over all sequences */
    int32_t row, n_rows;   /* of the sequence; joint: of n_rows sequences one row each */
    bool joint;            /* they follow one another and share rows */
    int32_t end;           /* keys that any of its rows sees */
    int32_t head, n_heads; /* query heads; all read kv_head */
    int32_t kv_head;
    int32_t part, n_parts; /* one part of the keys, or all of them (by_part) */
};

/* Memory of one worker. */
struct work {
    struct state total, part;
    float *q;      /* [vector, d_k] */
    float *keys;   /* [MK_KEY_BLOCK, d_k] of rows that are not f32 */
    float *values; /* [MK_KEY_BLOCK, d_v] the same */
    float *panels; /* [MK_KEY_BLOCK / MK_KEY_PANEL, d_k, MK_KEY_PANEL] */
    float *scores; /* [vector, MK_KEY_BLOCK] */
    float *factor; /* [vector] */
};

struct attend {
    const struct attend_shape *shape;
    const struct attend_seq *seqs;
    const struct vector_rows *vector;
    const struct attention_rows *rows;
    struct work *work; /* [worker] */
    struct tile *tiles;
    int64_t n_tiles, n_rows, row_bytes;
    int32_t n_seqs, tile_rows, tile_heads, tile_vectors;
    int32_t acc_stride;
    int32_t max_parts;  /* of any sequence */
    bool by_part;       /* a tile is one part of the keys, not all of them */
    int64_t task_tiles; /* consecutive tiles that one task takes */
    struct state parts; /* [row, head, part] if by_part */
};

/* Keys of a block, relative to it: those that the rows of a tile see. */
struct span {
    int32_t lo, hi;
};

/* Some keys of a block and where their values lie, those of key 0 first. */
struct piece {
    struct span keys;
    const float *v;
    int64_t stride;
};

static int32_t min32(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t max32(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* ---- One block ------------------------------------------------------------------------------- */

/* The sequence of a tile's row; *index: which of its rows. */
static const struct attend_seq *seq_of(const struct tile *tile, int32_t row, int32_t *index)
{
    *index = tile->joint ? 0 : tile->row + row;
    return tile->joint ? &tile->seq[row] : tile->seq;
}

static struct span visible(const struct attend *a, const struct tile *tile, int32_t row,
                           int32_t block)
{
    int32_t index;
    const struct attend_seq *seq = seq_of(tile, row, &index);
    int32_t p = seq->position + index;
    int32_t lo = a->shape->window > 0 ? p - a->shape->window + 1 : 0;

    return (struct span){max32(lo - block, 0), min32(p + 1 - block, MK_KEY_BLOCK)};
}

static struct span clip(struct span x, struct span to)
{
    return (struct span){max32(x.lo, to.lo), min32(x.hi, to.hi)};
}

/* The f32 values of one slice of a block's cached rows, key 0 first: in place, or those of `keys`
 * converted into `copy`. */
static const float *load_slice(const struct attend *a, const unsigned char *rows, struct span keys,
                               int32_t offset, int32_t d, float *copy, int64_t *stride)
{
    const struct attend_shape *s = a->shape;

    if (s->row_dtype == MK_F32) {
        *stride = s->row_dim;
        return (const float *)(const void *)rows + offset;
    }
    for (int32_t i = keys.lo; i < keys.hi; i++)
        a->vector->load(s->row_dtype, copy + (int64_t)i * d, rows + i * a->row_bytes, s->row_dim,
                        offset, d);
    *stride = d;
    return copy;
}

/* Asks for the rows of the next block while this one is worked on. */
static void prefetch_rows(const struct attend *a, const unsigned char *rows, int32_t n_keys)
{
    for (int64_t at = 0; at < n_keys * a->row_bytes; at += 64)
        __builtin_prefetch(rows + at, 0, 2);
}

/* Packs some keys of a block, whole panels but for the last, and finds their values. In MLA the
 * values are a part of the keys: they are converted once. */
static struct piece load_piece(const struct attend *a, const struct tile *tile,
                               const struct work *w, const unsigned char *rows, struct span keys,
                               struct span values)
{
    const struct attend_shape *s = a->shape;
    int32_t k_at = s->k_offset + tile->kv_head * s->k_stride;
    int32_t v_at = s->v_offset + tile->kv_head * s->v_stride;
    struct piece piece = {.keys = values};
    const float *k;
    int64_t stride;

    k = load_slice(a, rows, keys, k_at, s->d_k, w->keys, &stride);
    a->rows->pack_keys(w->panels + (int64_t)keys.lo * s->d_k, k + keys.lo * stride, stride,
                       keys.hi - keys.lo, s->d_k);
    piece.v = k + (v_at - k_at);
    piece.stride = stride;
    if (v_at < k_at || v_at + s->d_v > k_at + s->d_k)
        piece.v = load_slice(a, rows, values, v_at, s->d_v, w->values, &piece.stride);
    return piece;
}

/* A block's keys and values: of rows that others read too, which are near, and of the sequence's
 * own. A panel of keys that would have both is all its own. */
static void load_block(const struct attend *a, const struct tile *tile, const struct work *w,
                       int32_t block, int32_t n_keys, struct piece pieces[2])
{
    const struct attend_seq *seq = tile->seq;
    const unsigned char *own = (const unsigned char *)seq->rows + block * a->row_bytes;
    int32_t n_shared = max32(0, min32(seq->n_shared - block, n_keys));
    int32_t n_packed = n_shared / MK_KEY_PANEL * MK_KEY_PANEL;
    int32_t n_ahead = seq->position + seq->n_rows - block - MK_KEY_BLOCK;

    if (a->by_part && tile->head == 0) /* for the heads that come next, too */
        prefetch_rows(a, own + MK_KEY_BLOCK * a->row_bytes, min32(MK_KEY_BLOCK, n_ahead));
    pieces[0] = (struct piece){0};
    if (n_shared > 0)
        pieces[0] = load_piece(a, tile, w,
                               (const unsigned char *)seq->shared + block * a->row_bytes,
                               (struct span){0, n_packed}, (struct span){0, n_shared});
    pieces[1] = load_piece(a, tile, w, own, (struct span){n_packed, n_keys},
                           (struct span){n_shared, n_keys});
}

/* Adds the keys of `keys` to n_rows rows of the tile and marks their factors as used. */
static void add_values(const struct attend *a, const struct tile *tile, const struct work *w,
                       const struct state *st, int32_t row, int32_t n_rows, struct span keys,
                       const struct piece *piece)
{
    int32_t m = row * tile->n_heads, n = n_rows * tile->n_heads;

    if (keys.lo >= keys.hi)
        return;
    a->rows->values(st->acc + (int64_t)m * a->acc_stride, a->acc_stride,
                    w->scores + (int64_t)m * MK_KEY_BLOCK + keys.lo, w->factor + m, n,
                    piece->v + keys.lo * piece->stride, piece->stride, a->shape->d_v,
                    keys.hi - keys.lo);
    for (int32_t i = m; i < m + n; i++)
        w->factor[i] = 1.0f;
}

/* Rows that see different keys: what all of them see is added for all at once, between each row's
 * own beginning and own end, so that every row still takes its keys in ascending order. */
static void add_edge_values(const struct attend *a, const struct tile *tile, const struct work *w,
                            const struct state *st, int32_t block, int32_t row, int32_t n_rows,
                            const struct piece *piece)
{
    struct span first = clip(visible(a, tile, row, block), piece->keys);
    struct span last = clip(visible(a, tile, row + n_rows - 1, block), piece->keys);
    struct span all = {last.lo, max32(first.hi, last.lo)};

    for (int32_t r = row; r < row + n_rows; r++) {
        struct span own = clip(visible(a, tile, r, block), piece->keys);

        add_values(a, tile, w, st, r, 1, (struct span){own.lo, min32(own.hi, all.lo)}, piece);
    }
    add_values(a, tile, w, st, row, n_rows, all, piece);
    for (int32_t r = row; r < row + n_rows; r++) {
        struct span own = clip(visible(a, tile, r, block), piece->keys);

        add_values(a, tile, w, st, r, 1, (struct span){max32(own.lo, all.hi), own.hi}, piece);
    }
}

/* Adds a piece of the block to rows row .. end - 1. */
static void add_piece(const struct attend *a, const struct tile *tile, const struct work *w,
                      const struct state *st, int32_t block, int32_t row, int32_t end,
                      const struct piece *piece)
{
    struct span first = visible(a, tile, row, block), last = visible(a, tile, end - 1, block);

    if (first.lo == last.lo && first.hi == last.hi) {
        add_values(a, tile, w, st, row, end - row, clip(first, piece->keys), piece);
        return;
    }
    for (; row < end; row += EDGE_ROWS)
        add_edge_values(a, tile, w, st, block, row, min32(EDGE_ROWS, end - row), piece);
}

static void walk_block(const struct attend *a, const struct tile *tile, const struct work *w,
                       const struct state *st, int32_t block)
{
    const struct attend_shape *s = a->shape;
    int32_t row = 0, end = tile->n_rows, lo, n_panels, m, n;
    struct span first, last;
    struct piece pieces[2];

    /* Early rows may end before this block, the windows of late rows begin after it. */
    while (row < end && visible(a, tile, row, block).hi <= 0)
        row++;
    while (end > row && visible(a, tile, end - 1, block).lo >= MK_KEY_BLOCK)
        end--;
    if (row == end)
        return;
    first = visible(a, tile, row, block);
    last = visible(a, tile, end - 1, block);
    lo = first.lo / MK_KEY_PANEL;
    n_panels = (last.hi + MK_KEY_PANEL - 1) / MK_KEY_PANEL - lo;
    m = row * tile->n_heads;
    n = (end - row) * tile->n_heads;
    load_block(a, tile, w, block, last.hi, pieces);
    a->rows->scores(w->scores + (int64_t)m * MK_KEY_BLOCK, w->q + (int64_t)m * s->d_k, s->d_k, n,
                    w->panels, s->d_k, lo, n_panels);
    for (int32_t i = m; i < m + n; i++) {
        struct span own = visible(a, tile, i / tile->n_heads, block);

        w->factor[i] = a->rows->softmax_step(w->scores + (int64_t)i * MK_KEY_BLOCK, s->scale,
                                             own.lo, own.hi, &st->max[i], &st->sum[i]);
    }
    for (int i = 0; i < 2; i++)
        add_piece(a, tile, w, st, block, row, end, &pieces[i]);
}

/* ---- One block of sequences that share rows -------------------------------------------------- */

/* The keys of a block that sequence r of a joint tile sees. */
static int32_t joint_keys(const struct tile *tile, int32_t r, int32_t block)
{
    return max32(0, min32(tile->seq[r].position + 1 - block, MK_KEY_BLOCK));
}

/* Scores of sequence r with its own keys, behind those of the shared ones, and their weights. */
static struct piece joint_scores(const struct attend *a, const struct tile *tile,
                                 const struct work *w, const struct state *st, int32_t block,
                                 int32_t r, int32_t n_shared)
{
    const struct attend_shape *s = a->shape;
    const unsigned char *rows = (const unsigned char *)tile->seq[r].rows + block * a->row_bytes;
    int32_t n_keys = joint_keys(tile, r, block), m = r * tile->n_heads;
    int32_t panel = n_shared / MK_KEY_PANEL;
    struct piece own = {0};

    if (n_keys == 0)
        return own;
    own = load_piece(a, tile, w, rows, (struct span){panel * MK_KEY_PANEL, n_keys},
                     (struct span){n_shared, n_keys});
    a->rows->scores(w->scores + (int64_t)m * MK_KEY_BLOCK, w->q + (int64_t)m * s->d_k, s->d_k,
                    tile->n_heads, w->panels, s->d_k, panel,
                    (n_keys + MK_KEY_PANEL - 1) / MK_KEY_PANEL - panel);
    for (int32_t i = m; i < m + tile->n_heads; i++)
        w->factor[i] = a->rows->softmax_step(w->scores + (int64_t)i * MK_KEY_BLOCK, s->scale, 0,
                                             n_keys, &st->max[i], &st->sum[i]);
    return own;
}

/* As walk_block: what is shared is packed and multiplied once for all sequences of the tile. */
static void walk_joint(const struct attend *a, const struct tile *tile, const struct work *w,
                       const struct state *st, int32_t block)
{
    const struct attend_shape *s = a->shape;
    int32_t n_shared = max32(0, min32(tile->seq->n_shared - block, MK_KEY_BLOCK));
    int32_t n_packed = n_shared / MK_KEY_PANEL * MK_KEY_PANEL;
    struct piece shared = {0}, own[TILE_VECTORS];

    if (n_shared > 0) {
        shared = load_piece(a, tile, w,
                            (const unsigned char *)tile->seq->shared + block * a->row_bytes,
                            (struct span){0, n_packed}, (struct span){0, n_shared});
        a->rows->scores(w->scores, w->q, s->d_k, tile->n_rows * tile->n_heads, w->panels, s->d_k, 0,
                        n_packed / MK_KEY_PANEL);
    }
    for (int32_t r = 0; r < tile->n_rows; r++)
        own[r] = joint_scores(a, tile, w, st, block, r, n_shared);
    add_values(a, tile, w, st, 0, tile->n_rows, shared.keys, &shared);
    for (int32_t r = 0; r < tile->n_rows; r++)
        add_values(a, tile, w, st, r, 1, own[r].keys, &own[r]);
}

/* ---- Parts and tiles ------------------------------------------------------------------------- */

static void clear_state(const struct attend *a, const struct state *st, int32_t n)
{
    for (int32_t m = 0; m < n; m++) {
        st->max[m] = -INFINITY;
        st->sum[m] = 0.0f;
    }
    memset(st->acc, 0, (size_t)n * (size_t)a->acc_stride * sizeof *st->acc);
}

static void walk_part(const struct attend *a, const struct tile *tile, const struct work *w,
                      const struct state *st, int32_t part)
{
    int32_t end = min32(tile->end, (part + 1) * KEY_PART), begin = part * KEY_PART, lowest;

    clear_state(a, st, tile->n_rows * tile->n_heads);
    lowest = visible(a, tile, 0, 0).lo / MK_KEY_BLOCK * MK_KEY_BLOCK;
    for (int32_t b = max32(begin, lowest); b < end; b += MK_KEY_BLOCK)
        if (tile->joint)
            walk_joint(a, tile, w, st, b);
        else
            walk_block(a, tile, w, st, b);
}

/* Vector m of `total` takes in vector i of `part`, whose keys all come later. */
static void merge_vector(const struct attend *a, const struct state *total, int64_t m,
                         const struct state *part, int64_t i)
{
    float *acc = total->acc + m * a->acc_stride;
    const float *more = part->acc + i * a->acc_stride;
    float max, old, new;

    if (part->sum[i] == 0.0f) /* it saw nothing */
        return;
    if (total->sum[m] == 0.0f) {
        total->max[m] = part->max[i];
        total->sum[m] = part->sum[i];
        memcpy(acc, more, (size_t)a->shape->d_v * sizeof *acc);
        return;
    }
    max = total->max[m] > part->max[i] ? total->max[m] : part->max[i];
    old = exp_poly(total->max[m] - max);
    new = exp_poly(part->max[i] - max);
    total->max[m] = max;
    total->sum[m] = total->sum[m] * old + part->sum[i] * new;
    for (int32_t c = 0; c < a->shape->d_v; c++)
        acc[c] = acc[c] * old + more[c] * new;
}

static void write_vector(const struct attend *a, float *out, const struct state *st, int64_t m)
{
    const float *acc = st->acc + m * a->acc_stride;
    float inverse = 1.0f / st->sum[m];

    for (int32_t c = 0; c < a->shape->d_v; c++)
        out[c] = acc[c] * inverse;
}

static void gather_queries(const struct attend *a, const struct tile *tile, const struct work *w)
{
    size_t n = (size_t)tile->n_heads * (size_t)a->shape->d_k;

    for (int32_t r = 0; r < tile->n_rows; r++) {
        int32_t row;
        const struct attend_seq *seq = seq_of(tile, r, &row);

        memcpy(w->q + (size_t)r * n,
               seq->q + row * seq->q_stride + (int64_t)tile->head * a->shape->d_k,
               n * sizeof *w->q);
    }
}

/* All parts of a tile, merged as they come. */
static void run_whole(const struct attend *a, const struct tile *tile, const struct work *w)
{
    int32_t n = tile->n_rows * tile->n_heads;

    gather_queries(a, tile, w);
    walk_part(a, tile, w, &w->total, 0);
    for (int32_t p = 1; p < tile->n_parts; p++) {
        walk_part(a, tile, w, &w->part, p);
        for (int32_t m = 0; m < n; m++)
            merge_vector(a, &w->total, m, &w->part, m);
    }
    for (int32_t m = 0; m < n; m++) {
        int32_t row;
        const struct attend_seq *seq = seq_of(tile, m / tile->n_heads, &row);

        write_vector(a,
                     seq->out + row * seq->out_stride +
                         (int64_t)(tile->head + m % tile->n_heads) * a->shape->d_v,
                     &w->total, m);
    }
}

/* One part of a tile, kept for merge_task. */
static void run_part(const struct attend *a, const struct tile *tile, const struct work *w)
{
    gather_queries(a, tile, w);
    walk_part(a, tile, w, &w->part, tile->part);
    for (int32_t m = 0; m < tile->n_rows * tile->n_heads; m++) {
        int64_t row = tile->row_index + m / tile->n_heads;
        int64_t head = tile->head + m % tile->n_heads;
        int64_t i = (row * a->shape->n_heads + head) * a->max_parts + tile->part;

        a->parts.max[i] = w->part.max[m];
        a->parts.sum[i] = w->part.sum[m];
        memcpy(a->parts.acc + i * a->acc_stride, w->part.acc + (int64_t)m * a->acc_stride,
               (size_t)a->shape->d_v * sizeof(float));
    }
}

/* The first block, but for what was near for the sequence before it. */
static void prefetch_own(const struct attend *a, const struct attend_seq *seq)
{
    int32_t from = min32(seq->n_shared, MK_KEY_BLOCK) / MK_KEY_PANEL * MK_KEY_PANEL;

    prefetch_rows(a, (const unsigned char *)seq->rows + from * a->row_bytes,
                  min32(MK_KEY_BLOCK, seq->position) - from);
}

/* Rows of the sequence whose turn comes when all heads of this tile's have had theirs. */
static void prefetch_next(const struct attend *a, int64_t i)
{
    const struct tile *t = &a->tiles[i], *next = t;

    if (t->head || t->n_rows > 1)
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
    int64_t row = 0;

    (void)worker;
    for (int32_t i = 0; i < a->n_seqs; i++) {
        const struct attend_seq *seq = &a->seqs[i];
        int32_t n_parts = (seq->position + seq->n_rows + KEY_PART - 1) / KEY_PART;

        for (int32_t r = 0; r < seq->n_rows; r++, row++) {
            int64_t m = (row * a->shape->n_heads + head) * a->max_parts;

            for (int32_t p = 1; p < n_parts; p++)
                merge_vector(a, &a->parts, m, &a->parts, m + p);
            write_vector(a, seq->out + r * seq->out_stride + head * a->shape->d_v, &a->parts, m);
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
    const struct attend_seq *first = &a->seqs[i];
    int32_t n = 1;

    if (a->shape->window > 0 || a->shape->row_dtype != MK_F32 || first->n_shared < MK_KEY_PANEL)
        return 1;
    while (n < most && i + n < a->n_seqs && first->n_rows == 1 && first[n].n_rows == 1 &&
           first[n].shared == first->shared && first[n].n_shared == first->n_shared)
        n++;
    return n;
}

static int64_t count_tiles(const struct attend *a)
{
    const struct attend_shape *s = a->shape;
    int64_t chunks = s->n_kv_heads * ceil_div(s->n_heads / s->n_kv_heads, a->tile_heads), n = 0;

    for (int32_t i = 0; i < a->n_seqs; i += joint_seqs(a, i, a->tile_rows))
        n += ceil_div(a->seqs[i].n_rows, a->tile_rows) * chunks;
    return n;
}

/* As many vectors as share a kv head and fit the cache; fewer where threads would be idle. */
static void choose_tile(struct attend *a, int n_threads)
{
    const struct attend_shape *s = a->shape;
    int32_t group = s->n_heads / s->n_kv_heads;
    int64_t fit = TILE_BYTES / ((int64_t)(s->d_k + s->d_v) * (int64_t)sizeof(float));
    int32_t n = fit > TILE_VECTORS ? TILE_VECTORS : fit < 8 ? 8 : (int32_t)fit;
    int32_t longest = 1;

    for (int32_t i = 0; i < a->n_seqs; i++)
        longest = max32(longest, max32(a->seqs[i].n_rows, joint_seqs(a, i, TILE_VECTORS)));
    a->tile_heads = min32(n, group);
    a->tile_rows = min32(n / a->tile_heads, longest);
    while (a->tile_rows > 1 && count_tiles(a) < 2 * n_threads)
        a->tile_rows = (a->tile_rows + 1) / 2;
    while (a->tile_heads > 4 && count_tiles(a) < n_threads)
        a->tile_heads = (a->tile_heads + 1) / 2;
    a->tile_vectors = a->tile_rows * a->tile_heads;
}

/* The tiles of some rows, one for each chunk of query heads. */
static void list_heads(struct attend *a, struct tile t)
{
    const struct attend_shape *s = a->shape;
    int32_t group = s->n_heads / s->n_kv_heads;

    for (t.head = 0; t.head < s->n_heads; t.head += t.n_heads) {
        t.kv_head = t.head / group;
        t.n_heads = min32(a->tile_heads, (t.kv_head + 1) * group - t.head);
        a->tiles[a->n_tiles++] = t;
    }
}

/* Part by part, so that the heads of a part follow one another while its rows are in the cache. */
static void list_parts(struct attend *a, struct tile t)
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
            struct tile t = {.seq = seq, .row_index = row_index, .n_rows = n, .joint = true};

            for (int32_t r = 0; r < n; r++)
                t.end = max32(t.end, seq[r].position + 1);
            list_parts(a, t);
            continue;
        }
        while ((row -= a->tile_rows) >= 0) {
            struct tile t = {.seq = seq, .row_index = row_index + row, .row = row};

            t.n_rows = min32(a->tile_rows, seq->n_rows - row);
            t.end = seq->position + row + t.n_rows;
            list_parts(a, t);
        }
    }
}

static int take_state(const struct attend *a, struct state *st, int64_t n, struct arena *arena,
                      struct mk_error *err)
{
    int code = arena_take(arena, &st->max, (size_t)n, sizeof(float), err);

    if (!code)
        code = arena_take(arena, &st->sum, (size_t)n, sizeof(float), err);
    if (!code)
        code = arena_take(arena, &st->acc, (size_t)n * (size_t)a->acc_stride, sizeof(float), err);
    return code;
}

static int take_work(const struct attend *a, struct work *w, struct arena *arena,
                     struct mk_error *err)
{
    size_t n = (size_t)a->tile_vectors, d_k = (size_t)a->shape->d_k, d_v = (size_t)a->shape->d_v;
    int code = take_state(a, &w->total, a->tile_vectors, arena, err);

    if (!code)
        code = take_state(a, &w->part, a->tile_vectors, arena, err);
    if (!code)
        code = arena_take(arena, &w->q, n * d_k, sizeof(float), err);
    if (!code && a->shape->row_dtype != MK_F32)
        code = arena_take(arena, &w->keys, MK_KEY_BLOCK * d_k, sizeof(float), err);
    if (!code && a->shape->row_dtype != MK_F32)
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
    int64_t n_tiles = count_tiles(a), n_chunks;
    int64_t n_parts = a->n_rows * a->shape->n_heads * a->max_parts;

    a->by_part = a->max_parts > 1 && (n_tiles < 4 * n_threads || a->n_rows <= 8 * a->n_seqs) &&
                 n_parts * a->acc_stride * (int64_t)sizeof(float) <= PARTS_BYTES;
    n_chunks =
        a->shape->n_kv_heads * ceil_div(a->shape->n_heads / a->shape->n_kv_heads, a->tile_heads);
    a->task_tiles = a->by_part && n_tiles / n_chunks * a->max_parts >= 4 * n_threads ? n_chunks : 1;
}

/* Divides the work and takes its memory. */
static int plan(struct attend *a, struct arena *arena, int n_threads, struct mk_error *err)
{
    int64_t n_parts = a->n_rows * a->shape->n_heads * a->max_parts;
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
            exec_run(c->ex, a->shape->n_heads, merge_task, a);
        return;
    }
    for (int64_t i = 0; i < n_tasks; i++)
        run_tiles(a, i, 0);
    for (int32_t head = 0; a->by_part && head < a->shape->n_heads; head++)
        merge_task(a, head, 0);
}

static int attend(struct compute *c, const struct attend_shape *shape,
                  const struct attend_seq *seqs, int32_t n_seqs, struct mk_error *err)
{
    struct attend a = {.shape = shape,
                       .seqs = seqs,
                       .n_seqs = n_seqs,
                       .vector = c->k->vector_rows,
                       .rows = c->k->attention_rows,
                       .row_bytes = kv_row_bytes(shape->row_dtype, shape->row_dim)};
    int64_t n_keys = 0;
    int n_threads = exec_n_threads(c->ex);
    int code;

    a.acc_stride = (shape->d_v + 15) / 16 * 16;
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
