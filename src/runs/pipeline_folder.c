/* pipeline_folder.c: what is done is on the disk, nowhere else. */
#include "runs/pipeline_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <jansson.h>

#include "base/folder.h"
#include "base/map_file.h"

#define MAX_RESULT_BYTES 65536

static int take_lock(struct pipeline_folder *f, struct mk_error *err)
{
    char path[RUN_PATH];

    if (pipeline_folder_path(f, path, "lock", NULL, err))
        return err->code;
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->lock < 0)
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", path, strerror(errno));
    if (flock(f->lock, LOCK_EX | LOCK_NB))
        return mk_error_set(err, MK_EIO, "%s: another minke pipeline works on it", f->path);
    return 0;
}

static int begin(struct pipeline_folder *f, bool resume, const void *text, size_t n,
                 struct mk_error *err)
{
    char path[RUN_PATH];
    bool there;

    if (pipeline_folder_path(f, path, "pipeline.yaml", NULL, err))
        return err->code;
    there = access(path, F_OK) == 0;
    if (there && !resume)
        return mk_error_set(err, MK_EINVAL,
                            "%s: there is a pipeline already: --resume goes on with it, --set "
                            "out=DIR begins another",
                            f->path);
    if (take_lock(f, err))
        return err->code;
    folder_remove_parts(f->path);
    return write_file(path, text, n, err);
}

int pipeline_folder_open(struct pipeline_folder *f, const char *path, bool resume,
                         const void *text, size_t n, struct mk_error *err)
{
    char *whole;

    *f = (struct pipeline_folder){.lock = -1};
    if (folder_make(path, err))
        return err->code;
    whole = realpath(path, NULL);
    if (!whole || strlen(whole) >= RUN_PATH) {
        free(whole);
        return mk_error_set(err, MK_EIO, "%s: cannot be found", path);
    }
    memcpy(f->path, whole, strlen(whole) + 1);
    free(whole);
    if (begin(f, resume, text, n, err)) {
        pipeline_folder_close(f);
        return err->code;
    }
    return 0;
}

void pipeline_folder_close(struct pipeline_folder *f)
{
    if (f->lock >= 0)
        close(f->lock);
    f->lock = -1;
}

int pipeline_folder_path(const struct pipeline_folder *f, char out[RUN_PATH], const char *stage,
                         const char *name, struct mk_error *err)
{
    if (snprintf(out, RUN_PATH, "%s/%s%s%s", f->path, stage, name ? "/" : "", name ? name : "") <
        RUN_PATH)
        return 0;
    return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", f->path);
}

int pipeline_folder_stage(const struct pipeline_folder *f, const char *stage,
                          const struct buf *recipe, struct mk_error *err)
{
    char path[RUN_PATH];

    if (pipeline_folder_path(f, path, stage, NULL, err) || folder_make(path, err))
        return err->code;
    folder_remove_parts(path);
    if (pipeline_folder_path(f, path, stage, "recipe.yaml", err))
        return err->code;
    return write_file(path, recipe->data, recipe->n, err);
}

/* "result" of result.json, malloc'ed; NULL: it says nothing that could be one. */
static char *read_result(const struct map_file *m)
{
    json_error_t at;
    json_t *root = m->bytes <= MAX_RESULT_BYTES
                       ? json_loadb((const char *)m->data, m->bytes, 0, &at)
                       : NULL;
    const char *text = json_string_value(json_object_get(root, "result"));
    char *copy = text && *text && *text != '/' && !strstr(text, "..") ? strdup(text) : NULL;

    json_decref(root);
    return copy;
}

int pipeline_folder_result(const struct pipeline_folder *f, const char *stage, bool *done,
                           char result[RUN_PATH], struct mk_error *err)
{
    struct map_file m;
    char path[RUN_PATH], *name;
    int code;

    *done = false;
    if (pipeline_folder_path(f, path, stage, "result.json", err))
        return err->code;
    code = map_file_open(&m, path, err);
    if (code)
        return code == MK_ENOTFOUND ? 0 : code;
    name = read_result(&m);
    map_file_close(&m);
    if (!name)
        return mk_error_set(err, MK_EFORMAT, "%s: does not name a result: remove %s/%s to do the "
                            "stage again", path, f->path, stage);
    code = pipeline_folder_path(f, result, stage, name, err);
    free(name);
    if (!code && access(result, F_OK))
        code = mk_error_set(err, MK_ENOTFOUND,
                            "%s: is not there any more: remove %s/%s to do stage %s again", result,
                            f->path, stage, stage);
    *done = !code;
    return code;
}

int pipeline_folder_finish(const struct pipeline_folder *f, const char *stage, const char *result,
                           struct mk_error *err)
{
    char path[RUN_PATH], *text;
    json_t *root = json_pack("{s:s}", "result", result);
    int code;

    text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text)
        return mk_error_memory(err, strlen(result));
    code = pipeline_folder_path(f, path, stage, "result.json", err);
    if (!code)
        code = write_file(path, text, strlen(text), err);
    free(text);
    return code;
}
