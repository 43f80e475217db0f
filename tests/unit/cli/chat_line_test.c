/* chat_line_test.c: what is a command, what is said, and where the argument lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "cli/chat_line.h"

static void reads(const char *typed, enum chat_verb verb, const char *argument)
{
    char line[128];
    struct chat_line l;

    snprintf(line, sizeof line, "%s", typed);
    l = chat_line_read(line);
    if (l.verb != verb || strcmp(l.argument, argument))
        fail_msg("'%s' is verb %d with '%s', expected %d with '%s'", typed, (int)l.verb, l.argument,
                 (int)verb, argument);
}

static void text_without_a_slash_is_said(void **state)
{
    (void)state;
    reads("hello", CHAT_SAY, "hello");
    reads("  two\nlines \n", CHAT_SAY, "two\nlines");
    reads("1/2 /help", CHAT_SAY, "1/2 /help");
    reads("//help", CHAT_SAY, "/help");
    reads("//", CHAT_SAY, "/");
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    reads("", CHAT_NOTHING, "");
    reads(" \t\r\n", CHAT_NOTHING, "");
}

static void commands_take_their_arguments(void **state)
{
    (void)state;
    reads("/help", CHAT_HELP, "");
    reads("/quit \n", CHAT_QUIT, "");
    reads("/reset", CHAT_RESET, "");
    reads("/think on", CHAT_THINK, "on");
    reads("/save   a file.json ", CHAT_SAVE, "a file.json");
    reads("/system You are\na poet.", CHAT_SYSTEM, "You are\na poet.");
    reads("/system", CHAT_SYSTEM, "");
}

static void other_words_after_a_slash_are_unknown(void **state)
{
    (void)state;
    reads("/", CHAT_UNKNOWN, "");
    reads("/hel", CHAT_UNKNOWN, "hel");
    reads("/etc/passwd is a file", CHAT_UNKNOWN, "etc/passwd");
    reads("/ help", CHAT_UNKNOWN, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_without_a_slash_is_said),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(commands_take_their_arguments),
        cmocka_unit_test(other_words_after_a_slash_are_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
