/* memory_file.c: memfd under a name of /proc. */
#include "support/memory_file.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int memory_file_open(struct memory_file *f, const void *data, size_t bytes)
{
    f->fd = memfd_create("test", MFD_CLOEXEC);
    if (f->fd < 0)
        return -1;
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
    if (memory_file_patch(f, 0, data, bytes)) {
        memory_file_close(f);
        return -1;
    }
    return 0;
}

int memory_file_patch(struct memory_file *f, size_t at, const void *data, size_t bytes)
{
    const char *p = data;

    while (bytes > 0) {
        ssize_t n = pwrite(f->fd, p, bytes, (off_t)at);

        if (n <= 0)
            return -1;
        p += n;
        at += (size_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

int memory_file_cut(struct memory_file *f, size_t bytes)
{
    return ftruncate(f->fd, (off_t)bytes);
}

void memory_file_close(struct memory_file *f)
{
    close(f->fd);
    f->fd = -1;
}
