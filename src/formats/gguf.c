/* gguf.c: reading GGUF: header, metadata, tensor table, and the parts of a split file. */
#include "formats/gguf.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/gguf_bytes.h"

#define MAX_VALUES 65536
#define MAX_KEY 65535             /* bytes, by the format's definition */
#define MAX_ALIGNMENT 65536
#define MIN_VALUE_BYTES (8 + 1 + 4 + 1)          /* key length, key, type, u8 */
#define MIN_TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8) /* name length, name, n_dims, ne, type, offset */

/* What is left to read of one file. */
struct reader {
    const unsigned char *begin, *at, *end;
};

/* The head of one file: its metadata and where things lie. */
struct head {
    uint32_t version;
    uint64_t n_tensors, alignment;
    struct gguf_value *values; /* owned, sorted */
    int64_t n_values;
};

static uint64_t left(const struct reader *r)
{
    return (uint64_t)(r->end - r->at);
}

static int read_number(struct reader *r, int bytes, uint64_t *out, const char *field,
                       struct mk_error *err)
{
    *out = 0;
    if (left(r) < (uint64_t)bytes)
        return mk_error_set(err, MK_EFORMAT, "%s: the file ends at byte %zu; download it again",
                            field, (size_t)(r->end - r->begin));
    *out = gguf_read_le(r->at, bytes);
    r->at += bytes;
    return 0;
}

static int read_string(struct reader *r, struct gguf_string *s, const char *field,
                       struct mk_error *err)
{
    int rc = read_number(r, 8, &s->n, field, err);

    s->data = NULL;
    if (rc)
        return rc;
    if (s->n > left(r))
        return mk_error_set(err, MK_EFORMAT, "%s: a string of %" PRIu64 " bytes passes the end of "
                            "the file, %" PRIu64 " bytes away", field, s->n, left(r));
    s->data = (const char *)r->at;
    r->at += s->n;
    return 0;
}

/* A string that names something: not empty, not too long, no NUL in it. */
static int read_name(struct reader *r, struct gguf_string *s, uint64_t max, const char *field,
                     struct mk_error *err)
{
    int rc = read_string(r, s, field, err);

    if (rc)
        return rc;
    if (s->n == 0 || s->n > max || memchr(s->data, 0, (size_t)s->n))
        return mk_error_set(err, MK_EFORMAT, "%s: is empty, longer than %" PRIu64 " bytes or holds "
                            "a NUL", field, max);
    return 0;
}

/* ---- Metadata ---- */

static int read_type(struct reader *r, enum gguf_type *type, struct mk_error *err)
{
    uint64_t n;
    int rc = read_number(r, 4, &n, "type", err);

    if (rc)
        return rc;
    if (n >= GGUF_N_TYPES)
        return mk_error_set(err, MK_EFORMAT, "type: there is no type %" PRIu64, n);
    *type = (enum gguf_type)n;
    return 0;
}

/* Steps over v->n elements that start here, and checks them. */
static int read_elements(struct reader *r, struct gguf_value *v, struct mk_error *err)
{
    uint64_t size = (uint64_t)gguf_type_bytes(v->element), bytes;
    struct gguf_string s;

    v->data = r->at;
    if (v->element == GGUF_STRING) {
        for (uint64_t i = 0; i < v->n; i++)
            if (read_string(r, &s, "value", err))
                return err->code;
    } else {
        if (!checked_mul(v->n, size, &bytes) || bytes > left(r))
            return mk_error_set(err, MK_EFORMAT, "value: %" PRIu64 " elements of %" PRIu64
                                " bytes pass the end of the file, %" PRIu64 " bytes away", v->n,
                                size, left(r));
        r->at += bytes;
    }
    v->bytes = (uint64_t)(r->at - v->data);
    for (uint64_t i = 0; v->element == GGUF_BOOL && i < v->n; i++)
        if (v->data[i] > 1)
            return mk_error_set(err, MK_EFORMAT, "value: %d is no bool", v->data[i]);
    return 0;
}

