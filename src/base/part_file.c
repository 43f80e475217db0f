/* part_file.c: write beside, sync, rename. */
#include "base/part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int part_file_open(struct part_file *p, const char *path, bool private_file, struct mk_error *err)
{
    *p = (struct part_file){.fd = -1};
    if (snprintf(p->path, sizeof p->path, "%s", path) >= (int)sizeof p->path ||
        snprintf(p->part, sizeof p->part, "%s.%ld.part", path, (long)getpid()) >=
            (int)sizeof p->part)
        return mk_error_set(err, MK_ELIMIT, "%.200s...: path is too long", path);
    p->fd = open(p->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, private_file ? 0600 : 0644);
    if (p->fd < 0)
        return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", path, strerror(errno));
    return 0;
}

int part_file_write(struct part_file *p, const void *data, size_t bytes, struct mk_error *err)
{
    const unsigned char *at = data;

    while (bytes > 0) {
        ssize_t n = write(p->fd, at, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", p->path,
                                n < 0 ? strerror(errno) : "nothing was taken");
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

int part_file_commit(struct part_file *p, struct mk_error *err)
{
    int bad = fsync(p->fd), reason = errno;

    if (close(p->fd) && !bad) {
        bad = -1;
        reason = errno;
    }
    p->fd = -1;
    if (!bad && rename(p->part, p->path)) {
        bad = -1;
        reason = errno;
    }
    if (!bad)
        return 0;
    unlink(p->part);
    return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", p->path, strerror(reason));
}

void part_file_abandon(struct part_file *p)
{
    if (p->fd < 0)
        return;
    close(p->fd);
    unlink(p->part);
    p->fd = -1;
}
