/* unpack.c: reads the archive twice: to find the model in it, then to write its files. */
#include "hub/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "hub/files.h"

enum { MAX_ENTRIES = 100000, BLOCK = 1 << 18 };
/* Weights hardly shrink when they are packed: what grows a hundredfold is a bomb. */
enum { MAX_GROWTH = 100, MAX_GROWTH_OF_NOTHING = 1 << 20 };

/* What the first reading found. */
struct finding {
    char gguf[HUB_PATH_MAX];   /* the archive path of the first .gguf, without what a split adds */
    char folder[HUB_PATH_MAX]; /* the folder of the first .safetensors, "" for the top */
    bool has_gguf, has_safetensors, many_ggufs;
    uint64_t bytes; /* of all files of a model, for the progress */
};

static int open_archive(struct archive **a, const char *path, struct mk_error *err)
{
    *a = archive_read_new();
    if (!*a)
        return mk_error_memory(err, 1024);
    archive_read_support_format_zip(*a);
    archive_read_support_format_tar(*a);
    archive_read_support_filter_gzip(*a);
    if (archive_read_open_filename(*a, path, BLOCK) == ARCHIVE_OK)
        return 0;
    mk_error_set(err, MK_EFORMAT, "%s: not an archive: %s", path, archive_error_string(*a));
    archive_read_free(*a);
    *a = NULL;
    return err->code;
}

/* The next regular file: its path, or NULL at the end (then *rc tells whether that was an error).
 */
