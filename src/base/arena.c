/* arena.c: chunked bump allocation. Chunks double up to 64 MB, so that a step settles after its
 * first large batch. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN 64
#define ARENA_FIRST_BYTES ((size_t)1 << 16)
/* Doubling ends here: a model's weights must not reserve twice their size. */
#define ARENA_LARGE_BYTES ((size_t)1 << 26)

struct arena_chunk {
    struct arena_chunk *next;
    size_t bytes, used, most; /* most: of used, so far */
    unsigned char *data; /* ARENA_ALIGN aligned */
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

void arena_release(struct arena *a)
{
    struct arena_chunk *c = a->first, *next;

    for (; c; c = next) {
        next = c->next;
        free(c->data);
        free(c);
    }
    *a = (struct arena){.max_bytes = a->max_bytes};
}

void arena_reset(struct arena *a)
{
    for (struct arena_chunk *c = a->first; c; c = c->next)
        c->used = 0;
    a->current = a->first;
}

static struct arena_chunk *add_chunk(struct arena *a, size_t bytes)
{
    size_t want = a->current ? a->current->bytes * 2 : ARENA_FIRST_BYTES;
    struct arena_chunk *c;

    if (bytes > a->max_bytes || a->used_bytes > a->max_bytes - bytes)
        return NULL;
    if (want > ARENA_LARGE_BYTES)
        want = ARENA_LARGE_BYTES;
    if (want > a->max_bytes - a->used_bytes)
        want = a->max_bytes - a->used_bytes;
    if (want < bytes)
        want = bytes;
    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    want = (want + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    c->data = aligned_alloc(ARENA_ALIGN, want);
    if (!c->data) {
        free(c);
        return NULL;
    }
    c->bytes = want;
    a->used_bytes += want;
    if (a->current) {
        c->next = a->current->next;
        a->current->next = c;
    } else {
        a->first = c;
    }
    return c;
}

int arena_reserve(struct arena *a, size_t bytes, struct mk_error *err)
{
    struct arena_chunk *c = add_chunk(a, bytes);

    if (!c)
        return mk_error_memory(err, bytes);
    a->current = c;
    return 0;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    struct arena_chunk *c;
    void *p;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (bytes == 0)
        bytes = ARENA_ALIGN;
    for (c = a->current; c && c->bytes - c->used < bytes; c = c->next)
        if (!c->next)
            break;
    if (!c || c->bytes - c->used < bytes) {
        if (c)
            a->current = c;
        c = add_chunk(a, bytes);
        if (!c)
            return NULL;
    }
    a->current = c;
    p = c->data + c->used;
    c->used += bytes;
    c->most = c->used > c->most ? c->used : c->most;
    return p;
}

size_t arena_most(const struct arena *a)
{
    size_t sum = 0;

    for (const struct arena_chunk *c = a->first; c; c = c->next)
        sum += c->most;
    return sum;
}

int arena_take(struct arena *a, void *pointer_to_pointer, size_t n, size_t size,
               struct mk_error *err)
{
    size_t bytes;
    void *p;

    if (__builtin_mul_overflow(n, size, &bytes))
        return mk_error_memory(err, SIZE_MAX);
    p = arena_alloc(a, bytes);
    if (!p)
        return mk_error_memory(err, bytes);
    memcpy(pointer_to_pointer, &p, sizeof p);
    return 0;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){.chunk = a->current, .used = a->current ? a->current->used : 0};
}

void arena_rewind(struct arena *a, struct arena_mark mark)
{
    struct arena_chunk *c = mark.chunk ? mark.chunk->next : a->first;

    for (; c; c = c->next)
        c->used = 0;
    a->current = mark.chunk ? mark.chunk : a->first;
    if (mark.chunk)
        mark.chunk->used = mark.used;
}