static int read_value(struct reader *r, struct gguf_value *v, struct mk_error *err)
{
    int rc = read_type(r, &v->type, err);

    v->element = v->type;
    v->n = 1;
    if (!rc && v->type == GGUF_ARRAY) {
        rc = read_type(r, &v->element, err);
        if (!rc)
            rc = read_number(r, 8, &v->n, "length", err);
        if (!rc && v->element == GGUF_ARRAY)
            return mk_error_set(err, MK_EUNSUPPORTED, "an array of arrays is not read");
    }
    return rc ? rc : read_elements(r, v, err);
}

static int compare_values(const void *a, const void *b)
{
    const struct gguf_string *x = &((const struct gguf_value *)a)->key;
    const struct gguf_string *y = &((const struct gguf_value *)b)->key;
    int order = memcmp(x->data, y->data, (size_t)(x->n < y->n ? x->n : y->n));

    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static int name_length(const struct gguf_string *s)
{
    return s->n < 200 ? (int)s->n : 200; /* for messages */
}

static int read_values(struct reader *r, struct head *h, int64_t n, struct mk_error *err)
{
    h->values = calloc(n ? (size_t)n : 1, sizeof *h->values);
    if (!h->values)
        return mk_error_memory(err, (size_t)n * sizeof *h->values);
    for (; h->n_values < n; h->n_values++) {
        struct gguf_value *v = &h->values[h->n_values];

        if (read_name(r, &v->key, MAX_KEY, "key", err))
            return mk_error_wrap(err, "metadata %" PRId64, h->n_values);
        if (read_value(r, v, err))
            return mk_error_wrap(err, "metadata '%.*s'", name_length(&v->key), v->key.data);
    }
    qsort(h->values, (size_t)n, sizeof *h->values, compare_values);
    for (int64_t i = 0; i + 1 < n; i++)
        if (!compare_values(&h->values[i], &h->values[i + 1]))
            return mk_error_set(err, MK_EFORMAT, "metadata '%.*s': given twice",
                                name_length(&h->values[i].key), h->values[i].key.data);
    return 0;
}

static int read_alignment(struct head *h, struct mk_error *err)
{
    const struct gguf view = {.values = h->values, .n_values = h->n_values};
    const struct gguf_value *v = gguf_find(&view, "general.alignment");
    int64_t n;

    h->alignment = GGUF_DEFAULT_ALIGNMENT;
    if (!v)
        return 0;
    if (v->type != GGUF_U32)
        return mk_error_set(err, MK_EFORMAT, "metadata 'general.alignment': is of type %s, not u32",
                            gguf_type_name(v->type));
    gguf_int_at(v, 0, &n);
    if (n < 8 || n > MAX_ALIGNMENT || (n & (n - 1)))
        return mk_error_set(err, MK_EFORMAT, "metadata 'general.alignment': %" PRId64 " is not a "
                            "power of two from 8 to %d", n, MAX_ALIGNMENT);
    h->alignment = (uint64_t)n;
    return 0;
}

/* ---- Header ---- */

static int read_magic(struct reader *r, uint32_t *version, struct mk_error *err)
{
    uint64_t n;

    if (left(r) < 4 || memcmp(r->at, "GGUF", 4) != 0)
        return mk_error_set(err, MK_EFORMAT, "magic: the file does not begin with 'GGUF'");
    r->at += 4;
    if (read_number(r, 4, &n, "version", err))
        return err->code;
    if (n != 0 && (n & 0xffff) == 0)
        return mk_error_set(err, MK_EUNSUPPORTED, "version: a big-endian file is not read");
    if (n != 2 && n != 3)
        return mk_error_set(err, MK_EUNSUPPORTED, "version: %" PRIu64 " is not read, only 2 and "
                            "3; convert the model again", n);
    *version = (uint32_t)n;
    return 0;
}

static int read_head(struct reader *r, struct head *h, struct mk_error *err)
{
    uint64_t n_values;

    if (read_magic(r, &h->version, err) ||
        read_number(r, 8, &h->n_tensors, "tensor count", err) ||
        read_number(r, 8, &n_values, "metadata count", err))
        return err->code;
    if (h->n_tensors > left(r) / MIN_TENSOR_BYTES || h->n_tensors > MK_MAX_TENSORS)
        return mk_error_set(err, MK_EFORMAT, "tensor count: %" PRIu64 " cannot be in a file of %zu "
                            "bytes, or is more than %d", h->n_tensors,
                            (size_t)(r->end - r->begin), MK_MAX_TENSORS);
    if (n_values > left(r) / MIN_VALUE_BYTES || n_values > MAX_VALUES)
        return mk_error_set(err, MK_EFORMAT, "metadata count: %" PRIu64 " cannot be in a file of "
                            "%zu bytes, or is more than %d", n_values,
                            (size_t)(r->end - r->begin), MAX_VALUES);
    if (read_values(r, h, (int64_t)n_values, err))
        return err->code;
    return read_alignment(h, err);
}

/* ---- Tensors ---- */

static int read_shape(struct reader *r, struct file_tensor *e, uint64_t *values,
                      struct mk_error *err)
{
    uint64_t n_dims, ne;

    *values = 1;
    if (read_number(r, 4, &n_dims, "dimension count", err))
        return err->code;
    if (n_dims < 1 || n_dims > MK_MAX_DIMS)
        return mk_error_set(err, MK_EFORMAT, "dimension count: %" PRIu64 " is not from 1 to %d",
                            n_dims, MK_MAX_DIMS);
    e->n_dims = (int32_t)n_dims;
    for (int i = 0; i < e->n_dims; i++) {
        if (read_number(r, 8, &ne, "dimension", err))
            return err->code;
        if (ne == 0 || ne > INT64_MAX || !checked_mul(*values, ne, values))
            return mk_error_set(err, MK_EFORMAT, "dimension %d: %" PRIu64 " is 0 or too large", i,
                                ne);
        e->shape[e->n_dims - 1 - i] = (int64_t)ne;
    }
    return 0;
}

static int read_dtype(struct reader *r, struct file_tensor *e, uint64_t values,
                      struct mk_error *err)
{
    const struct dtype_info *info;
    uint64_t n;

    if (read_number(r, 4, &n, "type", err))
        return err->code;
    if (n > UINT32_MAX || !dtype_from_gguf((uint32_t)n, &e->dtype))
        return mk_error_set(err, MK_EUNSUPPORTED, "type: number %" PRIu64 " is not one minke "
                            "reads; take the model in Q8_0, Q4_K, Q6_K or BF16", n);
    info = dtype_info(e->dtype);
    if (e->shape[e->n_dims - 1] % info->block)
        return mk_error_set(err, MK_EFORMAT, "dimension 0: %" PRId64 " is not a multiple of the %d "
                            "values of a block of %s", e->shape[e->n_dims - 1], info->block,
                            info->name);
    if (!dtype_bytes(e->dtype, values, &e->bytes))
        return mk_error_set(err, MK_EFORMAT, "dimensions: the size in bytes is too large");
    return 0;
}

/* One row of the tensor table; `offset` is from the start of the data, which is not known yet. */
static int read_tensor(struct reader *r, const struct head *h, struct file_tensor *e,
                       uint64_t *offset, struct mk_error *err)
{
    uint64_t values;

    if (read_shape(r, e, &values, err) || read_dtype(r, e, values, err) ||
        read_number(r, 8, offset, "offset", err))
        return err->code;
    if (*offset % h->alignment)
        return mk_error_set(err, MK_EFORMAT, "offset: %" PRIu64 " is not a multiple of %" PRIu64,
                            *offset, h->alignment);
    return 0;
}

static int read_table(struct tensors *t, struct reader *r, const struct head *h, uint64_t *offsets,
                      struct mk_error *err)
{
    char name[MK_MAX_TENSOR_NAME + 1];
    int rc = tensors_reserve(t, (int64_t)h->n_tensors, err);

    for (uint64_t i = 0; !rc && i < h->n_tensors; i++) {
        struct file_tensor e = {.name = name, .file = t->n_files - 1};
        struct gguf_string s;

        if (read_name(r, &s, MK_MAX_TENSOR_NAME, "name", err))
            return mk_error_wrap(err, "tensor %" PRIu64, i);
        memcpy(name, s.data, (size_t)s.n);
        name[s.n] = 0;
        if (read_tensor(r, h, &e, &offsets[i], err))
            return mk_error_wrap(err, "tensor '%s'", name);
        rc = tensors_add(t, &e, err);
    }
    return rc;
}

/* The data begin at the first multiple of the alignment after the table. */
static int place_tensors(struct file_tensor *items, const struct reader *r, const struct head *h,
                         const uint64_t *offsets, struct mk_error *err)
{
    uint64_t start, bytes = (uint64_t)(r->end - r->begin);

    if (!checked_align((uint64_t)(r->at - r->begin), h->alignment, &start) || start > bytes)
        return mk_error_set(err, MK_EFORMAT, "data: the file ends before; download it again");
    for (uint64_t i = 0; i < h->n_tensors; i++) {
        struct file_tensor *e = &items[i];

        if (offsets[i] > bytes - start || e->bytes > bytes - start - offsets[i])
            return mk_error_set(err, MK_EFORMAT, "tensor '%s': offset: %" PRIu64 " bytes at %"
                                PRIu64 " pass the end of the file's %" PRIu64 " bytes of data; "
                                "download it again", e->name, e->bytes, offsets[i], bytes - start);
        e->data = r->begin + start + offsets[i];
    }
    return 0;
}

static int read_tensors(struct tensors *t, struct reader *r, const struct head *h,
                        struct mk_error *err)
{
    int64_t first = t->n_items;
    uint64_t *offsets;
    int rc;

    if (h->n_tensors == 0)
        return 0;
    offsets = malloc((size_t)h->n_tensors * sizeof *offsets);
    if (!offsets)
        return mk_error_memory(err, (size_t)h->n_tensors * sizeof *offsets);
    rc = read_table(t, r, h, offsets, err);
    if (!rc)
        rc = place_tensors(t->items + first, r, h, offsets, err);
    free(offsets);
    return rc;
}

/* ---- Files ---- */

/* Reads one open file and takes it over; its metadata goes to `h`, which the caller frees. */
static int read_file(struct tensors *t, struct map_file *m, const char *path, struct head *h,
                     struct mk_error *err)
{
    struct reader r = {.begin = m->data, .at = m->data, .end = m->data};
    int64_t first = t->n_items;
    int rc;

    *h = (struct head){0};
    if (m->bytes)
        r.end = r.begin + m->bytes;
    rc = tensors_add_file(t, m, path, err);
    if (rc)
        return rc;
    if (read_head(&r, h, err) || read_tensors(t, &r, h, err))
        return mk_error_wrap(err, "%s", path);
    return tensors_check_overlap(t, first, err);
}

struct split {
    int64_t number, count, n_tensors; /* split.no, split.count, split.tensors.count; 0, 1, -1 */
};

static int read_split(const struct head *h, const char *path, struct split *s, struct mk_error *err)
{
    const struct gguf g = {.values = h->values, .n_values = h->n_values};

    *s = (struct split){0, 1, -1};
    gguf_int(&g, "split.no", &s->number);
    gguf_int(&g, "split.count", &s->count);
    gguf_int(&g, "split.tensors.count", &s->n_tensors);
    if (s->count == 0) /* written by a tool that did not split */
        s->count = 1;
    if (s->count < 0 || s->count > MK_MAX_FILES || s->number < 0 || s->number >= s->count)
        return mk_error_set(err, MK_EFORMAT, "%s: metadata 'split.count': part number %" PRId64
                            " (from 0) of %" PRId64 " is not possible", path, s->number, s->count);
    return 0;
}

/* Splits PATH = DIR/PREFIX-00001-of-000NN.gguf into dir and prefix. */
static int split_path(const char *path, const struct split *s, char *dir, char *prefix, size_t size,
                      struct mk_error *err)
{
    char suffix[64];
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base), n_suffix;

    n_suffix = (size_t)snprintf(suffix, sizeof suffix, "-%05" PRId64 "-of-%05" PRId64 ".gguf",
                                s->number + 1, s->count);
    if (n <= n_suffix || strcmp(base + n - n_suffix, suffix) != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: metadata 'split.count': it is part %" PRId64
                            " of %" PRId64 ", but its name does not end in %s", path, s->number + 1,
                            s->count, suffix);
    if (s->number != 0)
        return mk_error_set(err, MK_EINVAL, "%s: metadata 'split.no': it is part %" PRId64 " of %"
                            PRId64 "; give the name of the first part", path, s->number + 1,
                            s->count);
    if (n - n_suffix >= size || (slash && (size_t)(slash - path) + 1 >= size))
        return mk_error_set(err, MK_ELIMIT, "%s: path is too long", path);
    snprintf(prefix, size, "%.*s", (int)(n - n_suffix), base);
    snprintf(dir, size, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (slash == path)
        snprintf(dir, size, "/");
    return 0;
}

static int read_part(struct tensors *t, const char *dir, const char *name, const struct split *all,
                     int64_t number, struct mk_error *err)
{
    char path[PATH_MAX];
    struct map_file m;
    struct head h;
    struct split s;
    int rc = map_file_open_in(&m, dir, name, err);

    if (rc)
        return rc;
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) {
        map_file_close(&m);
        return mk_error_set(err, MK_ELIMIT, "%s: path is too long", dir);
    }
    rc = read_file(t, &m, path, &h, err);
    if (!rc)
        rc = read_split(&h, path, &s, err);
    if (!rc && (s.number != number || s.count != all->count))
        rc = mk_error_set(err, MK_EFORMAT, "%s: metadata 'split.no': it says part %" PRId64 " of %"
                          PRId64, path, s.number + 1, s.count);
    free(h.values);
    return rc;
}

