/* safetensors.c: reading one file, and the shards that an index names. */
#include "formats/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "formats/json_walk.h"

#define MAX_HEADER_BYTES 100000000 /* the reference implementation's */
#define INDEX_NAME "model.safetensors.index.json"
#define MAX_FILE_NAME 256

/* ---- One tensor of a header ---- */

/* What a header says of one tensor, before it is believed. */
struct entry {
    bool has_dtype, has_shape, has_offsets;
    struct file_tensor tensor;
    uint64_t begin, end;
};

static int read_dtype(struct json_walk *w, struct entry *e, struct mk_error *err)
{
    char name[32];
    int rc = json_walk_string(w, name, sizeof name, err);

    if (rc)
        return rc;
    if (e->has_dtype)
        return mk_error_set(err, MK_EFORMAT, "given twice");
    e->has_dtype = true;
    if (!dtype_from_safetensors(name, &e->tensor.dtype))
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "'%s' is not a type minke reads; use F32, F16, BF16 or F8_E4M3", name);
    return 0;
}

static int read_shape(struct json_walk *w, struct entry *e, struct mk_error *err)
{
    struct file_tensor *t = &e->tensor;
    uint64_t n, product = 1;
    bool more;
    int rc = json_walk_enter(w, '[', err);

    if (e->has_shape)
        return mk_error_set(err, MK_EFORMAT, "given twice");
    e->has_shape = true;
    while (!rc && !(rc = json_walk_more(w, ']', &more, err)) && more) {
        if (t->n_dims == MK_MAX_DIMS)
            return mk_error_set(err, MK_EUNSUPPORTED, "more than %d dimensions", MK_MAX_DIMS);
        rc = json_walk_uint(w, &n, err);
        if (rc)
            break;
        if (n > INT64_MAX || !checked_mul(product, n, &product))
            return mk_error_set(err, MK_EFORMAT, "too large");
        t->shape[t->n_dims++] = (int64_t)n;
    }
    return rc;
}

static int read_offsets(struct json_walk *w, struct entry *e, struct mk_error *err)
{
    uint64_t pair[2];
    bool more;
    int rc = json_walk_enter(w, '[', err);

    if (e->has_offsets)
        return mk_error_set(err, MK_EFORMAT, "given twice");
    e->has_offsets = true;
    for (int i = 0; i < 2 && !rc; i++) {
        rc = json_walk_more(w, ']', &more, err);
        if (!rc && !more)
            return mk_error_set(err, MK_EFORMAT, "not two numbers");
        if (!rc)
            rc = json_walk_uint(w, &pair[i], err);
    }
    if (rc)
        return rc;
    e->begin = pair[0];
    e->end = pair[1];
    rc = json_walk_more(w, ']', &more, err);
    return rc || !more ? rc : mk_error_set(err, MK_EFORMAT, "not two numbers");
}

static int read_field(struct json_walk *w, struct entry *e, struct mk_error *err)
{
    char key[32];
    int rc = json_walk_key(w, key, sizeof key, err);

    if (rc)
        return rc;
    if (!strcmp(key, "dtype"))
        rc = read_dtype(w, e, err);
    else if (!strcmp(key, "shape"))
        rc = read_shape(w, e, err);
    else if (!strcmp(key, "data_offsets"))
        rc = read_offsets(w, e, err);
    else
        return mk_error_set(err, MK_EFORMAT, "'%s' is not a field of a tensor", key);
    return rc ? mk_error_wrap(err, "field '%s'", key) : 0;
}

/* The bytes of the entry lie inside `data_bytes` and are as many as shape and type say. */
static int check_entry(const struct entry *e, uint64_t data_bytes, struct mk_error *err)
{
    uint64_t want;

    if (!e->has_dtype || !e->has_shape || !e->has_offsets)
        return mk_error_set(err, MK_EFORMAT, "field '%s' is missing",
                            !e->has_dtype ? "dtype" : !e->has_shape ? "shape" : "data_offsets");
    if (e->begin > e->end || e->end > data_bytes)
        return mk_error_set(err, MK_EFORMAT, "field 'data_offsets': %" PRIu64 " to %" PRIu64
                            " does not lie in the %" PRIu64 " bytes of data; the file is cut off "
                            "or damaged", e->begin, e->end, data_bytes);
    if (!dtype_bytes(e->tensor.dtype, tensor_values(&e->tensor), &want) ||
        want != e->end - e->begin)
        return mk_error_set(err, MK_EFORMAT, "field 'data_offsets': %" PRIu64 " bytes, but shape "
                            "and dtype need %" PRIu64, e->end - e->begin, want);
    return 0;
}

static int read_entry(struct tensors *t, struct json_walk *w, char *name, const unsigned char *data,
                      uint64_t data_bytes, struct mk_error *err)
{
    struct entry e = {.tensor = {.name = name, .file = t->n_files - 1}};
    bool more;
    int rc = json_walk_enter(w, '{', err);

    while (!rc && !(rc = json_walk_more(w, '}', &more, err)) && more)
        rc = read_field(w, &e, err);
    if (!rc)
        rc = check_entry(&e, data_bytes, err);
    if (rc)
        return mk_error_wrap(err, "tensor '%s'", name);
    e.tensor.bytes = e.end - e.begin;
    e.tensor.data = data + e.begin;
    return tensors_add(t, &e.tensor, err);
}

