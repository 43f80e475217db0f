/* tensors.h: the named tensors of a model file, whatever its format: where each one's bytes lie in
 * the mapped file.
 *
 * The table owns its names; `data` is borrowed from the mapped files, which the table owns too, so
 * it must outlive every pointer taken from it. Everything in it has been checked: the bytes lie
 * inside the file and equal shape x dtype. Filled by one thread, then read by any number. */
#ifndef MK_FORMATS_TENSORS_H
#define MK_FORMATS_TENSORS_H

#include "base/error.h"
#include "base/map_file.h"
#include "tensor/dtype.h"

#define MK_MAX_DIMS 4
#define MK_MAX_TENSORS 500000    /* of one model; the largest published have 140,000 */
#define MK_MAX_TENSOR_NAME 1000  /* bytes */
#define MK_MAX_FILES 4096        /* shards of one model */

struct file_tensor {
    char *name;                    /* as in the file */
    enum dtype dtype;
    int32_t n_dims;                /* 0: a single value */
    int64_t shape[MK_MAX_DIMS];    /* slowest first: a matrix is [out, in]. GGUF's ne, reversed */
    const unsigned char *data;     /* of any alignment */
    uint64_t bytes;
    int32_t file;                  /* index into files */
};

struct tensors {
    struct file_tensor *items;     /* sorted by name after tensors_finish */
    int64_t n_items, capacity;
    struct map_file *files;
    char **paths;                  /* of each file */
    int32_t n_files;
};

/* NULL when there is none of that name. After tensors_finish. */
const struct file_tensor *tensors_find(const struct tensors *t, const char *name);
/* Values in a tensor: the product of its shape, which cannot overflow. */
uint64_t tensor_values(const struct file_tensor *e);
/* Refuses NaN and infinity, in the values or the scales they are made with; reads every byte of e.
 * Integers and f64 pass unread. */
int tensors_check_finite(const struct tensors *t, const struct file_tensor *e,
                         struct mk_error *err);
void tensors_release(struct tensors *t);

/* For readers of formats. `*t` starts as {0}. */

/* Makes room for n more at once. */
int tensors_reserve(struct tensors *t, int64_t n, struct mk_error *err);
/* Takes a copy of name. The caller has checked the entry. */
int tensors_add(struct tensors *t, const struct file_tensor *entry, struct mk_error *err);
/* Takes over an open mapping, and closes it on failure. */
int tensors_add_file(struct tensors *t, struct map_file *m, const char *path, struct mk_error *err);
/* Puts the items from index `first` on in the order of their bytes; refuses those that overlap. */
int tensors_check_overlap(struct tensors *t, int64_t first, struct mk_error *err);
/* Sorts, and refuses two tensors of one name. */
int tensors_finish(struct tensors *t, struct mk_error *err);

#endif
