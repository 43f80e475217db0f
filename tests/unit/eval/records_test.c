/* records_test.c: lines survive what may happen to an evaluation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "eval/records.h"
#include "support/text_file.h"

#define DIR "build"
#define NAME "records_test"
#define PATH DIR "/" NAME ".jsonl"

static int add_up(void *user, int64_t id, const json_t *line, struct mk_error *err)
{
    int64_t *sum = user;

    (void)id;
    (void)err;
    *sum += json_integer_value(json_object_get(line, "x"));
    return 0;
}

static void go_on(const char *before, int64_t sum_before, const char *after)
{
    struct records r;
    struct mk_error err;
    int64_t sum = 0;

    text_file_write(PATH, before);
    if (records_open(&r, DIR, NAME, add_up, &sum, &err))
        fail_msg("%s", err.text);
    assert_int_equal(sum, sum_before);
    assert_int_equal(records_append(&r, json_pack("{s:i}", "x", 9), &err), 0);
    assert_int_equal(records_sync(&r, &err), 0);
    records_close(&r);
    text_file_expect(PATH, after);
}

static void half_a_line_is_cut_and_whole_ones_are_kept(void **state)
{
    (void)state;
    go_on("", 0, "{\"id\":0,\"x\":9}\n");
    go_on("{\"id\":0,\"x\":5}\n", 5, "{\"id\":0,\"x\":5}\n{\"id\":1,\"x\":9}\n");
    go_on("{\"id\":0,\"x\":5}\n{\"id\":1,\"x\":7}", 5, "{\"id\":0,\"x\":5}\n{\"id\":1,\"x\":9}\n");
    go_on("{\"id\":0,\"x\":5}\n{\"i", 5, "{\"id\":0,\"x\":5}\n{\"id\":1,\"x\":9}\n");
}

static void refuse(const char *text, const char *word)
{
    struct records r;
    struct mk_error err;

    text_file_write(PATH, text);
    assert_int_equal(records_open(&r, DIR, NAME, NULL, NULL, &err), MK_EFORMAT);
    if (!strstr(err.text, PATH) || !strstr(err.text, word))
        fail_msg("%s", err.text);
    text_file_expect(PATH, text);
}

static void damage_is_named_and_left_as_it_is(void **state)
{
    (void)state;
    refuse("{\"id\":0}\nnonsense\n", "line 2");
    refuse("{\"id\":0}\n{\"id\":0}\n", "line 2");
    refuse("{\"x\":0}\n", "line 1");
}

static void one_writes_at_a_time(void **state)
{
    struct records a, b;
    struct mk_error err;

    (void)state;
    text_file_write(PATH, "");
    assert_int_equal(records_open(&a, DIR, NAME, NULL, NULL, &err), 0);
    assert_int_equal(records_open(&b, DIR, NAME, NULL, NULL, &err), MK_EIO);
    assert_non_null(strstr(err.text, "another evaluation"));
    records_close(&a);
    assert_int_equal(records_open(&b, DIR, NAME, NULL, NULL, &err), 0);
    records_close(&b);
    unlink(PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_a_line_is_cut_and_whole_ones_are_kept),
        cmocka_unit_test(damage_is_named_and_left_as_it_is),
        cmocka_unit_test(one_writes_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
