/* suite_test.c: lists of suites, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "eval/suite.h"

static void a_list_names_files_tasks_and_levels(void **state)
{
    struct suites s = {.n = 0};
    struct mk_error err;

    (void)state;
    assert_int_equal(suites_add(&s, "gsm8k:a.jsonl,parity:3,mmlu:m:n,text:t,parity", &err), 0);
    assert_int_equal(suites_add(&s, "gsm8k:b.jsonl", &err), 0);
    assert_int_equal(s.n, 6);
    assert_string_equal(s.items[0].task, "gsm8k:a.jsonl");
    assert_string_equal(s.items[1].name, "parity-3");
    assert_int_equal(s.items[1].level, 3);
    assert_true(suite_is_built_in(&s.items[1]));
    assert_string_equal(s.items[2].task, "mmlu:m:n");
    assert_int_equal(s.items[2].kind->way, SUITE_CHOICES);
    assert_string_equal(s.items[3].task, "t");
    assert_int_equal(s.items[4].level, -1);
    assert_string_equal(s.items[5].name, "gsm8k-2"); /* files of their own */
    suites_release(&s);
}

static void all_tasks_are_all_that_have_a_name(void **state)
{
    struct suites s = {.n = 0};
    struct mk_error err;
    int32_t n = 0;

    (void)state;
    assert_int_equal(suites_add(&s, "tasks:all", &err), 0);
    while (strcmp(suite_name_at(n), "tasks") != 0)
        n++;
    for (int32_t i = 0; i < s.n; i++)
        assert_string_equal(s.items[i].name, suite_name_at(n + 1 + i));
    assert_null(suite_name_at(n + 1 + s.n));
    suites_release(&s);
}

static void expect(const char *list, int code, const char *word)
{
    struct suites s = {.n = 0};
    struct mk_error err;

    assert_int_equal(suites_add(&s, list, &err), code);
    if (!strstr(err.text, word))
        fail_msg("%s: %s", list, err.text);
    suites_release(&s);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    expect("gsm9k:f", MK_ENOTFOUND, "gsm9k");
    expect("gsm8k", MK_ENOTFOUND, "openai/grade-school-math");
    expect("mmlu:", MK_ENOTFOUND, "mmlu:FILE");
    expect("parity:99", MK_EINVAL, "0 to 7");
    expect("parity:x", MK_EINVAL, "0 to 7");
    expect("tasks", MK_ENOTFOUND, "tasks:all");
    expect("parity,,parity", MK_EINVAL, "without a name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_names_files_tasks_and_levels),
        cmocka_unit_test(all_tasks_are_all_that_have_a_name),
        cmocka_unit_test(mistakes_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
