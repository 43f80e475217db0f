/* records.c: see records.h. */
#include "eval/records.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int fail(const char *path, const char *what, struct mk_error *err)
{
    return mk_error_set(err, MK_EIO, "%s: %s: %s", path, what, strerror(errno));
}

/* One line; *whole tells whether it is one. */
static int take_line(const char *path, const char *text, size_t n, int64_t id,
                     records_line_fn *each, void *user, struct mk_error *err)
{
    json_error_t where;
    json_t *line = json_loadb(text, n, JSON_ALLOW_NUL, &where);
    int rc;

    if (!line || json_integer_value(json_object_get(line, "id")) != id ||
        !json_is_integer(json_object_get(line, "id")))
        rc = mk_error_set(err, MK_EFORMAT,
                          "%s: line %" PRId64 " is not record %" PRId64 " of an evaluation: %s",
                          path, id + 1, id, line ? "it has another \"id\"" : where.text);
    else
        rc = each ? each(user, id, line, err) : 0;
    json_decref(line);
    return rc;
}

/* *end: behind the last whole line. */
static int read_lines(FILE *file, const char *path, records_line_fn *each, void *user, int64_t *n,
                      off_t *end, struct mk_error *err)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t got;
    int rc = 0;

    *n = 0;
    *end = 0;
    while (!rc && (got = getline(&text, &room, file)) > 0 && text[got - 1] == '\n') {
        rc = take_line(path, text, (size_t)got, (*n)++, each, user, err);
        *end += got;
    }
    free(text);
    if (!rc && ferror(file))
        rc = fail(path, "cannot be read", err);
    return rc;
}

int records_read(const char *path, records_line_fn *each, void *user, struct mk_error *err)
{
    FILE *file = fopen(path, "re");
    int64_t n;
    off_t end;
    int rc;

    if (!file)
        return fail(path, "cannot be opened", err);
    rc = read_lines(file, path, each, user, &n, &end, err);
    fclose(file);
    return rc;
}

static int open_file(struct records *r, const char *dir, const char *name, struct mk_error *err)
{
    int fd;

    if (asprintf(&r->path, "%s/%s.jsonl", dir, name) < 0) {
        r->path = NULL;
        return mk_error_memory(err, strlen(dir) + strlen(name));
    }
    fd = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    r->file = fd < 0 ? NULL : fdopen(fd, "r+");
    if (!r->file) {
        fail(r->path, "cannot be opened", err);
        if (fd >= 0)
            close(fd);
        return err->code;
    }
    if (flock(fd, LOCK_EX | LOCK_NB))
        return mk_error_set(err, MK_EIO, "%s: another evaluation is writing it", r->path);
    return 0;
}

int records_open(struct records *r, const char *dir, const char *name, records_line_fn *each,
                 void *user, struct mk_error *err)
{
    off_t end;

    *r = (struct records){0};
    if (open_file(r, dir, name, err) ||
        read_lines(r->file, r->path, each, user, &r->n, &end, err)) {
        records_close(r);
        return err->code;
    }
    if (ftruncate(fileno(r->file), end) || fseeko(r->file, end, SEEK_SET)) {
        fail(r->path, "cannot be cut behind its last whole line", err);
        records_close(r);
        return err->code;
    }
    return 0;
}

int records_append(struct records *r, json_t *line, struct mk_error *err)
{
    json_t *whole = json_pack("{s:I}", "id", (json_int_t)r->n); /* "id" comes first */
    char *text = NULL;
    int rc = 0;

    if (line && whole && !json_object_update(whole, line))
        text = json_dumps(whole, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(whole);
    json_decref(line);
    if (!text)
        return mk_error_memory(err, 4096);
    if (fputs(text, r->file) == EOF || fputc('\n', r->file) == EOF || fflush(r->file))
        rc = fail(r->path, "cannot be written", err);
    else
        r->n++;
    free(text);
    return rc;
}

int records_sync(struct records *r, struct mk_error *err)
{
    if (fflush(r->file) || fdatasync(fileno(r->file)))
        return fail(r->path, "cannot be written", err);
    return 0;
}

void records_close(struct records *r)
{
    if (r->file)
        fclose(r->file);
    free(r->path);
    *r = (struct records){0};
}

int records_scores(const json_t *line, struct score_table *t, struct mk_error *err)
{
    json_t *scores = json_object_get(line, "scores"), *value;
    const char *name;

    json_object_foreach(scores, name, value)
        if (score_add(t, name, json_number_value(value), err))
            return err->code;
    return 0;
}

json_t *records_text(const char *at, size_t n)
{
    json_t *text = at ? json_stringn(at, n) : NULL;

    return text ? text : json_null();
}
