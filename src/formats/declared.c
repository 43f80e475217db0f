/* declared.c: the list of tensors that a writer was promised. */
#include "formats/declared.h"

#include <inttypes.h>
#include <string.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "base/checked.h"

static bool is_plain_name(const char *name)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)name;
    size_t n = strlen(name);

    if (n == 0 || n > MK_MAX_TENSOR_NAME)
        return false;
    while (n > 0) {
        utf8proc_int32_t c;
        utf8proc_ssize_t used = utf8proc_iterate(p, (utf8proc_ssize_t)n, &c);

        if (used <= 0 || c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            return false;
        p += used;
        n -= (size_t)used;
    }
    return true;
}

int declare_tensor(struct declared *d, const char *name, enum dtype dtype, int32_t n_dims,
                   const int64_t *shape, struct mk_error *err)
{
    struct file_tensor e = {.name = (char *)(uintptr_t)name, .dtype = dtype, .n_dims = n_dims};
    uint64_t values = 1;

    if (!is_plain_name(name))
        return mk_error_set(err, MK_EINVAL, "'%.200s' cannot be the name of a tensor", name);
    if (n_dims < 0 || n_dims > MK_MAX_DIMS)
        return mk_error_set(err, MK_EINVAL, "tensor '%s': %d dimensions", name, n_dims);
    for (int32_t i = 0; i < n_dims; i++) {
        e.shape[i] = shape[i];
        if (shape[i] < 1 || !checked_mul(values, (uint64_t)shape[i], &values))
            return mk_error_set(err, MK_EINVAL, "tensor '%s': dimension %d is %" PRId64, name, i,
                                shape[i]);
    }
    if (dtype_is_quantised(dtype) && (n_dims == 0 || shape[n_dims - 1] % dtype_info(dtype)->block))
        return mk_error_set(err, MK_EINVAL, "tensor '%s': its rows are no whole blocks of %s", name,
                            dtype_info(dtype)->name);
    if (!dtype_bytes(dtype, values, &e.bytes))
        return mk_error_set(err, MK_EINVAL, "tensor '%s': is too large", name);
    return tensors_add(&d->table, &e, err);
}

int declared_check(const struct declared *d, struct mk_error *err)
{
    const struct tensors *t = &d->table;
    char **names = malloc((size_t)(t->n_items ? t->n_items : 1) * sizeof *names);
    int64_t twice = -2;

    if (names) {
        for (int64_t i = 0; i < t->n_items; i++)
            names[i] = t->items[i].name;
        twice = find_duplicate(names, t->n_items);
        free(names);
    }
    if (twice == -2)
        return mk_error_memory(err, (size_t)t->n_items * sizeof *names);
    if (twice >= 0)
        return mk_error_set(err, MK_EINVAL, "two tensors are named '%s'", t->items[twice].name);
    return 0;
}

int declared_take(struct declared *d, uint64_t bytes, uint64_t *here, struct mk_error *err)
{
    uint64_t missing;

    if (d->current == d->table.n_items)
        return mk_error_set(err, MK_EINVAL, "%" PRIu64 " bytes come after the last tensor", bytes);
    missing = d->table.items[d->current].bytes - d->done;
    *here = bytes < missing ? bytes : missing;
    d->done += *here;
    return 0;
}

int declared_check_whole(const struct declared *d, struct mk_error *err)
{
    const struct file_tensor *e;

    if (d->current == d->table.n_items)
        return 0;
    e = &d->table.items[d->current];
    return mk_error_set(err, MK_EINVAL, "tensor '%s': %" PRIu64 " of its %" PRIu64 " bytes came",
                        e->name, d->done, e->bytes);
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(**(char *const *const *)a, **(char *const *const *)b);
}

int64_t find_duplicate(char *const *names, int64_t n)
{
    char *const **sorted;
    int64_t found = -1;

    if (n < 2)
        return -1;
    sorted = malloc((size_t)n * sizeof *sorted);
    if (!sorted)
        return -2;
    for (int64_t i = 0; i < n; i++)
        sorted[i] = &names[i];
    qsort(sorted, (size_t)n, sizeof *sorted, compare_strings);
    for (int64_t i = 0; i + 1 < n && found < 0; i++)
        if (!strcmp(*sorted[i], *sorted[i + 1]))
            found = sorted[i] - names;
    free(sorted);
    return found;
}
