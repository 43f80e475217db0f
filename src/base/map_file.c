/* map_file.c: mapping files for reading, and writing them whole. */
#include "base/map_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map_descriptor(struct map_file *m, int fd, const char *path, struct mk_error *err)
{
    struct stat st;
    void *p;

    *m = (struct map_file){0};
    if (fstat(fd, &st))
        return mk_error_set(err, MK_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return mk_error_set(err, MK_EIO, "%s: %s", path,
                            S_ISDIR(st.st_mode) ? "is a folder, not a file" : "not a regular file");
    if (st.st_size == 0)
        return 0;
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return mk_error_set(err, MK_EIO, "%s: cannot be mapped: %s", path, strerror(errno));
    m->data = p;
    m->bytes = (size_t)st.st_size;
    return 0;
}

int map_file_open(struct map_file *m, const char *path, struct mk_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

    *m = (struct map_file){0};
    if (fd < 0)
        return mk_error_set(err, errno == ENOENT ? MK_ENOTFOUND : MK_EIO, "%s: %s", path,
                            strerror(errno));
    rc = map_descriptor(m, fd, path, err);
    close(fd);
    return rc;
}

int map_file_open_in(struct map_file *m, const char *dir, const char *name, struct mk_error *err)
{
    char path[4096];

    *m = (struct map_file){0};
    if (!*name || strchr(name, '/') || strchr(name, '\\') || !strcmp(name, "..") ||
        !strcmp(name, "."))
        return mk_error_set(err, MK_EFORMAT, "%s: '%s' is not a plain file name", dir, name);
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%s: path is too long", dir);
    return map_file_open(m, path, err);
}

void map_file_close(struct map_file *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->bytes);
    *m = (struct map_file){0};
}

void map_file_forget(const struct map_file *m, const void *begin, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t b = ((uintptr_t)begin + page - 1) & ~(page - 1),
              e = ((uintptr_t)begin + bytes) & ~(page - 1);

    if (m->data && e > b)
        madvise((void *)b, e - b, MADV_DONTNEED);
}

static int write_all(int fd, const unsigned char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        bytes -= (size_t)n;
    }
    return 0;
}

int write_file(const char *path, const void *data, size_t bytes, struct mk_error *err)
{
    char part[4096];
    int fd, bad;

    if (snprintf(part, sizeof part, "%s.%ld.part", path, (long)getpid()) >= (int)sizeof part)
        return mk_error_set(err, MK_ELIMIT, "%s: path is too long", path);
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", path, strerror(errno));
    bad = write_all(fd, data, bytes) || fsync(fd);
    bad = close(fd) || bad;
    if (bad || rename(part, path)) {
        int e = errno;
        unlink(part);
        return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", path, strerror(e));
    }
    return 0;
}
