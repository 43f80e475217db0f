/* byte_table.c: numbered byte strings. */
#include "tokenizer/byte_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define FIRST_SLOTS 1024
#define MAX_ITEMS ((size_t)UINT32_MAX - 1)

void byte_table_release(struct byte_table *t)
{
    free(t->items);
    free(t->bytes);
    free(t->slots);
    *t = (struct byte_table){0};
}

/* Both halves in one. */
static uint32_t hash_of(const void *s, size_t n)
{
    uint64_t h = hash_bytes(s, n);

    return (uint32_t)(h ^ h >> 32);
}

/* The slot that holds the string, or the free one where it belongs. */
static size_t slot_of(const struct byte_table *t, const void *s, size_t n, uint32_t hash)
{
    size_t at = hash & (t->n_slots - 1);

    for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
        const struct byte_item *i = &t->items[t->slots[at] - 1];

        if (i->hash == hash && i->n == n && (n == 0 || !memcmp(t->bytes + i->begin, s, n)))
            break;
    }
    return at;
}

struct byte_item *byte_table_find(const struct byte_table *t, const void *s, size_t n)
{
    size_t at;

    if (!t->n)
        return NULL;
    at = slot_of(t, s, n, hash_of(s, n));
    return t->slots[at] ? &t->items[t->slots[at] - 1] : NULL;
}

static int grow_slots(struct byte_table *t, struct mk_error *err)
{
    size_t n = t->n_slots ? 2 * t->n_slots : FIRST_SLOTS;
    uint32_t *slots = calloc(n, sizeof *slots);

    if (!slots)
        return mk_error_memory(err, n * sizeof *slots);
    for (size_t i = 0; i < t->n; i++) {
        size_t at = t->items[i].hash & (n - 1);

        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n;
    return 0;
}

/* Room for one more item of n bytes. */
static int reserve(struct byte_table *t, size_t n, struct mk_error *err)
{
    if (t->n == MAX_ITEMS)
        return mk_error_set(err, MK_ELIMIT, "more than %zu different pieces of text", MAX_ITEMS);
    if (t->n == t->capacity) {
        size_t want = t->capacity ? 2 * t->capacity : FIRST_SLOTS;
        struct byte_item *items = realloc(t->items, want * sizeof *items);

        if (!items)
            return mk_error_memory(err, want * sizeof *items);
        t->items = items;
        t->capacity = want;
    }
    if (t->bytes_capacity - t->n_bytes < n) {
        size_t want = 2 * t->bytes_capacity + n + FIRST_SLOTS;
        unsigned char *bytes = realloc(t->bytes, want);

        if (!bytes)
            return mk_error_memory(err, want);
        t->bytes = bytes;
        t->bytes_capacity = want;
    }
    return 2 * (t->n + 1) > t->n_slots ? grow_slots(t, err) : 0;
}

struct byte_item *byte_table_add(struct byte_table *t, const void *s, size_t n,
                                 struct mk_error *err)
{
    struct byte_item *found = byte_table_find(t, s, n);
    uint32_t hash;

    if (found)
        return found;
    if (reserve(t, n, err))
        return NULL;
    hash = hash_of(s, n);
    t->slots[slot_of(t, s, n, hash)] = (uint32_t)t->n + 1;
    t->items[t->n] = (struct byte_item){t->n_bytes, (uint32_t)n, hash, 0};
    if (n)
        memcpy(t->bytes + t->n_bytes, s, n);
    t->n_bytes += n;
    return &t->items[t->n++];
}
