/* bpe.c: the merge engine. Short pieces, nearly all there are, scan for the best pair; long ones
 * sort their pairs and keep a heap of what merges add. */
#include "tokenizer/bpe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_PIECE 48 /* symbols; beyond, the square of the length costs more than a heap */
#define DIGIT_BITS 11  /* of a rank, in one pass of sorting: its counters fit the nearest cache */

/* ---- which pairs merge ----------------------------------------------------------------------- */

static uint64_t pair_hash(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;

    return h ^ h >> 29;
}

int bpe_table_init(struct bpe_table *t, int64_t n_merges, struct mk_error *err)
{
    uint64_t slots = 16;

    while (slots < 2 * (uint64_t)n_merges)
        slots *= 2;
    *t = (struct bpe_table){.mask = slots - 1};
    t->slots = malloc(slots * sizeof *t->slots);
    if (!t->slots)
        return mk_error_memory(err, slots * sizeof *t->slots);
    for (uint64_t i = 0; i < slots; i++)
        t->slots[i].left = -1;
    return 0;
}

void bpe_table_release(struct bpe_table *t)
{
    free(t->slots);
    *t = (struct bpe_table){0};
}

static struct bpe_pair *slot_of(const struct bpe_table *t, int32_t left, int32_t right)
{
    uint64_t i = pair_hash(left, right) & t->mask;

    while (t->slots[i].left >= 0 && (t->slots[i].left != left || t->slots[i].right != right))
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

int bpe_table_add(struct bpe_table *t, struct bpe_pair pair)
{
    struct bpe_pair *slot = slot_of(t, pair.left, pair.right);

    if (slot->left >= 0)
        return 1;
    *slot = pair;
    return 0;
}

struct bpe_merge bpe_table_find(const struct bpe_table *t, int32_t left, int32_t right)
{
    const struct bpe_pair *slot;

