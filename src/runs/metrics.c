/* metrics.c: appends lines; cuts what a resumed run will write again. */
#include "runs/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

static int fail(const struct metrics *m, const char *what, struct mk_error *err)
{
    return mk_error_set(err, MK_EIO, "%s: %s: %s", m->path, what, strerror(errno));
}

/* A whole line that is an object of a step up to keep_step. */
static int is_kept(const char *line, size_t n, int64_t keep_step)
{
    json_t *o;
    int kept;

    if (n == 0 || line[n - 1] != '\n')
        return 0;
    o = json_loadb(line, n, 0, NULL);
    kept = json_is_integer(json_object_get(o, "step")) &&
           json_integer_value(json_object_get(o, "step")) <= keep_step;
    json_decref(o);
    return kept;
}

static int cut(struct metrics *m, int64_t keep_step, struct mk_error *err)
{
    char *line = NULL;
    size_t room = 0;
    off_t end = 0;
    ssize_t n;

    while ((n = getline(&line, &room, m->file)) > 0 && is_kept(line, (size_t)n, keep_step))
        end += n;
    free(line);
    if (ftruncate(fileno(m->file), end) || fseeko(m->file, end, SEEK_SET))
        return fail(m, "cannot be cut", err);
    return 0;
}

int metrics_open(struct metrics *m, const char *path, int64_t keep_step, struct mk_error *err)
{
    *m = (struct metrics){.path = strdup(path)};
    if (!m->path)
        return mk_error_memory(err, strlen(path) + 1);
    m->file = fopen(path, keep_step ? "r+" : "wx");
    if (!m->file && keep_step && errno == ENOENT)
        m->file = fopen(path, "wx");
    if (!m->file)
        fail(m, "cannot be opened", err);
    if (m->file && (!keep_step || !cut(m, keep_step, err)))
        return 0;
    metrics_close(m);
    return err->code;
}

int metrics_append(struct metrics *m, const char *json, struct mk_error *err)
{
    if (fputs(json, m->file) == EOF || fputc('\n', m->file) == EOF || fflush(m->file))
        return fail(m, "cannot be written", err);
    return 0;
}

int metrics_sync(struct metrics *m, struct mk_error *err)
{
    if (fflush(m->file) || fsync(fileno(m->file)))
        return fail(m, "cannot be written", err);
    return 0;
}

void metrics_close(struct metrics *m)
{
    if (m->file)
        fclose(m->file);
    free(m->path);
    *m = (struct metrics){0};
}
