/* run_folder.c: made once, then found again by --resume. */
#include "runs/run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/map_file.h"

int run_folder_path(const struct run_folder *f, char out[RUN_PATH], const char *name,
                    struct mk_error *err)
{
    if (snprintf(out, RUN_PATH, "%s/%s", f->path, name) < RUN_PATH)
        return 0;
    return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", f->path);
}

int run_folder_checkpoint(const struct run_folder *f, char out[RUN_PATH], int64_t step,
                          struct mk_error *err)
{
    char name[64];

    snprintf(name, sizeof name, "checkpoints/step-%06" PRId64, step);
    return run_folder_path(f, out, name, err);
}

static void remove_checkpoint(const char *dir, int64_t step)
{
    char path[RUN_PATH + 32];

    snprintf(path, sizeof path, "%s/step-%06" PRId64, dir, step);
    folder_remove(path);
}

void run_folder_prune(const struct run_folder *f, int64_t keep)
{
    char dir[RUN_PATH];
    struct mk_error err;
    int64_t tried = -1; /* steps up to it: one that cannot be removed is not tried again */

    if (run_folder_path(f, dir, "checkpoints", &err))
        return;
    for (;;) {
        DIR *d = opendir(dir);
        struct dirent *e;
        int64_t n = 0, oldest = INT64_MAX, step;

        while (d && (e = readdir(d))) {
            step = folder_step(e->d_name, "");
            n += step > tried;
            oldest = step > tried && step < oldest ? step : oldest;
        }
        if (d)
            closedir(d);
        if (n <= keep)
            return;
        remove_checkpoint(dir, oldest);
        tried = oldest;
    }
}

static int lock(struct run_folder *f, const char *command, struct mk_error *err)
{
    char path[RUN_PATH];

    if (run_folder_path(f, path, "lock", err))
        return err->code;
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->lock < 0)
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", path, strerror(errno));
    if (flock(f->lock, LOCK_EX | LOCK_NB))
        return mk_error_set(err, MK_EIO, "%s: another %s works on this run", f->path, command);
    return 0;
}

/* The next line of a recipe that is not the number of threads; false: there is none. */
static bool next_line(const char **at, const char *end, const char **line, size_t *n)
{
    static const char threads[] = "threads:";

    while (*at < end) {
        const char *feed = memchr(*at, '\n', (size_t)(end - *at));

        *line = *at;
        *n = (size_t)((feed ? feed : end) - *at);
        *at = feed ? feed + 1 : end;
        if (*n < sizeof threads - 1 || memcmp(*line, threads, sizeof threads - 1))
            return true;
    }
    return false;
}

bool run_folder_same_recipe(const char *a, size_t n_a, const char *b, size_t n_b)
{
    const char *end_a = a + n_a, *end_b = b + n_b, *line_a = a, *line_b = b;
    bool more_a, more_b;
    size_t n = 0, m = 0;

    for (;;) {
        more_a = next_line(&a, end_a, &line_a, &n);
        more_b = next_line(&b, end_b, &line_b, &m);
        if (!more_a || !more_b)
            return more_a == more_b;
        if (n != m || memcmp(line_a, line_b, n))
            return false;
    }
}

static int write_recipe(const struct run_folder *f, struct mk_error *err)
{
    char path[RUN_PATH];

    if (run_folder_path(f, path, "recipe.yaml", err))
        return err->code;
    return write_file(path, f->recipe.data, f->recipe.n, err);
}

/* A run that goes on with other values: what they were is kept, once for each checkpoint, since
 * what was tried behind it is cut away. */
static int change_recipe(const struct run_folder *f, struct mk_error *err)
{
    char path[RUN_PATH], old[RUN_PATH], name[64];
    struct map_file m;
    bool same;
    int code;

    snprintf(name, sizeof name, "recipe.to-step-%06" PRId64 ".yaml", f->step);
    if (run_folder_path(f, path, "recipe.yaml", err) || run_folder_path(f, old, name, err))
        return err->code;
    code = map_file_open(&m, path, err);
    if (code)
        return code == MK_ENOTFOUND ? write_recipe(f, err) : code;
    same = run_folder_same_recipe(f->recipe.data, f->recipe.n, (const char *)m.data, m.bytes);
    map_file_close(&m);
    if (same)
        return 0;
    if (access(old, F_OK) && rename(path, old))
        return mk_error_set(err, MK_EIO, "%s: cannot be named %s: %s", path, old, strerror(errno));
    return write_recipe(f, err);
}

