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

static void open_run(struct run_folder *f, char dir[], bool resume)
{
    struct buf recipe = {.data = "a: b\n", .n = 5};
    struct mk_error err;

    if (run_folder_open(f, dir, "minke train", resume, &recipe, &err))
        fail_msg("%s", err.text);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_checkpoints_are_kept),
        cmocka_unit_test(what_cannot_be_removed_stops_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
