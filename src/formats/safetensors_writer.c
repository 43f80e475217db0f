/* safetensors_writer.c: writing a model as one file, or as shards with an index in HF's naming. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "formats/declared.h"
#include "base/part_file.h"
#include "formats/safetensors.h"

#define MAX_JSON_BYTES 100000000 /* what the reader accepts */
#define INDEX_NAME "model.safetensors.index.json"

struct safetensors_writer {
    char *dir;                 /* or, of one file alone: its path */
    bool one_file;
    uint64_t shard_bytes;
    struct declared tensors;   /* `file` of an item: its shard */
    struct part_file *files;   /* n_shards, and the index when there are several */
    int32_t n_shards, n_open;  /* shards begun so far, in order */
    int n_files;
    bool begun, finished;
};

int safetensors_create(struct safetensors_writer **w, const char *dir, uint64_t shard_bytes,
                       struct mk_error *err)
{
    *w = calloc(1, sizeof **w);
    if (*w)
        (*w)->dir = strdup(dir);
    if (!*w || !(*w)->dir) {
        free(*w);
        *w = NULL;
        return mk_error_memory(err, sizeof **w);
    }
    (*w)->shard_bytes = shard_bytes;
    return 0;
}

int safetensors_create_file(struct safetensors_writer **w, const char *path, struct mk_error *err)
{
    if (safetensors_create(w, path, 0, err))
        return err->code;
    (*w)->one_file = true;
    return 0;
}

int safetensors_declare(struct safetensors_writer *w, const char *name, enum dtype dtype,
                        int32_t n_dims, const int64_t *shape, struct mk_error *err)
{
    if (w->begun)
        return mk_error_set(err, MK_EINVAL, "tensor '%s': declared after the first bytes", name);
    if (!dtype_info(dtype)->safetensors)
        return mk_error_set(err, MK_EINVAL, "tensor '%s': safetensors has no type %s", name,
                            dtype_info(dtype)->name);
    return declare_tensor(&w->tensors, name, dtype, n_dims, shape, err);
}

/* HF's rule: a tensor that would make the shard too large begins the next; one that is larger than
 * a shard has its own. */
static int assign_shards(struct safetensors_writer *w, struct mk_error *err)
{
    struct tensors *t = &w->tensors.table;
    uint64_t used = 0;

    w->n_shards = 1;
    for (int64_t i = 0; i < t->n_items; i++) {
        uint64_t bytes = t->items[i].bytes;

        if (w->shard_bytes && used && (bytes > w->shard_bytes || used > w->shard_bytes - bytes)) {
            w->n_shards++;
            used = 0;
        }
        used += bytes;
        t->items[i].file = w->n_shards - 1;
    }
    if (w->n_shards > MK_MAX_FILES)
        return mk_error_set(err, MK_ELIMIT, "%s: %d files; choose larger shards", w->dir,
                            w->n_shards);
    return 0;
}

static void shard_name(const struct safetensors_writer *w, int32_t shard, char *out, size_t size)
{
    if (w->n_shards == 1)
        snprintf(out, size, "model.safetensors");
    else
        snprintf(out, size, "model-%05d-of-%05d.safetensors", shard + 1, w->n_shards);
}

/* {"name":{"dtype":..,"shape":[..],"data_offsets":[..]},...} padded to a multiple of 8 bytes. */
static int make_header(const struct safetensors_writer *w, int32_t shard, struct buf *b,
                       struct mk_error *err)
{
    const struct tensors *t = &w->tensors.table;
    uint64_t at = 0;

    if (buf_append_string(b, "{\"__metadata__\":{\"format\":\"pt\"}", err))
        return err->code;
    for (int64_t i = 0; i < t->n_items; i++) {
        const struct file_tensor *e = &t->items[i];

        if (e->file != shard)
            continue;
        if (buf_printf(b, err, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", e->name,
                       dtype_info(e->dtype)->safetensors))
            return err->code;
        for (int32_t k = 0; k < e->n_dims; k++)
            if (buf_printf(b, err, "%s%" PRId64, k ? "," : "", e->shape[k]))
                return err->code;
        if (buf_printf(b, err, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + e->bytes))
            return err->code;
        at += e->bytes;
    }
    if (buf_append_string(b, "}", err))
        return err->code;
    return b->n % 8 ? buf_printf(b, err, "%*s", (int)(8 - b->n % 8), "") : 0;
}

