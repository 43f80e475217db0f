/* samples.c: finds the files, and reads their beginning. */
#include "runs/samples.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"

#define PATH 4096

/* "step-000100.txt" -> 100, else -1. */
static int64_t step_of(const char *name)
{
    char *end;
    long long n;

    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9')
        return -1;
    n = strtoll(name + 5, &end, 10);
    return strcmp(end, ".txt") ? -1 : n;
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

static int read_sample(struct sample *s, const char *folder, int64_t step, struct mk_error *err)
{
    struct map_file m;
    char path[PATH];
    size_t n;

    if (snprintf(path, sizeof path, "%s/samples/step-%06" PRId64 ".txt", folder, step) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    if (map_file_open(&m, path, err))
        return err->code;
    n = m.bytes;
    if (n > SAMPLE_MAX_BYTES)
        n = whole_characters((const char *)m.data, SAMPLE_MAX_BYTES);
    *s = (struct sample){step, strndup(n ? (const char *)m.data : "", n)};
    map_file_close(&m);
    return s->text ? 0 : mk_error_memory(err, n + 1);
}

int samples_read(struct samples *s, const char *folder, struct mk_error *err)
{
    int64_t first = INT64_MAX, last = -1, step;
    char path[PATH];
    struct dirent *e;
    DIR *d;

    *s = (struct samples){0};
    if (snprintf(path, sizeof path, "%s/samples", folder) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        step = step_of(e->d_name);
        last = step > last ? step : last;
        first = step >= 0 && step < first ? step : first;
    }
    if (d)
        closedir(d);
    if (last < 0)
        return 0;
    if (read_sample(&s->first, folder, first, err) ||
        (last > first && read_sample(&s->last, folder, last, err))) {
        samples_release(s);
        return err->code;
    }
    return 0;
}

void samples_release(struct samples *s)
{
    free(s->first.text);
    free(s->last.text);
    *s = (struct samples){0};
}
