/* tensors.c: the table of named tensors that every format's reader fills. */
#include "formats/tensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dequant.h"

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct file_tensor *)a)->name, ((const struct file_tensor *)b)->name);
}

static int compare_places(const void *a, const void *b)
{
    const struct file_tensor *x = a, *y = b;

    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones first */
}

const struct file_tensor *tensors_find(const struct tensors *t, const char *name)
{
    int64_t low = 0, high = t->n_items;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, t->items[middle].name);

        if (order == 0)
            return &t->items[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

uint64_t tensor_values(const struct file_tensor *e)
{
    uint64_t n = 1;

    for (int32_t i = 0; i < e->n_dims; i++)
        n *= (uint64_t)e->shape[i];
    return n;
}

int tensors_check_finite(const struct tensors *t, const struct file_tensor *e, struct mk_error *err)
{
    enum { CHUNK = 4096 }; /* a multiple of every block */
    float values[CHUNK];
    uint64_t n = tensor_values(e), chunk_bytes;

    if (!dtype_bytes(e->dtype, CHUNK, &chunk_bytes))
        return mk_error_set(err, MK_EINTERNAL, "%s: blocks do not fit", e->name);
    for (uint64_t at = 0, chunk = 0; at < n; at += CHUNK, chunk++) {
        int64_t here = n - at < CHUNK ? (int64_t)(n - at) : CHUNK;

        if (dequantise_row(e->dtype, e->data + chunk * chunk_bytes, here, values))
            return 0;
        for (int64_t i = 0; i < here; i++)
            if (!isfinite(values[i]))
                return mk_error_set(err, MK_EFORMAT,
                                    "%s: tensor '%s': value %" PRIu64 " is %s; download it again",
                                    t->paths[e->file], e->name, at + (uint64_t)i,
                                    isnan(values[i]) ? "not a number" : "infinite");
    }
    return 0;
}

void tensors_release(struct tensors *t)
{
    for (int64_t i = 0; i < t->n_items; i++)
        free(t->items[i].name);
    for (int32_t i = 0; i < t->n_files; i++) {
        map_file_close(&t->files[i]);
        free(t->paths[i]);
    }
    free(t->items);
    free(t->files);
    free(t->paths);
    *t = (struct tensors){0};
}

int tensors_reserve(struct tensors *t, int64_t n, struct mk_error *err)
{
    struct file_tensor *items;
    int64_t want;

    if (n > MK_MAX_TENSORS || t->n_items > MK_MAX_TENSORS - n)
        return mk_error_set(err, MK_ELIMIT, "more than %d tensors", MK_MAX_TENSORS);
    want = t->n_items + n;
    if (want <= t->capacity)
        return 0;
    items = realloc(t->items, (size_t)want * sizeof *items);
    if (!items)
        return mk_error_memory(err, (size_t)want * sizeof *items);
    t->items = items;
    t->capacity = want;
    return 0;
}

int tensors_add(struct tensors *t, const struct file_tensor *entry, struct mk_error *err)
{
    struct file_tensor copy = *entry;
    int rc = 0;

    if (t->n_items == t->capacity) {
        int64_t step = t->capacity < 64 ? 64 : t->capacity / 2;

        if (step > MK_MAX_TENSORS - t->n_items)
            step = t->n_items < MK_MAX_TENSORS ? MK_MAX_TENSORS - t->n_items : 1;
        rc = tensors_reserve(t, step, err);
        if (rc)
            return rc;
    }
    copy.name = strdup(entry->name);
    if (!copy.name)
        return mk_error_memory(err, strlen(entry->name) + 1);
    t->items[t->n_items++] = copy;
    return 0;
}

int tensors_add_file(struct tensors *t, struct map_file *m, const char *path, struct mk_error *err)
{
    size_t n = (size_t)t->n_files + 1;
    struct map_file *files = realloc(t->files, n * sizeof *files);
    char **paths = NULL, *copy = strdup(path);

    if (files) {
        t->files = files;
        paths = realloc(t->paths, n * sizeof *paths);
    }
    if (paths)
        t->paths = paths;
    if (!files || !paths || !copy) {
        free(copy);
        map_file_close(m);
        return mk_error_memory(err, n * (sizeof *files + sizeof *paths) + strlen(path));
    }
    t->files[t->n_files] = *m;
    t->paths[t->n_files++] = copy;
    *m = (struct map_file){0};
    return 0;
}

int tensors_check_overlap(struct tensors *t, int64_t first, struct mk_error *err)
{
    int64_t n = t->n_items - first;

    if (n < 2)
        return 0;
    qsort(t->items + first, (size_t)n, sizeof *t->items, compare_places);
    for (int64_t i = first; i + 1 < t->n_items; i++) {
        const struct file_tensor *a = &t->items[i], *b = a + 1;

        if (a->bytes > (uint64_t)(b->data - a->data))
            return mk_error_set(err, MK_EFORMAT, "%s: tensors '%s' and '%s' overlap",
                                t->paths[a->file], a->name, b->name);
    }
    return 0;
}

int tensors_finish(struct tensors *t, struct mk_error *err)
{
    if (t->n_items > 1)
        qsort(t->items, (size_t)t->n_items, sizeof *t->items, compare_names);
    for (int64_t i = 0; i + 1 < t->n_items; i++)
        if (!strcmp(t->items[i].name, t->items[i + 1].name))
            return mk_error_set(err, MK_EFORMAT, "%s: two tensors are named '%s'",
                                t->paths[t->items[i + 1].file], t->items[i].name);
    return 0;
}
