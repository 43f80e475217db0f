/* overlap.c: runs of words, their hashes and the table of those that are looked for. */
#include "eval/overlap.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define BASE 0x9e3779b97f4a7c15u /* of the polynomial over the words' hashes */
#define NOWHERE (-1)

/* The last words of a text. */
struct run {
    uint64_t words[OVERLAP_WORDS]; /* a ring */
    size_t begins[OVERLAP_WORDS];  /* where each begins */
    uint64_t n;                    /* words so far */
    uint64_t hash;                 /* of the last ones, as a polynomial */
    uint64_t word;                 /* of the word that is being read */
    bool in_word;
    size_t begin;
};

struct entry {
    uint64_t hash; /* 0: empty */
    int32_t source;
};

struct overlap {
    struct entry *table; /* [capacity] a power of two, at most half full */
    size_t n, capacity;
    uint64_t power; /* BASE^(words - 1) */
    struct run document;
};

/* ---- Words ----------------------------------------------------------------------------------- */

static bool is_of_word(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

/* The word has ended; true when it completes a run. */
static bool end_word(struct run *r, uint64_t power)
{
    size_t slot = r->n % OVERLAP_WORDS;
    uint64_t word = hash_mix(r->word), out = r->n >= OVERLAP_WORDS ? r->words[slot] : 0;

    r->hash = (r->hash - out * power) * BASE + word;
    r->words[slot] = word;
    r->begins[slot] = r->begin;
    r->in_word = false;
    r->n++;
    return r->n >= OVERLAP_WORDS;
}

/* One byte, at `at`; true when the word before it completes a run. */
static bool take_byte(struct run *r, unsigned char c, size_t at, uint64_t power)
{
    if (!is_of_word(c))
        return r->in_word && end_word(r, power);
    if (!r->in_word) {
        r->in_word = true;
        r->word = HASH_BEGIN;
        r->begin = at;
    }
    c |= c >= 'A' && c <= 'Z' ? 0x20 : 0;
    r->word = hash_add(r->word, c);
    return false;
}

/* Never 0: that is an empty place. */
static uint64_t key_of(const struct run *r)
{
    return hash_mix(r->hash) | 1;
}

/* ---- The table ------------------------------------------------------------------------------- */

static struct entry *find(struct entry *table, size_t capacity, uint64_t key)
{
    size_t i = key >> 1 & (capacity - 1);

    while (table[i].hash && table[i].hash != key)
        i = (i + 1) & (capacity - 1);
    return &table[i];
}

static int grow(struct overlap *o, struct mk_error *err)
{
    size_t capacity = 2 * o->capacity;
    struct entry *table = calloc(capacity, sizeof *table);

    if (!table)
        return mk_error_memory(err, capacity * sizeof *table);
    for (size_t i = 0; i < o->capacity; i++)
        if (o->table[i].hash)
            *find(table, capacity, o->table[i].hash) = o->table[i];
    free(o->table);
    o->table = table;
    o->capacity = capacity;
    return 0;
}

static int insert(struct overlap *o, uint64_t key, struct mk_error *err)
{
    struct entry *e;

    if (2 * o->n >= o->capacity && grow(o, err))
        return err->code;
    e = find(o->table, o->capacity, key);
    if (!e->hash) {
        *e = (struct entry){key, NOWHERE};
        o->n++;
    }
    return 0;
}

int overlap_create(struct overlap **out, struct mk_error *err)
{
    struct overlap *o = calloc(1, sizeof *o);

    *out = NULL;
    if (!o)
        return mk_error_memory(err, sizeof *o);
    o->capacity = 1 << 16;
    o->table = calloc(o->capacity, sizeof *o->table);
    if (!o->table) {
        free(o);
        return mk_error_memory(err, sizeof(struct entry) << 16);
    }
    o->power = 1;
    for (int i = 1; i < OVERLAP_WORDS; i++)
        o->power *= BASE;
    *out = o;
    return 0;
}

void overlap_free(struct overlap *o)
{
    if (!o)
        return;
    free(o->table);
    free(o);
}

/* ---- Questions and documents ----------------------------------------------------------------- */

int overlap_add(struct overlap *o, const char *text, size_t n, struct mk_error *err)
{
    struct run r = {.n = 0};

    for (size_t i = 0; i <= n; i++)
        if (take_byte(&r, i < n ? (unsigned char)text[i] : ' ', i, o->power) &&
            insert(o, key_of(&r), err))
            return err->code;
    return 0;
}

static void look_up(struct overlap *o, int32_t source)
{
    struct entry *e = find(o->table, o->capacity, key_of(&o->document));

    if (e->hash && e->source == NOWHERE)
        e->source = source;
}

void overlap_feed(struct overlap *o, const char *text, size_t n, int32_t source)
{
    for (size_t i = 0; i < n; i++)
        if (take_byte(&o->document, (unsigned char)text[i], i, o->power))
            look_up(o, source);
}

void overlap_end_document(struct overlap *o)
{
    o->document = (struct run){.n = 0};
}

struct overlap_verdict overlap_of(const struct overlap *o, const char *text, size_t n)
{
    struct overlap_verdict v = {.source = NOWHERE};
    struct run r = {.n = 0};

    for (size_t i = 0; i <= n && !v.found; i++) {
        const struct entry *e;

        if (!take_byte(&r, i < n ? (unsigned char)text[i] : ' ', i, o->power))
            continue;
        v.judged = true;
        e = find(o->table, o->capacity, key_of(&r));
        v.found = e->hash && e->source != NOWHERE;
        v.source = e->source;
        v.begin = r.begins[r.n % OVERLAP_WORDS]; /* the oldest of the ring */
        v.end = i;
    }
    return v;
}
