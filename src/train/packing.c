/* packing.c: best fit, decreasing, with one stack of open sequences for each room that is left. */
#include "train/packing.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

#define LEVELS 4 /* 64^4 = PACKING_MAX_LENGTH */

/* Which rooms some open sequence has: bit i of level 0 is room i, bit i of a level above says that
 * word i below is not 0. */
struct rooms {
    uint64_t *words[LEVELS]; /* owned: words[0] */
};

struct packer {
    struct packing *p;
    const int64_t *lengths;
    int64_t n_documents;
    struct fragment *pieces;   /* [n_pieces] longest first */
    int64_t n_pieces;
    int64_t *sequence;         /* [n_pieces] where a piece lies */
    struct rooms rooms;
    int64_t *stacks;           /* [length + 1] the open sequence on top, or -1 */
    int64_t *below;            /* [n_pieces] the next one in its stack, by sequence */
    int32_t *room;             /* [n_pieces] tokens left, by sequence */
};

/* ---- rooms ----------------------------------------------------------------------------------- */

static int rooms_init(struct rooms *r, int32_t length, struct mk_error *err)
{
    size_t counts[LEVELS], total = 0, n = (size_t)length + 1;

    for (int l = 0; l < LEVELS; l++) {
        n = (n + 63) / 64;
        counts[l] = n;
        total += n;
    }
    r->words[0] = calloc(total, sizeof *r->words[0]);
    if (!r->words[0])
        return mk_error_memory(err, total * sizeof *r->words[0]);
    for (int l = 1; l < LEVELS; l++)
        r->words[l] = r->words[l - 1] + counts[l - 1];
    return 0;
}

static void rooms_add(struct rooms *r, size_t room)
{
    for (int l = 0; l < LEVELS; l++, room /= 64)
        r->words[l][room / 64] |= (uint64_t)1 << room % 64;
}

static void rooms_remove(struct rooms *r, size_t room)
{
    for (int l = 0; l < LEVELS; l++, room /= 64) {
        r->words[l][room / 64] &= ~((uint64_t)1 << room % 64);
        if (r->words[l][room / 64])
            return;
    }
}

