/* pipeline_folder_test.c: which stages are done is on the disk, and read with care. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/map_file.h"
#include "runs/pipeline_folder.h"

static void a_folder_is_begun_once_and_gone_on_with(void **state)
{
    char dir[] = "/tmp/minke-pipeline-XXXXXX", path[64], file[160];
    struct pipeline_folder f, other;
    struct map_file m;
    struct mk_error err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a/b", dir);
    assert_int_equal(pipeline_folder_open(&f, path, false, "x", 1, &err), 0);
    assert_int_equal(pipeline_folder_open(&other, path, true, "y", 1, &err), MK_EIO);
    assert_non_null(strstr(err.text, "another"));
    pipeline_folder_close(&f);
    assert_int_equal(pipeline_folder_open(&f, path, false, "y", 1, &err), MK_EINVAL);
    snprintf(file, sizeof file, "%s/pipeline.yaml.77.part", path);
    assert_int_equal(write_file(file, "z", 1, &err), 0);
    assert_int_equal(pipeline_folder_open(&f, path, true, "yy", 2, &err), 0);
    assert_int_not_equal(access(file, F_OK), 0);
    snprintf(file, sizeof file, "%s/pipeline.yaml", path);
    assert_int_equal(map_file_open(&m, file, &err), 0);
    assert_true(m.bytes == 2 && !memcmp(m.data, "yy", 2));
    map_file_close(&m);
    pipeline_folder_close(&f);
    folder_remove(dir);
}

static void a_result_is_there_or_said_to_be_gone(void **state)
{
    static const char *const bad[] = {"", "{}", "{\"result\": 3}", "{\"result\": \"/etc/passwd\"}",
                                      "{\"result\": \"../x\"}", "{\"result\": \"\"}"};
    char dir[] = "/tmp/minke-pipeline-XXXXXX", path[RUN_PATH];
    struct buf recipe = {.data = "a: b\n", .n = 5};
    struct pipeline_folder f;
    struct mk_error err;
    bool done = true;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pipeline_folder_open(&f, dir, false, "x", 1, &err), 0);
    assert_int_equal(pipeline_folder_result(&f, "s", &done, path, &err), 0);
    assert_false(done);
    assert_int_equal(pipeline_folder_stage(&f, "s", &recipe, &err), 0);
    assert_int_equal(pipeline_folder_finish(&f, "s", "recipe.yaml", &err), 0);
    assert_int_equal(pipeline_folder_result(&f, "s", &done, path, &err), 0);
    assert_true(done && strstr(path, "/s/recipe.yaml") && *path == '/');
    assert_int_equal(pipeline_folder_finish(&f, "s", "gone", &err), 0);
    assert_int_equal(pipeline_folder_result(&f, "s", &done, path, &err), MK_ENOTFOUND);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pipeline_folder_path(&f, path, "s", "result.json", &err), 0);
        assert_int_equal(write_file(path, bad[i], strlen(bad[i]), &err), 0);
        assert_int_equal(pipeline_folder_result(&f, "s", &done, path, &err), MK_EFORMAT);
        assert_false(done);
    }
    pipeline_folder_close(&f);
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_begun_once_and_gone_on_with),
        cmocka_unit_test(a_result_is_there_or_said_to_be_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
