/* arena.h: memory with one lifetime, given back all at once.
 *
 * minke has three: model (until unload), session (until closed), step (reset every token or
 * micro-batch). One owner, one thread. Grows by chunks up to `max_bytes`; arena_reset keeps the
 * chunks, so that a steady step allocates nothing. */
#ifndef MK_BASE_ARENA_H
#define MK_BASE_ARENA_H

#include <stddef.h>

#include "base/error.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *first, *current;
    size_t used_bytes, max_bytes; /* over all chunks */
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_release(struct arena *a);
void arena_reset(struct arena *a);
/* Room in one piece for an arena that is still empty. What fits then leaves no gaps at the ends of
 * chunks; memory is taken from the system as it is written to. */
int arena_reserve(struct arena *a, size_t bytes, struct mk_error *err);
/* 64-byte aligned, not cleared; NULL when max_bytes or memory is exceeded. bytes may be 0. */
void *arena_alloc(struct arena *a, size_t bytes);
/* A place to come back to: what was taken after the mark is given back by arena_rewind. */
struct arena_mark {
    struct arena_chunk *chunk;
    size_t used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);
/* The most bytes that have been in use at any time: what memory has really been touched. */
size_t arena_most(const struct arena *a);
/* n * size with an overflow check; sets err. */
int arena_take(struct arena *a, void *pointer_to_pointer, size_t n, size_t size,
               struct mk_error *err);

#endif
