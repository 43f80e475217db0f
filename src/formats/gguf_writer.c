/* gguf_writer.c: GGUF v3, metadata first, then the tensor table, then aligned data. */
#include "formats/gguf_writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "formats/declared.h"
#include "formats/gguf_bytes.h"
#include "base/part_file.h"

#define MAX_METADATA_BYTES ((size_t)1 << 30)
#define MAX_KEYS 65536

struct gguf_writer {
    char *path;
    struct part_file file;
    struct buf metadata;
    char **keys;             /* owned */
    int64_t n_keys;
    struct declared tensors;
    bool begun, finished;
};

int gguf_writer_create(struct gguf_writer **w, const char *path, struct mk_error *err)
{
    *w = calloc(1, sizeof **w);
    if (*w)
        (*w)->path = strdup(path);
    if (!*w || !(*w)->path) {
        free(*w);
        *w = NULL;
        return mk_error_memory(err, sizeof **w);
    }
    buf_init(&(*w)->metadata, MAX_METADATA_BYTES);
    return 0;
}

/* ---- Metadata ---- */

static int put_le(struct buf *b, uint64_t v, int n, struct mk_error *err)
{
    unsigned char bytes[8];

    for (int i = 0; i < n; i++)
        bytes[i] = (unsigned char)(v >> (8 * i));
    return buf_append(b, bytes, (size_t)n, err);
}

static int put_string(struct buf *b, const char *data, uint64_t n, struct mk_error *err)
{
    int rc = put_le(b, n, 8, err);

    return rc ? rc : buf_append(b, data, (size_t)n, err);
}

static int remember_key(struct gguf_writer *w, const char *key, uint64_t n, struct mk_error *err)
{
    char **keys;

    if (w->begun || w->n_keys == MAX_KEYS || n == 0 || n > 65535)
        return mk_error_set(err, MK_EINVAL, "%s: metadata '%.*s': comes too late, is one too many "
                            "or has an impossible name", w->path, n < 200 ? (int)n : 200, key);
    keys = realloc(w->keys, ((size_t)w->n_keys + 1) * sizeof *keys);
    if (!keys)
        return mk_error_memory(err, ((size_t)w->n_keys + 1) * sizeof *keys);
    w->keys = keys;
    keys[w->n_keys] = strndup(key, (size_t)n);
    if (!keys[w->n_keys])
        return mk_error_memory(err, (size_t)n);
    w->n_keys++;
    return 0;
}

/* Key and type; for an array also its element type and length. */
static int put_key(struct gguf_writer *w, const char *key, uint64_t n_key, enum gguf_type type,
                   enum gguf_type element, uint64_t n, struct mk_error *err)
{
    struct buf *b = &w->metadata;

    if (remember_key(w, key, n_key, err) || put_string(b, key, n_key, err) ||
        put_le(b, type, 4, err))
        return err->code;
    if (type == GGUF_ARRAY && (put_le(b, element, 4, err) || put_le(b, n, 8, err)))
        return err->code;
    return 0;
}

static bool fits(enum gguf_type type, int64_t v)
{
    switch (type) {
    case GGUF_U8: return v >= 0 && v <= UINT8_MAX;
    case GGUF_I8: return v >= INT8_MIN && v <= INT8_MAX;
    case GGUF_U16: return v >= 0 && v <= UINT16_MAX;
    case GGUF_I16: return v >= INT16_MIN && v <= INT16_MAX;
    case GGUF_U32: return v >= 0 && v <= UINT32_MAX;
    case GGUF_I32: return v >= INT32_MIN && v <= INT32_MAX;
    case GGUF_U64: return v >= 0;
    case GGUF_I64: return true;
    default: return false;
    }
}

int gguf_writer_int(struct gguf_writer *w, const char *key, enum gguf_type type, int64_t value,
                    struct mk_error *err)
{
    if (!fits(type, value))
        return mk_error_set(err, MK_EINVAL, "%s: metadata '%s': %lld is no %s", w->path, key,
                            (long long)value, gguf_type_name(type));
    if (put_key(w, key, strlen(key), type, type, 1, err))
        return err->code;
    return put_le(&w->metadata, (uint64_t)value, gguf_type_bytes(type), err);
}

