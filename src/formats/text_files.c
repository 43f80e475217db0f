/* text_files.c: lists the text files of a folder. */
#include "formats/text_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES ((size_t)1 << 20)
#define MAX_DEPTH 16
#define MAX_PATH 4096

static bool ends_with(const char *s, size_t n, const char *suffix)
{
    size_t k = strlen(suffix);

    return n > k && !memcmp(s + n - k, suffix, k);
}

/* Prose and programs. */
static bool is_plain(const char *path, size_t n)
{
    static const char *const endings[] = {
        ".txt", ".md", ".rst", ".tex",  ".c",  ".h",  ".cc", ".cpp", ".hpp",
        ".py",  ".rs", ".go",  ".java", ".js", ".ts", ".sh", ".pl",  ".lua"};

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(path, n, endings[i]))
            return true;
    return false;
}

struct text_name text_name_of(const char *path)
{
    size_t n = strlen(path);
    struct text_name name = {.gzip = ends_with(path, n, ".gz"), .zstd = ends_with(path, n, ".zst")};

    n -= name.gzip ? 3 : name.zstd ? 4 : 0;
    name.jsonl = ends_with(path, n, ".jsonl") || ends_with(path, n, ".ndjson");
    name.plain = is_plain(path, n);
    return name;
}

void text_files_release(struct text_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->paths[i]);
    free(f->paths);
    *f = (struct text_files){0};
}

static int add(struct text_files *f, const char *path, struct mk_error *err)
{
    if (f->n == MAX_FILES)
        return mk_error_set(err, MK_ELIMIT, "%s: more than %zu files", path, MAX_FILES);
    if (f->n == f->capacity) {
        size_t want = f->capacity ? 2 * f->capacity : 16;
        char **grown = realloc(f->paths, want * sizeof *grown);

        if (!grown)
            return mk_error_memory(err, want * sizeof *grown);
        f->paths = grown;
        f->capacity = want;
    }
    f->paths[f->n] = strdup(path);
    if (!f->paths[f->n])
        return mk_error_memory(err, strlen(path) + 1);
    f->n++;
    return 0;
}

static int add_folder(struct text_files *f, const char *path, int depth, struct mk_error *err);

static int add_entry(struct text_files *f, const char *folder, const char *name, int depth,
                     struct mk_error *err)
{
    struct text_name kind = text_name_of(name);
    char path[MAX_PATH];
    struct stat st;

    if (name[0] == '.')
        return 0;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%s: path is too long", folder);
    if (lstat(path, &st))
        return mk_error_set(err, MK_EIO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return add_folder(f, path, depth + 1, err);
    return kind.jsonl || kind.plain ? add(f, path, err) : 0;
}

static int add_folder(struct text_files *f, const char *path, int depth, struct mk_error *err)
{
    struct dirent *entry;
    DIR *dir;
    int rc = 0;

    if (depth > MAX_DEPTH)
        return mk_error_set(err, MK_ELIMIT, "%s: folders deeper than %d", path, MAX_DEPTH);
    dir = opendir(path);
    if (!dir)
        return mk_error_set(err, MK_EIO, "%s: %s", path, strerror(errno));
    while (!rc && (entry = readdir(dir)))
        rc = add_entry(f, path, entry->d_name, depth, err);
    closedir(dir);
    return rc;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int text_files_find(struct text_files *f, const char *path, struct mk_error *err)
{
    struct stat st;
    int rc;

    *f = (struct text_files){0};
    if (stat(path, &st))
        return mk_error_set(err, errno == ENOENT ? MK_ENOTFOUND : MK_EIO, "%s: %s", path,
                            strerror(errno));
    rc = S_ISDIR(st.st_mode) ? add_folder(f, path, 0, err) : add(f, path, err);
    if (!rc && !f->n)
        rc = mk_error_set(err, MK_ENOTFOUND,
                          "%s: no text (.txt, .md, ...), program or .jsonl in it", path);
    if (rc)
        text_files_release(f);
    else
        qsort(f->paths, f->n, sizeof *f->paths, compare);
    return rc;
}