/* The least room of at least `room`, which is at most `length`; -1: none. */
static int64_t rooms_find(const struct rooms *r, size_t room, size_t length)
{
    size_t last = length;
    int l = 0;

    for (;; l++, last /= 64) { /* up, until some word has a bit at or behind */
        uint64_t word;

        if (l == LEVELS || room > last)
            return -1;
        word = r->words[l][room / 64] >> room % 64;
        if (word) {
            room += (size_t)__builtin_ctzll(word);
            break;
        }
        room = room / 64 + 1;
    }
    for (; l > 0; l--) /* and down to the first of it */
        room = room * 64 + (size_t)__builtin_ctzll(r->words[l - 1][room]);
    return (int64_t)room;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static int count_pieces(struct packer *k, struct mk_error *err)
{
    uint64_t n = 0;

    for (int64_t d = 0; d < k->n_documents; d++) {
        if (k->lengths[d] < 0)
            return mk_error_set(err, MK_EINVAL, "document %lld has %lld tokens", (long long)d,
                                (long long)k->lengths[d]);
        if (!checked_add(n, (uint64_t)k->lengths[d] / (uint64_t)k->p->length, &n) ||
            !checked_add(n, k->lengths[d] % k->p->length > 0, &n) ||
            n > INT64_MAX / 64)
            return mk_error_set(err, MK_ELIMIT, "too many tokens to pack");
        k->p->n_tokens += k->lengths[d];
    }
    k->n_pieces = (int64_t)n;
    return 0;
}

/* Cuts documents and sorts the pieces by counting: longest first, equals in order. */
static int sort_pieces(struct packer *k, struct mk_error *err)
{
    int32_t length = k->p->length;
    int64_t *at = calloc((size_t)length + 2, sizeof *at), total = 0;

    k->pieces = malloc(((size_t)k->n_pieces + 1) * sizeof *k->pieces);
    if (!at || !k->pieces) {
        free(at);
        return mk_error_memory(err, (size_t)k->n_pieces * sizeof *k->pieces);
    }
    for (int64_t d = 0; d < k->n_documents; d++) {
        at[length] += k->lengths[d] / length;
        at[k->lengths[d] % length]++; /* at[0] is not used */
    }
    for (int32_t n = length; n > 0; n--) {
        int64_t count = at[n];

        at[n] = total;
        total += count;
    }
    for (int64_t d = 0; d < k->n_documents; d++)
        for (int64_t begin = 0; begin < k->lengths[d]; begin += length) {
            int64_t left = k->lengths[d] - begin;
            int32_t n = left < length ? (int32_t)left : length;

            k->pieces[at[n]++] = (struct fragment){d, begin, n};
        }
    free(at);
    return 0;
}

static int take_memory(struct packer *k, struct mk_error *err)
{
    size_t n = (size_t)k->n_pieces + 1, stacks = (size_t)k->p->length + 1;

    if (rooms_init(&k->rooms, k->p->length, err))
        return err->code;
    k->sequence = malloc(n * sizeof *k->sequence);
    k->below = malloc(n * sizeof *k->below);
    k->room = malloc(n * sizeof *k->room);
    k->stacks = malloc(stacks * sizeof *k->stacks);
    if (!k->sequence || !k->below || !k->room || !k->stacks)
        return mk_error_memory(err, n * (sizeof *k->sequence + sizeof *k->below));
    for (size_t i = 0; i < stacks; i++)
        k->stacks[i] = -1;
    return 0;
}

/* ---- placing --------------------------------------------------------------------------------- */

static void open_room(struct packer *k, int64_t sequence)
{
    int32_t room = k->room[sequence];

    if (room == 0)
        return;
    k->below[sequence] = k->stacks[room];
    k->stacks[room] = sequence;
    rooms_add(&k->rooms, (size_t)room);
}

static void place(struct packer *k, int64_t piece)
{
    int32_t n = k->pieces[piece].n;
    int64_t room = rooms_find(&k->rooms, (size_t)n, (size_t)k->p->length), s;

    if (room < 0) {
        s = k->p->n_sequences++;
        k->room[s] = k->p->length;
    } else {
        s = k->stacks[room];
        k->stacks[room] = k->below[s];
        if (k->stacks[room] < 0)
            rooms_remove(&k->rooms, (size_t)room);
    }
    k->sequence[piece] = s;
    k->room[s] -= n;
    open_room(k, s);
}

/* ---- order ----------------------------------------------------------------------------------- */

/* A sequence by the piece that opened it. */
struct opening {
    int64_t document, begin, sequence;
};

static int by_place(const void *a, const void *b)
{
    const struct opening *x = a, *y = b;

    if (x->document != y->document)
        return x->document < y->document ? -1 : 1;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Sequences were opened by falling length: the last share of them, which validation takes, would be
 * the shortest documents. In the order of the text it is the end of the text. */
static int order(struct packer *k, struct mk_error *err)
{
    size_t n = (size_t)k->p->n_sequences;
    struct opening *openings = malloc((n + 1) * sizeof *openings);
    int64_t *rank = malloc((n + 1) * sizeof *rank), opened = 0;

    if (!openings || !rank) {
        free(openings);
        free(rank);
        return mk_error_memory(err, n * sizeof *openings);
    }
    for (int64_t i = 0; i < k->n_pieces; i++)
        if (k->sequence[i] == opened) {
            openings[opened] = (struct opening){k->pieces[i].document, k->pieces[i].begin, opened};
            opened++;
        }
    qsort(openings, n, sizeof *openings, by_place);
    for (size_t i = 0; i < n; i++)
        rank[openings[i].sequence] = (int64_t)i;
    for (int64_t i = 0; i < k->n_pieces; i++)
        k->sequence[i] = rank[k->sequence[i]];
    free(openings);
    free(rank);
    return 0;
}

/* The pieces in the order of their sequences; inside one as they were placed. */
static int gather(struct packer *k, struct mk_error *err)
{
    struct packing *p = k->p;

    p->first = calloc((size_t)p->n_sequences + 2, sizeof *p->first);
    p->fragments = malloc(((size_t)k->n_pieces + 1) * sizeof *p->fragments);
    if (!p->first || !p->fragments)
        return mk_error_memory(err, (size_t)k->n_pieces * sizeof *p->fragments);
    for (int64_t i = 0; i < k->n_pieces; i++) /* shifted by one: filling moves it into place */
        p->first[k->sequence[i] + 2]++;
    for (int64_t s = 2; s <= p->n_sequences + 1; s++)
        p->first[s] += p->first[s - 1];
    for (int64_t i = 0; i < k->n_pieces; i++)
        p->fragments[p->first[k->sequence[i] + 1]++] = k->pieces[i];
    p->n_fragments = k->n_pieces;
    return 0;
}

int packing_init(struct packing *p, const int64_t *lengths, int64_t n_documents, int32_t length,
                 struct mk_error *err)
{
    struct packer k = {.p = p, .lengths = lengths, .n_documents = n_documents};
    int rc;

    *p = (struct packing){.length = length};
    if (length < 1 || length >= PACKING_MAX_LENGTH || n_documents < 0)
        return mk_error_set(err, MK_EINVAL, "sequences of %d tokens: expected 1 to %d", length,
                            PACKING_MAX_LENGTH - 1);
    rc = count_pieces(&k, err);
    if (!rc)
        rc = sort_pieces(&k, err);
    if (!rc)
        rc = take_memory(&k, err);
    for (int64_t i = 0; !rc && i < k.n_pieces; i++)
        place(&k, i);
    if (!rc)
        rc = order(&k, err);
    if (!rc)
        rc = gather(&k, err);
    free(k.pieces);
    free(k.sequence);
    free(k.below);
    free(k.room);
    free(k.stacks);
    free(k.rooms.words[0]);
    if (rc)
        packing_release(p);
    return rc;
}

void packing_release(struct packing *p)
{
    free(p->fragments);
    free(p->first);
    *p = (struct packing){0};
}
