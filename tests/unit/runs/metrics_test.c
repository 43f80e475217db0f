/* metrics_test.c: lines survive what may happen to a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "runs/metrics.h"
#include "support/text_file.h"

#define PATH "build/metrics_test.jsonl"

static void resume(const char *before, int64_t step, const char *after)
{
    struct metrics m;
    struct mk_error err;

    text_file_write(PATH, before);
    if (metrics_open(&m, PATH, step, &err))
        fail_msg("%s", err.text);
    assert_int_equal(metrics_append(&m, "{\"step\":9}", &err), 0);
    metrics_close(&m);
    text_file_expect(PATH, after);
}

static void a_new_run_does_not_write_over_an_old_one(void **state)
{
    struct metrics m;
    struct mk_error err;

    (void)state;
    text_file_write(PATH, "{\"step\":1}\n");
    assert_int_equal(metrics_open(&m, PATH, 0, &err), MK_EIO);
    assert_non_null(strstr(err.text, PATH));
    text_file_expect(PATH, "{\"step\":1}\n");
    unlink(PATH);
    assert_int_equal(metrics_open(&m, PATH, 0, &err), 0);
    metrics_close(&m);
}

static void lines_behind_the_checkpoint_are_cut(void **state)
{
    (void)state;
    resume("{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n", 2,
           "{\"step\":1}\n{\"step\":2}\n{\"step\":9}\n");
}

static void half_a_line_is_cut(void **state)
{
    (void)state;
    resume("{\"step\":1}\n{\"step\":2", 5, "{\"step\":1}\n{\"step\":9}\n");
    resume("{\"step\":1}\n{\"st\n{\"step\":2}\n", 5, "{\"step\":1}\n{\"step\":9}\n");
}

static void a_file_that_is_gone_begins_anew(void **state)
{
    struct metrics m;
    struct mk_error err;

    (void)state;
    unlink(PATH);
    assert_int_equal(metrics_open(&m, PATH, 7, &err), 0);
    assert_int_equal(metrics_sync(&m, &err), 0);
    metrics_close(&m);
    text_file_expect(PATH, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_run_does_not_write_over_an_old_one),
        cmocka_unit_test(lines_behind_the_checkpoint_are_cut),
        cmocka_unit_test(half_a_line_is_cut),
        cmocka_unit_test(a_file_that_is_gone_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
