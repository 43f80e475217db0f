/* progress_test.c: the line of the progress bar, whatever the numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "cli/progress.h"

static void bytes_are_shown_with_a_unit(void **state)
{
    char text[16];

    (void)state;
    progress_bytes(text, 999);
    assert_string_equal(text, "999 B");
    progress_bytes(text, 999999);
    assert_string_equal(text, "1.0 MB");
    progress_bytes(text, 98362432);
    assert_string_equal(text, "98.4 MB");
    progress_bytes(text, 690000000000);
    assert_string_equal(text, "690 GB");
    progress_bytes(text, UINT64_MAX);
    assert_string_equal(text, "18.4 EB");
}

static void half_of_it_fills_half_of_the_bar_and_tells_the_time_left(void **state)
{
    char line[PROGRESS_COLUMNS + 1];

    (void)state;
    progress_format(line, "fetching x", 0, 50000000, 100000000, 90000);
    assert_non_null(strstr(line, "[##########..........]  50%"));
    assert_non_null(strstr(line, "1:30 left"));
}

/* 40 MB were there; the 10 MB since took 10 s, so the last 50 MB take 50 s. */
static void a_resumed_transfer_is_timed_by_what_came_since(void **state)
{
    char line[PROGRESS_COLUMNS + 1];

    (void)state;
    progress_format(line, "fetching x", 40000000, 50000000, 100000000, 10000);
    assert_non_null(strstr(line, "0:50 left"));
}

static void a_line_is_never_wider_than_a_terminal(void **state)
{
    char line[PROGRESS_COLUMNS + 1], what[300];

    (void)state;
    memset(what, 'w', sizeof what - 1);
    what[sizeof what - 1] = 0;
    progress_format(line, what, 0, 1, UINT64_MAX, 1e12);
    assert_true(strlen(line) <= PROGRESS_COLUMNS);
    progress_format(line, what, 0, UINT64_MAX, 1, 1e12);
    assert_true(strlen(line) <= PROGRESS_COLUMNS);
    assert_non_null(strstr(line, "100%"));
    progress_format(line, what, 0, UINT64_MAX, 0, 0);
    assert_true(strlen(line) <= PROGRESS_COLUMNS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_shown_with_a_unit),
        cmocka_unit_test(half_of_it_fills_half_of_the_bar_and_tells_the_time_left),
        cmocka_unit_test(a_resumed_transfer_is_timed_by_what_came_since),
        cmocka_unit_test(a_line_is_never_wider_than_a_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
