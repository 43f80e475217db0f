/* shard_list.c: looks for names that end in .tokens. */
#include "train/shard_list.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH 4400

static bool is_named_shard(const char *name)
{
    static const char end[] = ".tokens";
    size_t n = strlen(name), m = sizeof end - 1;

    return n >= m && !strcmp(name + n - m, end);
}

static int add(struct shard_list *l, const char *path, struct mk_error *err)
{
    if (l->n == SHARD_LIST_MAX)
        return mk_error_set(err, MK_ELIMIT, "%s: more than %d shards", path, SHARD_LIST_MAX);
    l->paths[l->n] = strdup(path);
    if (!l->paths[l->n])
        return mk_error_memory(err, strlen(path) + 1);
    l->n++;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int shard_list_find(struct shard_list *l, const char *path, struct mk_error *err)
{
    struct dirent *e;
    struct stat s;
    int code = 0;
    DIR *d;

    if (stat(path, &s) == 0 && S_ISREG(s.st_mode))
        return is_named_shard(path) ? add(l, path, err) : 0;
    d = opendir(path);
    while (d && !code && (e = readdir(d))) {
        char file[PATH];

        if (!is_named_shard(e->d_name))
            continue;
        code = snprintf(file, sizeof file, "%s/%s", path, e->d_name) < PATH
                   ? add(l, file, err)
                   : mk_error_set(err, MK_ELIMIT, "%s: the path is too long", path);
    }
    if (d)
        closedir(d);
    qsort(l->paths, (size_t)l->n, sizeof *l->paths, by_name);
    return code;
}

void shard_list_release(struct shard_list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->paths[i]);
    l->n = 0;
}

int shard_list_any(const char *path, bool *any, struct mk_error *err)
{
    struct shard_list *l = calloc(1, sizeof *l);
    int code;

    if (!l)
        return mk_error_memory(err, sizeof *l);
    code = shard_list_find(l, path, err);
    *any = l->n > 0;
    shard_list_release(l);
    free(l);
    return code;
}