/* ---- One file ---- */

static int read_header(struct tensors *t, struct json_walk *w, const unsigned char *data,
                       uint64_t data_bytes, struct mk_error *err)
{
    char name[MK_MAX_TENSOR_NAME + 1];
    bool more, has_metadata = false;
    int rc = json_walk_enter(w, '{', err);

    while (!rc && !(rc = json_walk_more(w, '}', &more, err)) && more) {
        rc = json_walk_key(w, name, sizeof name, err);
        if (rc)
            break;
        if (strcmp(name, "__metadata__") != 0) {
            rc = read_entry(t, w, name, data, data_bytes, err);
            continue;
        }
        if (has_metadata)
            return mk_error_set(err, MK_EFORMAT, "'__metadata__' is given twice");
        has_metadata = true;
        rc = json_walk_skip(w, err);
    }
    return rc ? rc : json_walk_end(w, err);
}

/* Every byte of the data belongs to exactly one tensor. */
static int check_cover(struct tensors *t, int64_t first, const unsigned char *data,
                       uint64_t data_bytes, struct mk_error *err)
{
    const unsigned char *at = data;
    int rc = tensors_check_overlap(t, first, err);

    if (rc)
        return rc;
    for (int64_t i = first; i < t->n_items; i++) {
        if (t->items[i].data != at)
            return mk_error_set(err, MK_EFORMAT, "%s: tensor '%s': field 'data_offsets': a gap "
                                "lies before it", t->paths[t->n_files - 1], t->items[i].name);
        at += t->items[i].bytes;
    }
    if ((uint64_t)(at - data) != data_bytes)
        return mk_error_set(err, MK_EFORMAT, "%s: %" PRIu64 " bytes follow the last tensor",
                            t->paths[t->n_files - 1], data_bytes - (uint64_t)(at - data));
    return 0;
}

static uint64_t read_u64(const unsigned char *p)
{
    uint64_t n = 0;

    for (int i = 7; i >= 0; i--)
        n = n << 8 | p[i];
    return n;
}

/* Reads an open file into the table and takes it over. */
static int read_file(struct tensors *t, struct map_file *m, const char *path, struct mk_error *err)
{
    const unsigned char *begin = m->data;
    uint64_t bytes = m->bytes, header;
    int64_t first = t->n_items;
    struct json_walk w;
    int rc = tensors_add_file(t, m, path, err);

    if (rc)
        return rc;
    if (bytes < 8)
        return mk_error_set(err, MK_EFORMAT, "%s: header length: the file has only %" PRIu64
                            " bytes; download it again", path, bytes);
    header = read_u64(begin);
    if (header > MAX_HEADER_BYTES)
        return mk_error_set(err, MK_EFORMAT, "%s: header length: %" PRIu64 " is more than %d; is "
                            "this a safetensors file?", path, header, MAX_HEADER_BYTES);
    if (header > bytes - 8)
        return mk_error_set(err, MK_EFORMAT, "%s: header length: %" PRIu64 " passes the end of "
                            "the file of %" PRIu64 " bytes; download it again", path, header,
                            bytes);
    if (header == 0 || begin[8] != '{')
        return mk_error_set(err, MK_EFORMAT, "%s: header: does not begin with '{'", path);
    json_walk_init(&w, begin + 8, (size_t)header);
    rc = read_header(t, &w, begin + 8 + header, bytes - 8 - header, err);
    if (rc)
        return mk_error_wrap(err, "%s: header", path);
    return check_cover(t, first, begin + 8 + header, bytes - 8 - header, err);
}

/* ---- A folder with an index ---- */

struct shards {
    char **names; /* owned, sorted */
    int n;
};

static void release_shards(struct shards *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->names[i]);
    free(s->names);
}