static const char *next_file(struct archive *a, const char *path, struct archive_entry **entry,
                             int *n_entries, int *rc, struct mk_error *err)
{
    int r;

    *rc = 0;
    while ((r = archive_read_next_header(a, entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
        const char *name = archive_entry_pathname(*entry);

        if (++*n_entries > MAX_ENTRIES) {
            *rc = mk_error_set(err, MK_ELIMIT, "%s: more than %d entries", path, MAX_ENTRIES);
            return NULL;
        }
        if (name && archive_entry_filetype(*entry) == AE_IFREG && !archive_entry_hardlink(*entry) &&
            strlen(name) < HUB_PATH_MAX)
            return name;
    }
    if (r != ARCHIVE_EOF)
        *rc = mk_error_set(err, MK_EFORMAT, "%s: damaged: %s", path, archive_error_string(a));
    return NULL;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* "a/m-00001-of-00003.gguf" and "a/m-00002-of-00003.gguf" are one model "a/m". */
static void gguf_stem(const char *path, char stem[HUB_PATH_MAX])
{
    int part, n_parts;
    size_t n;

    if (!files_split(path, &part, &n_parts, &n))
        n = strlen(path);
    snprintf(stem, HUB_PATH_MAX, "%.*s", (int)n, path);
}

static void note_file(struct finding *f, const char *path, int64_t bytes)
{
    enum file_kind kind = files_kind(last_part(path));
    char stem[HUB_PATH_MAX];

    if (kind != FILE_OTHER && bytes > 0 && !checked_add(f->bytes, (uint64_t)bytes, &f->bytes))
        f->bytes = UINT64_MAX;
    if (kind == FILE_GGUF) {
        gguf_stem(path, stem);
        if (f->has_gguf && strcmp(stem, f->gguf))
            f->many_ggufs = true;
        else
            memcpy(f->gguf, stem, sizeof stem);
        f->has_gguf = true;
    } else if (kind == FILE_SAFETENSORS && !f->has_safetensors) {
        f->has_safetensors = true;
        snprintf(f->folder, sizeof f->folder, "%.*s", (int)(last_part(path) - path), path);
    }
}

static int find_model(struct finding *f, const char *path, struct mk_error *err)
{
    struct archive_entry *entry;
    struct archive *a;
    int n_entries = 0, rc = open_archive(&a, path, err);
    const char *name;

    *f = (struct finding){0};
    if (rc)
        return rc;
    while ((name = next_file(a, path, &entry, &n_entries, &rc, err)))
        note_file(f, name, archive_entry_size(entry));
    archive_read_free(a);
    if (rc)
        return rc;
    if (!f->has_gguf && !f->has_safetensors)
        return mk_error_set(err, MK_ENOTFOUND,
                            "%s: holds neither a .gguf nor a folder with "
                            ".safetensors",
                            last_part(path));
    if (f->bytes / MAX_GROWTH > (uint64_t)files_bytes(path) + MAX_GROWTH_OF_NOTHING)
        return mk_error_set(err, MK_ELIMIT, "%s: would grow more than %d times: refused",
                            last_part(path), MAX_GROWTH);
    if (!f->has_safetensors && f->many_ggufs)
        return mk_error_set(err, MK_EUNSUPPORTED, "%s: holds several .gguf models",
                            last_part(path));
    return 0;
}

static bool belongs(const struct finding *f, const char *path)
{
    enum file_kind kind = files_kind(last_part(path));
    char stem[HUB_PATH_MAX];

    if (f->has_safetensors)
        return kind != FILE_OTHER && kind != FILE_GGUF &&
               strlen(f->folder) == (size_t)(last_part(path) - path) &&
               !strncmp(path, f->folder, strlen(f->folder));
    gguf_stem(path, stem);
    return kind == FILE_GGUF && !strcmp(stem, f->gguf);
}

static int write_all_at(int fd, const char *data, size_t n, off_t at)
{
    while (n > 0) {
        ssize_t w = pwrite(fd, data, n, at);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return -1;
        data += w;
        n -= (size_t)w;
        at += w;
    }
    return 0;
}

static int copy_entry(const struct hub_options *o, struct archive *a, int fd, const char *name,
                      uint64_t *done, uint64_t total, struct mk_error *err)
{
    /* What the first reading added up; an entry that holds more than it announced passes it. */
    char what[256];
    const void *data;
    la_int64_t at;
    size_t n;
    int r, rc;

    snprintf(what, sizeof what, "unpacking %s", name);
    while ((r = archive_read_data_block(a, &data, &n, &at)) == ARCHIVE_OK) {
        if (at < 0 || (uint64_t)at > total || n > total - (uint64_t)at || n > total - *done)
            return mk_error_set(err, MK_ELIMIT, "%s: holds more than it announces: refused", name);
        if (write_all_at(fd, data, n, (off_t)at))
            return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", name, strerror(errno));
        *done += n;
        rc = files_progress(o, what, *done, total, err);
        if (rc)
            return rc;
    }
    if (r != ARCHIVE_EOF)
        return mk_error_set(err, MK_EFORMAT, "%s: damaged: %s", name, archive_error_string(a));
    return 0;
}

static int extract(const struct hub_options *o, struct archive *a, const char *dir,
                   const char *name, uint64_t *done, uint64_t total, struct mk_error *err)
{
    char target[HUB_PATH_MAX];
    int fd, rc = files_join(target, dir, name, err);

    if (rc)
        return rc;
    fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return mk_error_set(err, MK_EIO, "%s: %s", target, strerror(errno));
    rc = copy_entry(o, a, fd, name, done, total, err);
    if (close(fd) && !rc)
        rc = mk_error_set(err, MK_EIO, "%s: cannot be written: %s", target, strerror(errno));
    return rc;
}

int unpack_model(const struct hub_options *o, const char *path, const char *dir,
                 struct mk_error *err)
{
    struct archive_entry *entry;
    struct finding *f = malloc(sizeof *f);
    struct archive *a = NULL;
    uint64_t done = 0;
    const char *name;
    int n_entries = 0, rc;

    if (!f)
        return mk_error_memory(err, sizeof *f);
    rc = find_model(f, path, err);
    if (!rc)
        rc = open_archive(&a, path, err);
    while (!rc && (name = next_file(a, path, &entry, &n_entries, &rc, err)))
        if (belongs(f, name))
            rc = extract(o, a, dir, last_part(name), &done, f->bytes, err);
    if (a)
        archive_read_free(a);
    free(f);
    return rc;
}
