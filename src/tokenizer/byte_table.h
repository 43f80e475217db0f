/* byte_table.h: a growing set of byte strings, numbered in the order in which they came.
 *
 * Open addressing with linear probing over one block of bytes. One owner. */
#ifndef MK_TOKENIZER_BYTE_TABLE_H
#define MK_TOKENIZER_BYTE_TABLE_H

#include <stdint.h>

#include "base/error.h"

struct byte_item {
    size_t begin;   /* into bytes */
    uint32_t n, hash;
    int64_t value;  /* the owner's: a count, an id; 0 in a new item */
};

struct byte_table {
    struct byte_item *items;      /* [n] */
    unsigned char *bytes;         /* [n_bytes] */
    uint32_t *slots;              /* [n_slots] index + 1, 0 is free; n_slots is a power of two */
    size_t n, capacity, n_bytes, bytes_capacity, n_slots;
};

/* Start from {0}. */
void byte_table_release(struct byte_table *t);
/* The item with these bytes, made when there is none; NULL and err when memory is short. Borrowed
 * until the next call. n < 2^32. */
struct byte_item *byte_table_add(struct byte_table *t, const void *s, size_t n,
                                 struct mk_error *err);
/* NULL when there is none. */
struct byte_item *byte_table_find(const struct byte_table *t, const void *s, size_t n);

#endif
