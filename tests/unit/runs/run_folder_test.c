/* run_folder_test.c: which checkpoints a run keeps, whatever else lies among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/map_file.h"
#include "runs/run_folder.h"

#define PATIENCE 20 /* seconds, for what must not go on for ever */

static void open_with(struct run_folder *f, char dir[], bool resume, char *text)
{
    struct buf recipe = {.data = text, .n = strlen(text)};
    struct mk_error err;

    if (run_folder_open(f, dir, "minke train", resume, &recipe, &err) || run_folder_start(f, &err))
        fail_msg("%s", err.text);
}

static void open_run(struct run_folder *f, char dir[], bool resume)
{
    open_with(f, dir, resume, "a: b\n");
}

static void path_of(const struct run_folder *f, char out[RUN_PATH], const char *name,
                    const char *file)
{
    char inside[100];
    struct mk_error err;

    snprintf(inside, sizeof inside, "checkpoints/%s/%s", name, file);
    assert_int_equal(run_folder_path(f, out, inside, &err), 0);
}

static void make_checkpoint(const struct run_folder *f, const char *name)
{
    char path[RUN_PATH];
    struct mk_error err;

    path_of(f, path, name, "");
    assert_int_equal(mkdir(path, 0777), 0);
    path_of(f, path, name, "weights");
    assert_int_equal(write_file(path, "w", 1, &err), 0);
}

static bool is_there(const struct run_folder *f, const char *name, const char *file)
{
    char path[RUN_PATH];

    path_of(f, path, name, file);
    return access(path, F_OK) == 0;
}

static void the_last_checkpoints_are_kept(void **state)
{
    char dir[] = "/tmp/minke-run-XXXXXX";
    struct run_folder f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    open_run(&f, dir, false);
    make_checkpoint(&f, "step-000009");
    make_checkpoint(&f, "step-000010");
    make_checkpoint(&f, "step-1000000");
    run_folder_prune(&f, 2);
    assert_false(is_there(&f, "step-000009", ""));
    assert_true(is_there(&f, "step-000010", "") && is_there(&f, "step-1000000", ""));
    run_folder_close(&f);
    open_run(&f, dir, true);
    assert_int_equal(f.step, 1000000);
    run_folder_close(&f);
    folder_remove(dir);
}

/* A file manager's .DS_Store, a copy under a shorter name: neither is ours to remove, and the run
 * goes on. */
static void what_cannot_be_removed_stops_nothing(void **state)
{
    char dir[] = "/tmp/minke-run-XXXXXX", path[64];
    struct run_folder f;
    struct mk_error err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    open_run(&f, dir, false);
    make_checkpoint(&f, "step-000001");
    make_checkpoint(&f, "step-2");
    make_checkpoint(&f, "step-000003");
    make_checkpoint(&f, "step-000004");
    snprintf(path, sizeof path, "%s/checkpoints/step-000001/.DS_Store", dir);
    assert_int_equal(write_file(path, "x", 1, &err), 0);
    alarm(PATIENCE);
    run_folder_prune(&f, 1);
    alarm(0);
    assert_true(is_there(&f, "step-000001", ".DS_Store") && is_there(&f, "step-2", "weights"));
    assert_false(is_there(&f, "step-000001", "weights") || is_there(&f, "step-000003", ""));
    assert_true(is_there(&f, "step-000004", ""));
    run_folder_close(&f);
    assert_int_equal(remove(path), 0);
    folder_remove(dir);
}

static void assert_holds(const char *dir, const char *name, const char *text)
{
    char path[128];
    struct map_file m;
    struct mk_error err;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (map_file_open(&m, path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(m.bytes, strlen(text));
    assert_memory_equal(m.data, text, m.bytes);
    map_file_close(&m);
}

/* recipe.yaml says what the run does now; what it did before is not lost. */
static void a_resume_with_other_values_is_on_record(void **state)
{
    char dir[] = "/tmp/minke-run-XXXXXX", path[128];
    struct run_folder f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/recipe.to-step-000004.yaml", dir);
    open_with(&f, dir, false, "lr: 1\n");
    run_folder_close(&f);
    open_with(&f, dir, true, "lr: 2\n"); /* nothing is learned yet */
    make_checkpoint(&f, "step-000004");
    run_folder_close(&f);
    open_with(&f, dir, true, "threads: 3\nlr: 2\n"); /* changes no number */
    run_folder_close(&f);
    assert_int_not_equal(access(path, F_OK), 0);
    for (int i = 0; i < 2; i++) { /* a value that was tried and given up before a checkpoint */
        open_with(&f, dir, true, i ? "lr: 4\n" : "lr: 3\n");
        run_folder_close(&f);
    }
    assert_holds(dir, "recipe.yaml", "lr: 4\n");
    assert_holds(dir, "recipe.to-step-000004.yaml", "lr: 2\n");
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_checkpoints_are_kept),
        cmocka_unit_test(a_resume_with_other_values_is_on_record),
        cmocka_unit_test(what_cannot_be_removed_stops_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
