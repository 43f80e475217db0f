/* part_file.c: writing beside and renaming, for files too large to be handed over whole. */
#include "base/part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const struct part_file *f, struct mk_error *err)
{
    return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", f->path, strerror(errno));
}

int part_file_open(struct part_file *f, const char *path, struct mk_error *err)
{
    size_t size = strlen(path) + 32;

    *f = (struct part_file){.path = strdup(path), .part = malloc(size)};
    if (!f->path || !f->part) {
        part_file_keep(f);
        return mk_error_memory(err, 2 * size);
    }
    snprintf(f->part, size, "%s.%ld.part", path, (long)getpid());
    f->stream = fopen(f->part, "wbe");
    if (f->stream)
        return 0;
    fail(f, err);
    part_file_keep(f);
    return err->code;
}

int part_file_write(struct part_file *f, const void *data, uint64_t bytes, struct mk_error *err)
{
    if (bytes && fwrite(data, 1, (size_t)bytes, f->stream) != bytes)
        return fail(f, err);
    return 0;
}

int part_file_make_private(struct part_file *f, struct mk_error *err)
{
    return fchmod(fileno(f->stream), 0600) ? fail(f, err) : 0;
}

int part_file_pad(struct part_file *f, uint64_t n, struct mk_error *err)
{
    for (; n > 0; n--)
        if (putc(0, f->stream) == EOF)
            return fail(f, err);
    return 0;
}

int part_file_sync(struct part_file *f, struct mk_error *err)
{
    int bad = fflush(f->stream) || fsync(fileno(f->stream)), reason = errno;

    if (fclose(f->stream) && !bad) {
        bad = 1;
        reason = errno;
    }
    f->stream = NULL;
    errno = reason;
    return bad ? fail(f, err) : 0;
}

int part_file_rename(struct part_file *f, struct mk_error *err)
{
    if (rename(f->part, f->path))
        return fail(f, err);
    f->renamed = true;
    return 0;
}

void part_file_discard(struct part_file *f)
{
    if (f->path)
        unlink(f->renamed ? f->path : f->part);
    part_file_keep(f);
}

void part_file_keep(struct part_file *f)
{
    if (f->stream)
        fclose(f->stream);
    free(f->path);
    free(f->part);
    *f = (struct part_file){0};
}