    if (left < 0 || right < 0)
        return (struct bpe_merge){BPE_NO_RANK, -1};
    slot = slot_of(t, left, right);
    return slot->left >= 0 ? slot->merge : (struct bpe_merge){BPE_NO_RANK, -1};
}

/* ---- short pieces ---------------------------------------------------------------------------- */

/* merges[i] belongs to symbols i and i+1. */
static size_t merge_short(const struct bpe_table *t, int32_t *symbols, size_t n)
{
    struct bpe_merge merges[SHORT_PIECE];

    for (size_t i = 0; i + 1 < n; i++)
        merges[i] = bpe_table_find(t, symbols[i], symbols[i + 1]);
    while (n > 1) {
        size_t best = 0;

        for (size_t i = 1; i + 1 < n; i++)
            if (merges[i].rank < merges[best].rank)
                best = i;
        if (merges[best].rank == BPE_NO_RANK)
            break;
        symbols[best] = merges[best].result;
        memmove(symbols + best + 1, symbols + best + 2, (n - best - 2) * sizeof *symbols);
        n--;
        if (best + 1 < n) {
            memmove(merges + best + 1, merges + best + 2, (n - best - 2) * sizeof *merges);
            merges[best] = bpe_table_find(t, symbols[best], symbols[best + 1]);
        }
        if (best > 0)
            merges[best - 1] = bpe_table_find(t, symbols[best - 1], symbols[best]);
    }
    return n;
}

/* ---- long pieces ----------------------------------------------------------------------------- */

/* Symbols form a linked list by their first position. An entry is rank << 32 | position; it counts
 * only while ranks[position] still is its rank: nothing needs to be removed from the middle.
 * The pairs of the text itself are sorted once, in digits, which costs less than a heap of all of
 * them; pairs that merges make go through the heap. Every merge makes two pairs at most and takes a
 * symbol away, so 2n entries are enough there. */
struct long_piece {
    const struct bpe_table *t;
    int32_t *symbols;
    uint32_t *ranks, *next, *previous; /* [n]; next == n: the last, previous == n: the first */
    uint64_t *sorted;                  /* [n_sorted], those before `taken` are done */
    uint64_t *heap;                    /* [n_heap] 4-ary, smallest first */
    size_t n, n_sorted, taken, n_heap;
};

static void heap_sink(struct long_piece *p, size_t i)
{
    uint64_t entry = p->heap[i];

    for (;;) {
        size_t child = 4 * i + 1, least = child,
               end = child + 4 < p->n_heap ? child + 4 : p->n_heap;

        if (child >= p->n_heap)
            break;
        for (size_t k = child + 1; k < end; k++)
            if (p->heap[k] < p->heap[least])
                least = k;
        if (p->heap[least] >= entry)
            break;
        p->heap[i] = p->heap[least];
        i = least;
    }
    p->heap[i] = entry;
}

static void heap_push(struct long_piece *p, uint64_t entry)
{
    size_t i = p->n_heap++;

    while (i > 0 && p->heap[(i - 1) / 4] > entry) {
        p->heap[i] = p->heap[(i - 1) / 4];
        i = (i - 1) / 4;
    }
    p->heap[i] = entry;
}

static uint64_t heap_pop(struct long_piece *p)
{
    uint64_t least = p->heap[0];

    p->heap[0] = p->heap[--p->n_heap];
    if (p->n_heap)
        heap_sink(p, 0);
    return least;
}

/* Orders sorted[] by rank, equal ones by position as they come. The heap is still free to be the
 * other half of each pass. */
static void sort_pairs(struct long_piece *p)
{
    uint64_t *from = p->sorted, *to = p->heap, seen = 0;

    for (size_t i = 0; i < p->n_sorted; i++)
        seen |= from[i] >> 32;
    for (int shift = 32; seen; shift += DIGIT_BITS, seen >>= DIGIT_BITS) {
        size_t count[(1 << DIGIT_BITS) + 1] = {0};
        uint64_t *swap = from;

        for (size_t i = 0; i < p->n_sorted; i++)
            count[(from[i] >> shift) % (1 << DIGIT_BITS) + 1]++;
        for (int d = 0; d < 1 << DIGIT_BITS; d++)
            count[d + 1] += count[d];
        for (size_t i = 0; i < p->n_sorted; i++)
            to[count[(from[i] >> shift) % (1 << DIGIT_BITS)]++] = from[i];
        from = to;
        to = swap;
    }
    p->sorted = from;
    p->heap = to;
}

/* The pair that merges next; false when there is none. */
static bool take_least(struct long_piece *p, uint64_t *entry)
{
    if (p->taken < p->n_sorted && (!p->n_heap || p->sorted[p->taken] < p->heap[0]))
        *entry = p->sorted[p->taken++];
    else if (p->n_heap)
        *entry = heap_pop(p);
    else
        return false;
    return true;
}

static void set_rank(struct long_piece *p, uint32_t at)
{
    uint32_t right = p->next[at];

    p->ranks[at] =
        right < p->n ? bpe_table_find(p->t, p->symbols[at], p->symbols[right]).rank : BPE_NO_RANK;
}

static void merge_at(struct long_piece *p, uint32_t at)
{
    uint32_t right = p->next[at], before = p->previous[at];

    p->symbols[at] = bpe_table_find(p->t, p->symbols[at], p->symbols[right]).result;
    p->ranks[right] = BPE_NO_RANK;
    p->next[at] = p->next[right];
    if (p->next[at] < p->n)
        p->previous[p->next[at]] = at;
    set_rank(p, at);
    if (p->ranks[at] != BPE_NO_RANK)
        heap_push(p, (uint64_t)p->ranks[at] << 32 | at);
    if (before == p->n)
        return;
    set_rank(p, before);
    if (p->ranks[before] != BPE_NO_RANK)
        heap_push(p, (uint64_t)p->ranks[before] << 32 | before);
}

static int long_piece_init(struct long_piece *p, struct bpe_scratch *scratch, struct mk_error *err)
{
    size_t bytes = p->n * (4 * sizeof(uint64_t) + 3 * sizeof(uint32_t));
    char *m;

    if (p->n >= UINT32_MAX / 2)
        return mk_error_set(err, MK_ELIMIT, "a piece of %zu symbols is too long", p->n);
    if (scratch->bytes < bytes) {
        m = realloc(scratch->memory, bytes);
        if (!m)
            return mk_error_memory(err, bytes);
        *scratch = (struct bpe_scratch){m, bytes};
    }
    m = scratch->memory;
    p->sorted = (uint64_t *)m; /* both 2n: sorting may exchange them */
    p->heap = p->sorted + 2 * p->n;
    p->ranks = (uint32_t *)(m + p->n * 4 * sizeof(uint64_t));
    p->next = p->ranks + p->n;
    p->previous = p->next + p->n;
    return 0;
}

static int merge_long(struct long_piece *p, struct bpe_scratch *scratch, struct mk_error *err)
{
    size_t n_left = 0;
    uint64_t entry;
    int rc = long_piece_init(p, scratch, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < p->n; i++) {
        p->next[i] = (uint32_t)(i + 1);
        p->previous[i] = (uint32_t)(i ? i - 1 : p->n);
    }
    for (size_t i = 0; i < p->n; i++) {
        set_rank(p, (uint32_t)i);
        if (p->ranks[i] != BPE_NO_RANK)
            p->sorted[p->n_sorted++] = (uint64_t)p->ranks[i] << 32 | i;
    }
    sort_pairs(p);
    while (take_least(p, &entry)) {
        uint32_t at = (uint32_t)entry;

        if (p->ranks[at] == entry >> 32)
            merge_at(p, at);
    }
    for (size_t i = 0; i < p->n; i = p->next[i])
        p->symbols[n_left++] = p->symbols[i];
    p->n = n_left;
    return 0;
}

void bpe_scratch_release(struct bpe_scratch *s)
{
    free(s->memory);
    *s = (struct bpe_scratch){0};
}

int bpe_merge(const struct bpe_table *t, int32_t *symbols, size_t *n, struct bpe_scratch *scratch,
              struct mk_error *err)
{
    struct long_piece p = {.t = t, .symbols = symbols, .n = *n};
    int rc;

    if (*n <= SHORT_PIECE) {
        *n = merge_short(t, symbols, *n);
        return 0;
    }
    rc = merge_long(&p, scratch, err);
    *n = p.n;
    return rc;
}