static int put_float(struct buf *b, float value, struct mk_error *err)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return put_le(b, bits, 4, err);
}

int gguf_writer_float(struct gguf_writer *w, const char *key, float value, struct mk_error *err)
{
    if (put_key(w, key, strlen(key), GGUF_F32, GGUF_F32, 1, err))
        return err->code;
    return put_float(&w->metadata, value, err);
}

int gguf_writer_bool(struct gguf_writer *w, const char *key, bool value, struct mk_error *err)
{
    if (put_key(w, key, strlen(key), GGUF_BOOL, GGUF_BOOL, 1, err))
        return err->code;
    return put_le(&w->metadata, value, 1, err);
}

int gguf_writer_text(struct gguf_writer *w, const char *key, const char *data, size_t n,
                     struct mk_error *err)
{
    if (put_key(w, key, strlen(key), GGUF_STRING, GGUF_STRING, 1, err))
        return err->code;
    return put_string(&w->metadata, data, n, err);
}

int gguf_writer_ints(struct gguf_writer *w, const char *key, const int32_t *values, uint64_t n,
                     struct mk_error *err)
{
    int rc = put_key(w, key, strlen(key), GGUF_ARRAY, GGUF_I32, n, err);

    for (uint64_t i = 0; i < n && !rc; i++)
        rc = put_le(&w->metadata, (uint32_t)values[i], 4, err);
    return rc;
}

int gguf_writer_floats(struct gguf_writer *w, const char *key, const float *values, uint64_t n,
                       struct mk_error *err)
{
    int rc = put_key(w, key, strlen(key), GGUF_ARRAY, GGUF_F32, n, err);

    for (uint64_t i = 0; i < n && !rc; i++)
        rc = put_float(&w->metadata, values[i], err);
    return rc;
}

int gguf_writer_texts(struct gguf_writer *w, const char *key, const struct gguf_string *values,
                      uint64_t n, struct mk_error *err)
{
    int rc = put_key(w, key, strlen(key), GGUF_ARRAY, GGUF_STRING, n, err);

    for (uint64_t i = 0; i < n && !rc; i++)
        rc = put_string(&w->metadata, values[i].data, values[i].n, err);
    return rc;
}

int gguf_writer_copy(struct gguf_writer *w, const struct gguf_value *v, struct mk_error *err)
{
    if (put_key(w, v->key.data, v->key.n, v->type, v->element, v->n, err))
        return err->code;
    return buf_append(&w->metadata, v->data, (size_t)v->bytes, err);
}

/* ---- Tensors ---- */

int gguf_writer_declare(struct gguf_writer *w, const char *name, enum dtype dtype, int32_t n_dims,
                        const int64_t *shape, struct mk_error *err)
{
    static const int64_t one = 1;

    if (w->begun)
        return mk_error_set(err, MK_EINVAL, "tensor '%s': declared after the first bytes", name);
    if (dtype_info(dtype)->gguf < 0)
        return mk_error_set(err, MK_EINVAL, "tensor '%s': GGUF has no type %s", name,
                            dtype_info(dtype)->name);
    if (n_dims == 0) /* GGUF knows no tensor without dimensions */
        return declare_tensor(&w->tensors, name, dtype, 1, &one, err);
    return declare_tensor(&w->tensors, name, dtype, n_dims, shape, err);
}

static uint64_t padding(uint64_t at)
{
    return (GGUF_DEFAULT_ALIGNMENT - at % GGUF_DEFAULT_ALIGNMENT) % GGUF_DEFAULT_ALIGNMENT;
}

