/* chat_screen_test.c: thought and answer stand apart, with escape codes and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/chat_screen.h"

/* pieces: a thought's begin with '~'; ends with NULL. */
static void shows(const char *const *pieces, bool ansi, const char *expected)
{
    FILE *out = tmpfile();
    struct chat_screen s;
    char seen[256];
    size_t n;

    assert_non_null(out);
    chat_screen_begin(&s, out, ansi);
    for (; *pieces; pieces++)
        if (**pieces == '~')
            chat_screen_thought(&s, *pieces + 1);
        else
            chat_screen_answer(&s, *pieces);
    chat_screen_end(&s);
    rewind(out);
    n = fread(seen, 1, sizeof seen - 1, out);
    seen[n] = 0;
    fclose(out);
    assert_string_equal(seen, expected);
}

static void a_thought_is_dim_on_a_terminal(void **state)
{
    const char *const pieces[] = {"~", "~two ", "~and two", "", "four", "", NULL};

    (void)state;
    shows(pieces, true, "\x1b[2mtwo and two\n\x1b[0m\nfour\n");
}

static void words_mark_a_thought_in_a_pipe(void **state)
{
    const char *const pieces[] = {"~two and two", "four\n", NULL};

    (void)state;
    shows(pieces, false, "[thought]\ntwo and two\n[answer]\nfour\n");
}

static void an_answer_alone_is_shown_as_it_is(void **state)
{
    const char *const pieces[] = {"fo", "ur", NULL};

    (void)state;
    shows(pieces, true, "four\n");
    shows(pieces, false, "four\n");
}

static void a_stopped_thought_leaves_normal_letters(void **state)
{
    const char *const pieces[] = {"~two", NULL}, *const none[] = {NULL};

    (void)state;
    shows(pieces, true, "\x1b[2mtwo\n\x1b[0m");
    shows(none, true, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thought_is_dim_on_a_terminal),
        cmocka_unit_test(words_mark_a_thought_in_a_pipe),
        cmocka_unit_test(an_answer_alone_is_shown_as_it_is),
        cmocka_unit_test(a_stopped_thought_leaves_normal_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
