/* tensors.h: the named tensors of a model file, whatever its format: where each one's bytes lie in the mapped file.
 *
 * The table owns its names; `data` is borrowed from the mapped files, which the table owns too, so it must outlive every
 * pointer taken from it. Everything in it has been checked: the bytes lie inside the file and equal shape x dtype. */
#ifndef MK_FORMATS_TENSORS_H
#define MK_FORMATS_TENSORS_H

#include "base/error.h"
#include "base/map_file.h"
#include "tensor/dtype.h"

#define MK_MAX_DIMS 4

struct file_tensor {
    char *name;                    /* as in the file */
    enum dtype dtype;
    int32_t n_dims;
    int64_t shape[MK_MAX_DIMS];    /* slowest first: a matrix is [out, in]. GGUF's ne is reversed into this order */
    const unsigned char *data;
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

/* NULL when there is none of that name. */
const struct file_tensor *tensors_find(const struct tensors *t, const char *name);
void tensors_release(struct tensors *t);
/* Takes a copy of name. The caller has checked the entry. */
int tensors_add(struct tensors *t, const struct file_tensor *entry, struct mk_error *err);
/* Takes over an open mapping. */
int tensors_add_file(struct tensors *t, struct map_file *m, const char *path, struct mk_error *err);
/* Sorts, and refuses two tensors of one name. */
int tensors_finish(struct tensors *t, struct mk_error *err);

#endif