static int add_shard(struct shards *s, const char *name, struct mk_error *err)
{
    int low = 0, high = s->n;
    char **names, *copy;

    while (low < high) {
        int middle = (low + high) / 2, order = strcmp(name, s->names[middle]);

        if (order == 0)
            return 0;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (s->n == MK_MAX_FILES)
        return mk_error_set(err, MK_ELIMIT, "more than %d files", MK_MAX_FILES);
    names = realloc(s->names, ((size_t)s->n + 1) * sizeof *names);
    if (names)
        s->names = names;
    copy = names ? strdup(name) : NULL;
    if (!copy)
        return mk_error_memory(err, ((size_t)s->n + 1) * sizeof *names);
    memmove(names + low + 1, names + low, (size_t)(s->n - low) * sizeof *names);
    names[low] = copy;
    s->n++;
    return 0;
}

/* Is the tensor of this row of the index in the file the row names? */
static int check_row(const struct tensors *t, const struct shards *s, const char *tensor,
                     const char *file, struct mk_error *err)
{
    const struct file_tensor *e = tensors_find(t, tensor);

    if (!e || strcmp(s->names[e->file], file) != 0)
        return mk_error_set(err, MK_EFORMAT, "field 'weight_map': tensor '%s' is not in %s", tensor,
                            file);
    return 0;
}

/* Walks {tensor: file}: with t NULL it collects the files, else it checks the rows. */
static int walk_rows(struct json_walk *w, const struct tensors *t, struct shards *s,
                     struct mk_error *err)
{
    char tensor[MK_MAX_TENSOR_NAME + 1], file[MAX_FILE_NAME];
    bool more;
    int64_t n = 0;
    int rc = json_walk_enter(w, '{', err);

    while (!rc && !(rc = json_walk_more(w, '}', &more, err)) && more) {
        if (++n > MK_MAX_TENSORS)
            return mk_error_set(err, MK_ELIMIT, "field 'weight_map': more than %d tensors",
                                MK_MAX_TENSORS);
        rc = json_walk_key(w, tensor, sizeof tensor, err);
        if (!rc)
            rc = json_walk_string(w, file, sizeof file, err);
        if (!rc)
            rc = t ? check_row(t, s, tensor, file, err) : add_shard(s, file, err);
    }
    return rc;
}

static int walk_index(const struct map_file *m, const struct tensors *t, struct shards *s,
                      struct mk_error *err)
{
    struct json_walk w;
    char key[64];
    bool more, has_map = false;
    int rc;

    json_walk_init(&w, m->data, m->bytes);
    rc = json_walk_enter(&w, '{', err);
    while (!rc && !(rc = json_walk_more(&w, '}', &more, err)) && more) {
        rc = json_walk_key(&w, key, sizeof key, err);
        if (rc)
            break;
        if (strcmp(key, "weight_map") != 0) {
            rc = json_walk_skip(&w, err);
            continue;
        }
        if (has_map)
            return mk_error_set(err, MK_EFORMAT, "field 'weight_map': given twice");
        has_map = true;
        rc = walk_rows(&w, t, s, err);
    }
    if (rc)
        return rc;
    if (!has_map || s->n == 0)
        return mk_error_set(err, MK_EFORMAT, "field 'weight_map': %s",
                            has_map ? "empty" : "missing");
    return json_walk_end(&w, err);
}

static int read_shard(struct tensors *t, const char *dir, const char *name, struct mk_error *err)
{
    struct map_file m;
    char path[4096];
    int rc = map_file_open_in(&m, dir, name, err);

    if (rc)
        return mk_error_wrap(err, "%s/" INDEX_NAME ": field 'weight_map'", dir);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return read_file(t, &m, path, err);
}

/* Shards in the order of their names, which is their `file` number in the table. */
static int read_shards(struct tensors *t, const struct map_file *index, struct shards *s,
                       const char *dir, struct mk_error *err)
{
    int rc = walk_index(index, NULL, s, err);

    if (rc)
        return mk_error_wrap(err, "%s/" INDEX_NAME, dir);
    for (int i = 0; i < s->n && !rc; i++)
        rc = read_shard(t, dir, s->names[i], err);
    if (!rc)
        rc = tensors_finish(t, err);
    if (rc)
        return rc;
    rc = walk_index(index, t, s, err);
    return rc ? mk_error_wrap(err, "%s/" INDEX_NAME, dir) : 0;
}

static int read_index(struct tensors *t, struct map_file *index, const char *dir,
                      struct mk_error *err)
{
    struct shards s = {0};
    int rc;

    if (index->bytes > MAX_HEADER_BYTES)
        return mk_error_set(err, MK_ELIMIT, "%s/" INDEX_NAME ": more than %d bytes", dir,
                            MAX_HEADER_BYTES);
    rc = read_shards(t, index, &s, dir, err);
    release_shards(&s);
    return rc;
}

/* ---- */

static int open_folder(struct tensors *t, const char *dir, struct mk_error *err)
{
    struct map_file m;
    char path[4096];
    int rc = map_file_open_in(&m, dir, INDEX_NAME, err);

    if (!rc) {
        rc = read_index(t, &m, dir, err);
        map_file_close(&m);
        return rc;
    }
    if (rc != MK_ENOTFOUND)
        return rc;
    rc = map_file_open_in(&m, dir, "model.safetensors", err);
    if (rc == MK_ENOTFOUND)
        return mk_error_set(err, rc, "%s: holds neither model.safetensors nor " INDEX_NAME, dir);
    if (rc)
        return rc;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    rc = read_file(t, &m, path, err);
    return rc ? rc : tensors_finish(t, err);
}

static int open_file(struct tensors *t, const char *path, struct mk_error *err)
{
    struct map_file m;
    int rc = map_file_open(&m, path, err);

    if (!rc)
        rc = read_file(t, &m, path, err);
    return rc ? rc : tensors_finish(t, err);
}

int safetensors_open(struct tensors *t, const char *path, struct mk_error *err)
{
    struct stat st;
    int rc;

    *t = (struct tensors){0};
    rc = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? open_folder(t, path, err)
                                                     : open_file(t, path, err);
    if (rc)
        tensors_release(t);
    return rc;
}