static int make_table(const struct tensors *t, struct buf *b, struct mk_error *err)
{
    uint64_t offset = 0;

    for (int64_t i = 0; i < t->n_items; i++) {
        const struct file_tensor *e = &t->items[i];

        if (put_string(b, e->name, strlen(e->name), err) ||
            put_le(b, (uint64_t)e->n_dims, 4, err))
            return err->code;
        for (int32_t k = e->n_dims - 1; k >= 0; k--)
            if (put_le(b, (uint64_t)e->shape[k], 8, err))
                return err->code;
        if (put_le(b, (uint64_t)dtype_info(e->dtype)->gguf, 4, err) || put_le(b, offset, 8, err))
            return err->code;
        if (!checked_add(offset, e->bytes, &offset) ||
            !checked_align(offset, GGUF_DEFAULT_ALIGNMENT, &offset))
            return mk_error_set(err, MK_ELIMIT, "tensor '%s': the file is too large", e->name);
    }
    return 0;
}

static int write_head(struct gguf_writer *w, struct buf *b, struct mk_error *err)
{
    const struct tensors *t = &w->tensors.table;
    uint64_t bytes;

    if (buf_append(b, "GGUF", 4, err) || put_le(b, 3, 4, err) ||
        put_le(b, (uint64_t)t->n_items, 8, err) || put_le(b, (uint64_t)w->n_keys, 8, err) ||
        part_file_write(&w->file, b->data, b->n, err))
        return err->code;
    bytes = b->n + w->metadata.n;
    buf_clear(b);
    if (part_file_write(&w->file, w->metadata.data, w->metadata.n, err) || make_table(t, b, err) ||
        part_file_write(&w->file, b->data, b->n, err))
        return err->code;
    return part_file_pad(&w->file, padding(bytes + b->n), err);
}

int gguf_writer_begin(struct gguf_writer *w, struct mk_error *err)
{
    struct buf b;
    int64_t twice = find_duplicate(w->keys, w->n_keys);
    int rc;

    if (twice == -2)
        return mk_error_memory(err, (size_t)w->n_keys * sizeof *w->keys);
    if (twice >= 0)
        return mk_error_set(err, MK_EINVAL, "%s: metadata '%s': given twice", w->path,
                            w->keys[twice]);
    rc = declared_check(&w->tensors, err);
    if (!rc)
        rc = part_file_open(&w->file, w->path, err);
    if (rc)
        return rc;
    w->begun = true;
    buf_init(&b, MAX_METADATA_BYTES);
    rc = write_head(w, &b, err);
    buf_release(&b);
    return rc;
}

int gguf_writer_write(struct gguf_writer *w, const void *data, uint64_t bytes,
                      struct mk_error *err)
{
    struct declared *d = &w->tensors;
    const unsigned char *p = data;

    if (!w->begun)
        return mk_error_set(err, MK_EINVAL, "%s: bytes before begin", w->path);
    while (bytes > 0) {
        uint64_t here, whole;

        if (declared_take(d, bytes, &here, err) || part_file_write(&w->file, p, here, err))
            return err->code;
        p += here;
        bytes -= here;
        whole = d->table.items[d->current].bytes;
        if (d->done < whole)
            continue;
        d->current++;
        d->done = 0;
        if (part_file_pad(&w->file, padding(whole), err))
            return err->code;
    }
    return 0;
}

int gguf_writer_finish(struct gguf_writer *w, struct mk_error *err)
{
    int rc = w->begun ? declared_check_whole(&w->tensors, err)
                      : mk_error_set(err, MK_EINVAL, "%s: finish before begin", w->path);

    if (!rc)
        rc = part_file_sync(&w->file, err);
    if (!rc)
        rc = part_file_rename(&w->file, err);
    w->finished = rc == 0;
    return rc;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w)
        return;
    if (w->finished)
        part_file_keep(&w->file);
    else
        part_file_discard(&w->file);
    for (int64_t i = 0; i < w->n_keys; i++)
        free(w->keys[i]);
    free(w->keys);
    buf_release(&w->metadata);
    tensors_release(&w->tensors.table);
    free(w->path);
    free(w);
}
