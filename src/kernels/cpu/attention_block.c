/* attention_block.c: one block of keys: packed, scored, weighted, and its values added.
 *
 * What sequences share is packed and multiplied once for all rows of a tile, then each sequence
 * adds what is its own:
 *
 *                  shared rows        own rows
 *   sequence 0    |==================|----|        scores: whole panels of shared keys,
 *   sequence 1    |==================|-------|             the rest with the sequence's own
 *   sequence 2    |==================|--|          values: key by key
 *
 * A tile of one sequence is the same with rows that see more and more of its own keys. Every vector
 * takes its keys in ascending order whatever stands beside it. */
#include "kernels/cpu/attention_block.h"

#define EDGE_ROWS 4 /* rows whose ends differ are taken so many at a time */

/* Keys of a block, counted from its first: lo .. hi - 1; none where hi <= lo. */
struct span {
    int32_t lo, hi;
};

/* Rows lo .. hi - 1 of a tile that follow one another in a sequence, lo at `position`. */
struct rows {
    int32_t lo, hi, position;
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

/* What a query at position p sees of the block that begins at `block`. */
static struct span sees(const struct attend_call *a, int32_t p, int32_t block)
{
    int32_t lo = a->shape->window > 0 ? p - a->shape->window + 1 : 0;

    return (struct span){max32(lo - block, 0), min32(p + 1 - block, MK_KEY_BLOCK)};
}

/* Early rows may end before the block, the windows of late rows begin after it. */
static struct rows that_see(const struct attend_call *a, struct rows r, int32_t block)
{
    int32_t skip = max32(0, block - r.position);

    if (a->shape->window > 0)
        r.hi = min32(r.hi, r.lo + block + MK_KEY_BLOCK + a->shape->window - 1 - r.position);
    r.lo += skip;
    r.position += skip;
    return r;
}

static struct span clip(struct span x, struct span to)
{
    return (struct span){max32(x.lo, to.lo), min32(x.hi, to.hi)};
}

/* ---- Keys and values ------------------------------------------------------------------------- */

/* The f32 values of one slice of a block's cached rows, key 0 first: in place, or those of `keys`
 * converted into `copy`. */
static const float *load_slice(const struct attend_call *a, const unsigned char *rows,
                               struct span keys, int32_t offset, int32_t d, float *copy,
                               int64_t *stride)
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

/* Packs some keys of a block, whole panels but for the last, and finds their values. In MLA the
 * values are a part of the keys: they are converted once. */
static struct piece load_piece(const struct attend_call *a, const struct attend_tile *t,
                               const struct attend_work *w, const void *rows, int32_t block,
                               struct span keys, struct span values)
{
    const struct attend_shape *s = a->shape;
    const unsigned char *from = (const unsigned char *)rows + block * a->row_bytes;
    int32_t k_at = s->k_offset + t->kv_head * s->k_stride;
    int32_t v_at = s->v_offset + t->kv_head * s->v_stride;
    struct piece piece = {.keys = values};
    const float *k;
    int64_t stride;