static int open_part(struct safetensors_writer *w, const char *name, struct mk_error *err)
{
    char path[4096];
    int rc;

    if (snprintf(path, sizeof path, w->one_file ? "%s" : "%s/%s", w->dir, name) >=
        (int)sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%s: path is too long", w->dir);
    rc = part_file_open(&w->files[w->n_files], path, err);
    w->n_files += rc == 0;
    return rc;
}

/* Ends the shard that is open and begins the next one with its header. */
static int next_shard(struct safetensors_writer *w, struct mk_error *err)
{
    unsigned char length[8];
    char name[64];
    struct buf b;
    int rc = w->n_open ? part_file_sync(&w->files[w->n_open - 1], err) : 0;

    if (rc)
        return rc;
    shard_name(w, w->n_open, name, sizeof name);
    rc = open_part(w, name, err);
    if (rc)
        return rc;
    buf_init(&b, MAX_JSON_BYTES);
    rc = make_header(w, w->n_open, &b, err);
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)b.n >> (8 * i));
    w->n_open++;
    if (!rc)
        rc = part_file_write(&w->files[w->n_open - 1], length, 8, err);
    if (!rc)
        rc = part_file_write(&w->files[w->n_open - 1], b.data, b.n, err);
    buf_release(&b);
    return rc;
}

int safetensors_begin(struct safetensors_writer *w, struct mk_error *err)
{
    int rc = declared_check(&w->tensors, err);

    if (!rc)
        rc = assign_shards(w, err);
    if (rc)
        return rc;
    w->begun = true;
    w->files = calloc((size_t)w->n_shards + 1, sizeof *w->files);
    if (!w->files)
        return mk_error_memory(err, ((size_t)w->n_shards + 1) * sizeof *w->files);
    return next_shard(w, err);
}

/* Steps to the next tensor when the current one is whole, and to its shard. */
static int step(struct safetensors_writer *w, struct mk_error *err)
{
    struct declared *d = &w->tensors;
    const struct tensors *t = &d->table;

    if (d->done < t->items[d->current].bytes)
        return 0;
    d->current++;
    d->done = 0;
    if (d->current < t->n_items && t->items[d->current].file == w->n_open)
        return next_shard(w, err);
    return 0;
}

int safetensors_write(struct safetensors_writer *w, const void *data, uint64_t bytes,
                      struct mk_error *err)
{
    const unsigned char *p = data;

    if (!w->begun)
        return mk_error_set(err, MK_EINVAL, "%s: bytes before begin", w->dir);
    while (bytes > 0) {
        uint64_t here;

        if (declared_take(&w->tensors, bytes, &here, err) ||
            part_file_write(&w->files[w->n_open - 1], p, here, err) || step(w, err))
            return err->code;
        p += here;
        bytes -= here;
    }
    return 0;
}

static int make_index(const struct safetensors_writer *w, struct buf *b, struct mk_error *err)
{
    const struct tensors *t = &w->tensors.table;
    uint64_t total = 0;
    char name[64];

    for (int64_t i = 0; i < t->n_items; i++)
        total += t->items[i].bytes;
    if (buf_printf(b, err, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n"
                   "  \"weight_map\": {\n", total))
        return err->code;
    for (int64_t i = 0; i < t->n_items; i++) {
        shard_name(w, t->items[i].file, name, sizeof name);
        if (buf_printf(b, err, "    \"%s\": \"%s\"%s\n", t->items[i].name, name,
                       i + 1 < t->n_items ? "," : ""))
            return err->code;
    }
    return buf_append_string(b, "  }\n}\n", err);
}

static int write_index(struct safetensors_writer *w, struct mk_error *err)
{
    struct buf b;
    int rc;

    buf_init(&b, MAX_JSON_BYTES);
    rc = make_index(w, &b, err);
    if (!rc)
        rc = open_part(w, INDEX_NAME, err);
    if (!rc)
        rc = part_file_write(&w->files[w->n_files - 1], b.data, b.n, err);
    if (!rc)
        rc = part_file_sync(&w->files[w->n_files - 1], err);
    buf_release(&b);
    return rc;
}

/* An index that an earlier, larger model left in the folder would hide the new single file. */
static void remove_old_index(const struct safetensors_writer *w)
{
    char path[4096];

    if (!w->one_file && snprintf(path, sizeof path, "%s/" INDEX_NAME, w->dir) < (int)sizeof path)
        unlink(path);
}

int safetensors_finish(struct safetensors_writer *w, struct mk_error *err)
{
    int rc = w->begun ? declared_check_whole(&w->tensors, err)
                      : mk_error_set(err, MK_EINVAL, "%s: finish before begin", w->dir);

    if (!rc)
        rc = part_file_sync(&w->files[w->n_open - 1], err);
    if (!rc && w->n_shards > 1)
        rc = write_index(w, err);
    for (int i = 0; i < w->n_files && !rc; i++)
        rc = part_file_rename(&w->files[i], err);
    if (rc)
        return rc;
    if (w->n_shards == 1)
        remove_old_index(w);
    w->finished = true;
    return 0;
}

void safetensors_free(struct safetensors_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->n_files; i++)
        if (w->finished)
            part_file_keep(&w->files[i]);
        else
            part_file_discard(&w->files[i]);
    tensors_release(&w->tensors.table);
    free(w->files);
    free(w->dir);
    free(w);
}
