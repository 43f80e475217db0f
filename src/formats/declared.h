/* declared.h: what both writers need: the tensors a caller announced, and how far their bytes came.
 *
 * Tensors are handed over in the order of declaration, in pieces of any size. */
#ifndef MK_FORMATS_DECLARED_H
#define MK_FORMATS_DECLARED_H

#include <stdbool.h>

#include "formats/tensors.h"

struct declared {
    struct tensors table;   /* items as declared; data NULL; file as the writer likes */
    int64_t current;        /* item whose bytes are awaited */
    uint64_t done;          /* bytes of it that have come */
};

/* Checks name (UTF-8 without control characters, quotes and backslashes), shape and type. */
int declare_tensor(struct declared *d, const char *name, enum dtype dtype, int32_t n_dims,
                   const int64_t *shape, struct mk_error *err);
/* Refuses two tensors of one name. */
int declared_check(const struct declared *d, struct mk_error *err);
/* How many of `bytes` belong to the current tensor; refuses bytes after the last one. */
int declared_take(struct declared *d, uint64_t bytes, uint64_t *here, struct mk_error *err);
/* Refuses when bytes are missing. */
int declared_check_whole(const struct declared *d, struct mk_error *err);

/* An index of a name that occurs twice among n, or -1; for writers that refuse duplicates. -2: out
 * of memory. */
int64_t find_duplicate(char *const *names, int64_t n);

#endif