static int open_metrics(struct run_folder *f, const char *name, struct metrics *m,
                        struct mk_error *err)
{
    char path[RUN_PATH];

    if (run_folder_path(f, path, name, err))
        return err->code;
    if (f->resume && f->step == 0) /* it never came to a checkpoint */
        unlink(path);
    return metrics_open(m, path, f->step, err);
}

int run_folder_start(struct run_folder *f, struct mk_error *err)
{
    if (f->step && change_recipe(f, err))
        return err->code;
    if (open_metrics(f, "metrics.jsonl", &f->metrics, err))
        return err->code;
    return open_metrics(f, "timing.jsonl", &f->timing, err);
}

static int begin(struct run_folder *f, const char *command, struct mk_error *err)
{
    static const char *const parts[] = {".", "checkpoints", "samples", "tokenizer"};
    char checkpoints[RUN_PATH], samples[RUN_PATH], metrics[RUN_PATH], part[RUN_PATH];
    int64_t last;

    if (run_folder_path(f, checkpoints, "checkpoints", err) ||
        run_folder_path(f, samples, "samples", err) ||
        run_folder_path(f, metrics, "metrics.jsonl", err))
        return err->code;
    if (!f->resume && access(metrics, F_OK) == 0)
        return mk_error_set(err, MK_EINVAL,
                            "%s: there is a run already: --resume goes on with it, --set out=DIR "
                            "begins another",
                            f->path);
    if (folder_make(checkpoints, err) || folder_make(samples, err) || lock(f, command, err))
        return err->code;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (run_folder_path(f, part, parts[i], err))
            return err->code;
        folder_remove_parts(part);
    }
    last = f->resume ? folder_last_step(checkpoints, INT64_MAX) : -1;
    f->step = last > 0 ? last : 0;
    return f->step ? 0 : write_recipe(f, err);
}

int run_folder_open(struct run_folder *f, const char *path, const char *command, bool resume,
                    const struct buf *recipe, struct mk_error *err)
{
    *f = (struct run_folder){.lock = -1, .resume = resume};
    if (snprintf(f->path, sizeof f->path, "%s", path) >= RUN_PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", path);
    buf_init(&f->recipe, recipe->n + 1);
    if (buf_append(&f->recipe, recipe->data, recipe->n, err) || begin(f, command, err)) {
        run_folder_close(f);
        return err->code;
    }
    return 0;
}

void run_folder_close(struct run_folder *f)
{
    metrics_close(&f->metrics);
    metrics_close(&f->timing);
    buf_release(&f->recipe);
    if (f->lock >= 0)
        close(f->lock);
    f->lock = -1;
}

int run_folder_sync(struct run_folder *f, struct mk_error *err)
{
    return metrics_sync(&f->metrics, err) ? err->code : metrics_sync(&f->timing, err);
}

int run_folder_explain(const struct run_folder *f, int64_t last_saved, struct mk_error *err)
{
    if (last_saved > 0)
        return mk_error_wrap(err, "the last checkpoint is %s/checkpoints/step-%06" PRId64, f->path,
                             last_saved);
    return err->code;
}

/* The step of the last whole checkpoint before f->step; 0: there is none. */
static int64_t step_before(const struct run_folder *f)
{
    char dir[RUN_PATH];
    struct mk_error err;
    int64_t step;

    if (run_folder_path(f, dir, "checkpoints", &err))
        return 0;
    step = folder_last_step(dir, f->step);
    return step > 0 ? step : 0;
}

int run_folder_say_earlier(const struct run_folder *f, const char *from, struct mk_error *err)
{
    int64_t before = step_before(f);

    if (!before || !strstr(err->text, from))
        return err->code;
    return mk_error_wrap(err, "remove %s to go on after step %" PRId64, from, before);
}

#define RECIPE_SHOWN ((size_t)64 << 10)

int run_folder_recipe(char **text, const char *folder, struct mk_error *err)
{
    struct map_file m;
    char path[RUN_PATH];

    *text = NULL;
    if (snprintf(path, RUN_PATH, "%s/recipe.yaml", folder) >= RUN_PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    if (access(path, F_OK))
        return 0;
    if (map_file_open(&m, path, err))
        return err->code;
    *text = strndup(m.bytes ? (const char *)m.data : "",
                    m.bytes < RECIPE_SHOWN ? m.bytes : RECIPE_SHOWN);
    map_file_close(&m);
    return *text ? 0 : mk_error_memory(err, RECIPE_SHOWN);
}
