/* samples.c: finds the files, and reads their beginning. */
#include "runs/samples.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/folder.h"
#include "base/map_file.h"

#define PATH 4096

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int add_step(int64_t **steps, size_t *n, int64_t step, struct mk_error *err)
{
    /* Room is doubled whenever the number is a power of two. */
    if ((*n & (*n - 1)) == 0) {
        int64_t *grown = realloc(*steps, (*n ? 2 * *n : 1) * sizeof *grown);

        if (!grown)
            return mk_error_memory(err, 2 * *n * sizeof *grown);
        *steps = grown;
    }
    (*steps)[(*n)++] = step;
    return 0;
}

int samples_steps(int64_t **steps, size_t *n, const char *folder, const char *suffix,
                  struct mk_error *err)
{
    char path[PATH];
    struct dirent *e;
    int code = 0;
    DIR *d;

    *steps = NULL;
    *n = 0;
    if (snprintf(path, sizeof path, "%s/samples", folder) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    d = opendir(path);
    while (d && !code && (e = readdir(d)))
        if (folder_step(e->d_name, suffix) >= 0)
            code = add_step(steps, n, folder_step(e->d_name, suffix), err);
    if (d)
        closedir(d);
    if (code) {
        free(*steps);
        *steps = NULL;
        return code;
    }
    if (*n)
        qsort(*steps, *n, sizeof **steps, ascending);
    return 0;
}

/* A character that is cut in the middle goes whole. */
static size_t whole_characters(const char *text, size_t n)
{
    size_t end = n;

    while (end > 0 && n - end < 3 && ((unsigned char)text[end - 1] & 0xc0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)text[end - 1] >= 0xc0)
        end--;
    return end;
}

char *samples_beginning(const char *text, size_t n)
{
    return strndup(n ? text : "", n > SAMPLE_MAX_BYTES ? whole_characters(text, SAMPLE_MAX_BYTES)
                                                       : n);
}

static int read_sample(struct sample *s, const char *folder, int64_t step, struct mk_error *err)
{
    struct map_file m;
    char path[PATH];

    if (snprintf(path, sizeof path, "%s/samples/step-%06" PRId64 ".txt", folder, step) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    if (map_file_open(&m, path, err))
        return err->code;
    *s = (struct sample){step, samples_beginning((const char *)m.data, m.bytes)};
    map_file_close(&m);
    return s->text ? 0 : mk_error_memory(err, SAMPLE_MAX_BYTES);
}

int samples_read(struct samples *s, const char *folder, struct mk_error *err)
{
    int64_t *steps;
    size_t n;
    int code;

    *s = (struct samples){0};
    if (samples_steps(&steps, &n, folder, ".txt", err))
        return err->code;
    code = n > 0 ? read_sample(&s->first, folder, steps[0], err) : 0;
    if (!code && n > 1)
        code = read_sample(&s->last, folder, steps[n - 1], err);
    free(steps);
    if (code)
        samples_release(s);
    return code;
}

void samples_release(struct samples *s)
{
    free(s->first.text);
    free(s->last.text);
    *s = (struct samples){0};
}
