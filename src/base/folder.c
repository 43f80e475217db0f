/* folder.c: makes folders from their root down, walks them from their leaves up. */
#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FOLDERS 8 /* at a time; deeper ones are opened again */

int folder_join(char *out, size_t room, const char *base, const char *path, struct mk_error *err)
{
    bool below = *path != '/' && *base;
    int n = snprintf(out, room, "%s%s%s", below ? base : "", below ? "/" : "", path);

    return n >= 0 && (size_t)n < room ? 0
                                      : mk_error_set(err, MK_ELIMIT, "%s: the path is too long",
                                                     path);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st;
    if (kind == FTW_DP || path[place->base] != '.')
        remove(path);
    return 0;
}

void folder_remove(const char *path)
{
    nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}

int folder_make(const char *path, struct mk_error *err)
{
    char *part = strdup(path);
    size_t n = strlen(path);
    int rc = part ? 0 : mk_error_memory(err, n + 1);

    for (size_t i = 1; !rc && i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            rc = mk_error_set(err, MK_EIO, "%s: cannot be made: %s", part, strerror(errno));
        part[i] = path[i];
    }
    free(part);
    return rc;
}

/* ".part" behind a number. */
static bool is_unfinished(const char *name)
{
    size_t n = strlen(name);

    if (n < 6 || strcmp(name + n - 5, ".part"))
        return false;
    for (n -= 5; n > 0 && name[n - 1] >= '0' && name[n - 1] <= '9'; n--)
        ;
    return n > 0 && (name[n - 1] == '.' || name[n - 1] == '-');
}

void folder_remove_parts(const char *path)
{
    struct dirent *e;
    DIR *d = opendir(path);

    while (d && (e = readdir(d))) {
        char *whole;

        if (!is_unfinished(e->d_name) || asprintf(&whole, "%s/%s", path, e->d_name) < 0)
            continue;
        if (unlink(whole))
            folder_remove(whole);
        free(whole);
    }
    if (d)
        closedir(d);
}

int64_t folder_step(const char *name, const char *suffix)
{
    char *end;
    long long n;

    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9')
        return -1;
    n = strtoll(name + 5, &end, 10);
    return strcmp(end, suffix) ? -1 : n;
}

int64_t folder_last_step(const char *path, int64_t end)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int64_t last = -1;

    while (d && (e = readdir(d))) {
        int64_t step = folder_step(e->d_name, "");

        last = step > last && step < end ? step : last;
    }
    if (d)
        closedir(d);
    return last;
}