    k = load_slice(a, from, keys, k_at, s->d_k, w->keys, &stride);
    a->rows->pack_keys(w->panels + (int64_t)keys.lo * s->d_k, k + keys.lo * stride, stride,
                       keys.hi - keys.lo, s->d_k);
    piece.v = k + (v_at - k_at);
    piece.stride = stride;
    if (v_at < k_at || v_at + s->d_v > k_at + s->d_k)
        piece.v = load_slice(a, from, values, v_at, s->d_v, w->values, &piece.stride);
    return piece;
}

void attend_prefetch(const struct attend_call *a, const void *rows, int32_t n_keys)
{
    for (int64_t at = 0; at < n_keys * a->row_bytes; at += 64)
        __builtin_prefetch((const unsigned char *)rows + at, 0, 2);
}

/* ---- Scores ---------------------------------------------------------------------------------- */

/* Scores of some rows with the packed keys. */
static void score(const struct attend_call *a, const struct attend_tile *t,
                  const struct attend_work *w, struct rows r, struct span keys)
{
    int32_t m = r.lo * t->n_heads, d = a->shape->d_k, first = keys.lo / MK_KEY_PANEL;
    int32_t n_panels = (keys.hi + MK_KEY_PANEL - 1) / MK_KEY_PANEL - first;

    if (n_panels > 0)
        a->rows->scores(w->scores + (int64_t)m * MK_KEY_BLOCK, w->q + (int64_t)m * d, d,
                        (r.hi - r.lo) * t->n_heads, w->panels, d, first, n_panels);
}

/* Packs the whole panels of shared keys and scores all rows with them. */
static struct piece shared_scores(const struct attend_call *a, const struct attend_tile *t,
                                  const struct attend_work *w, int32_t block, struct rows r,
                                  int32_t n_shared)
{
    struct span keys = {0, n_shared / MK_KEY_PANEL * MK_KEY_PANEL};
    struct piece piece =
        load_piece(a, t, w, t->seq->shared, block, keys, (struct span){0, n_shared});

    keys.lo = sees(a, r.position, block).lo;
    score(a, t, w, r, keys);
    return piece;
}

/* The same of rows of one sequence and its own keys: those behind the shared ones, from the first
 * panel that is not all shared. Then all scores of these rows are there: their weights. */
static struct piece own_scores(const struct attend_call *a, const struct attend_tile *t,
                               const struct attend_work *w, const struct attend_state *st,
                               int32_t block, struct rows r, const void *cached, int32_t n_shared)
{
    struct span first = sees(a, r.position, block), keys;
    int32_t n_keys = sees(a, r.position + r.hi - r.lo - 1, block).hi;
    struct piece piece;

    keys = (struct span){n_shared / MK_KEY_PANEL * MK_KEY_PANEL, n_keys};
    piece = load_piece(a, t, w, cached, block, keys, (struct span){n_shared, n_keys});
    keys.lo = max32(keys.lo, first.lo);
    score(a, t, w, r, keys);
    for (int32_t m = r.lo * t->n_heads; r.lo < r.hi; r.lo++, r.position++) {
        struct span seen = sees(a, r.position, block);

        for (; m < (r.lo + 1) * t->n_heads; m++)
            w->factor[m] = a->rows->softmax_step(w->scores + (int64_t)m * MK_KEY_BLOCK,
                                                 a->shape->scale, seen.lo, seen.hi, &st->max[m],
                                                 &st->sum[m]);
    }
    return piece;
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* Adds the values of `keys` to some rows and marks their factors as used. */
static void add_values(const struct attend_call *a, const struct attend_tile *t,
                       const struct attend_work *w, const struct attend_state *st, int32_t row,
                       int32_t n_rows, struct span keys, const struct piece *piece)
{
    int32_t m = row * t->n_heads, n = n_rows * t->n_heads;

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
static void add_edge_values(const struct attend_call *a, const struct attend_tile *t,
                            const struct attend_work *w, const struct attend_state *st,
                            int32_t block, struct rows r, const struct piece *piece)
{
    int32_t n = r.hi - r.lo;
    struct span first = clip(sees(a, r.position, block), piece->keys);
    struct span last = clip(sees(a, r.position + n - 1, block), piece->keys);
    struct span all = {last.lo, max32(first.hi, last.lo)}, own;

    for (int32_t i = 0; i < n; i++) {
        own = clip(sees(a, r.position + i, block), piece->keys);
        own.hi = min32(own.hi, all.lo);
        add_values(a, t, w, st, r.lo + i, 1, own, piece);
    }
    add_values(a, t, w, st, r.lo, n, all, piece);
    for (int32_t i = 0; i < n; i++) {
        own = clip(sees(a, r.position + i, block), piece->keys);
        own.lo = max32(own.lo, all.hi);
        add_values(a, t, w, st, r.lo + i, 1, own, piece);
    }
}

/* Adds a piece of the block to rows of one sequence. */
static void add_piece(const struct attend_call *a, const struct attend_tile *t,
                      const struct attend_work *w, const struct attend_state *st, int32_t block,
                      struct rows r, const struct piece *piece)
{
    struct span first = clip(sees(a, r.position, block), piece->keys);
    struct span last = clip(sees(a, r.position + r.hi - r.lo - 1, block), piece->keys);

    if (first.lo == last.lo && first.hi == last.hi) {
        add_values(a, t, w, st, r.lo, r.hi - r.lo, first, piece);
        return;
    }
    for (; r.lo < r.hi; r.lo += EDGE_ROWS, r.position += EDGE_ROWS) {
        struct rows few = {r.lo, min32(r.lo + EDGE_ROWS, r.hi), r.position};

        add_edge_values(a, t, w, st, block, few, piece);
    }
}

/* ---- A block --------------------------------------------------------------------------------- */

void attend_block(const struct attend_call *a, const struct attend_tile *t,
                  const struct attend_work *w, const struct attend_state *st, int32_t block)
{
    struct rows r[MK_TILE_VECTORS], all; /* of each sequence; all of them see what is shared */
    struct piece shared, own[MK_TILE_VECTORS];
    int32_t n_shared;

    for (int32_t i = 0; i < t->n_seqs; i++) {
        r[i] = (struct rows){i * t->n_rows, (i + 1) * t->n_rows, t->seq[i].position + t->row};
        r[i] = that_see(a, r[i], block);
    }
    all = (struct rows){r[0].lo, r[t->n_seqs - 1].hi, r[0].position};
    n_shared = sees(a, r[0].position + r[0].hi - r[0].lo - 1, block).hi;
    n_shared = max32(0, min32(t->seq->n_shared - block, n_shared));
    if (n_shared > 0)
        shared = shared_scores(a, t, w, block, all, n_shared);
    for (int32_t i = 0; i < t->n_seqs; i++)
        if (r[i].lo < r[i].hi)
            own[i] = own_scores(a, t, w, st, block, r[i], t->seq[i].rows, n_shared);
    if (n_shared > 0)
        add_piece(a, t, w, st, block, all, &shared);
    for (int32_t i = 0; i < t->n_seqs; i++)
        if (r[i].lo < r[i].hi)
            add_piece(a, t, w, st, block, r[i], &own[i]);
}