static int read_other_parts(struct gguf *g, const char *path, const struct split *s,
                            struct mk_error *err)
{
    char dir[PATH_MAX], prefix[PATH_MAX], name[PATH_MAX + 64];
    int rc = split_path(path, s, dir, prefix, sizeof dir, err);

    for (int64_t i = 1; !rc && i < s->count; i++) {
        snprintf(name, sizeof name, "%s-%05" PRId64 "-of-%05" PRId64 ".gguf", prefix, i + 1,
                 s->count);
        rc = read_part(&g->tensors, dir, name, s, i, err);
    }
    if (!rc && s->n_tensors >= 0 && s->n_tensors != g->tensors.n_items)
        return mk_error_set(err, MK_EFORMAT, "%s: metadata 'split.tensors.count': it says %" PRId64
                            ", the parts hold %" PRId64, path, s->n_tensors, g->tensors.n_items);
    return rc;
}

static int open_all(struct gguf *g, const char *path, struct mk_error *err)
{
    struct map_file m;
    struct head h;
    struct split s;
    int rc = map_file_open(&m, path, err);

    if (rc)
        return rc;
    rc = read_file(&g->tensors, &m, path, &h, err);
    g->values = h.values;
    g->n_values = h.n_values;
    g->version = h.version;
    if (!rc)
        rc = read_split(&h, path, &s, err);
    if (!rc && s.count > 1)
        rc = read_other_parts(g, path, &s, err);
    return rc ? rc : tensors_finish(&g->tensors, err);
}

int gguf_open(struct gguf *g, const char *path, struct mk_error *err)
{
    int rc;

    *g = (struct gguf){0};
    rc = open_all(g, path, err);
    if (rc)
        gguf_release(g);
    return rc;
}

void gguf_release(struct gguf *g)
{
    tensors_release(&g->tensors);
    free(g->values);
    *g = (struct gguf){0};
}
