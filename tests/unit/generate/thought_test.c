/* thought_test.c: thought and answer are told apart however the text is cut into pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "generate/thought.h"

struct example {
    const char *text;
    bool in_thought;
    const char *reasoning, *answer;
};
static const struct example examples[] = {
    {"<think>\nTwo and two.\n</think>\n\nFour.", false, "Two and two.", "Four."},
    {"Two and two.\n</think>\n\nFour.", true, "Two and two.", "Four."},
    {"\nTwo\n\nand two.</think>Four.\n\nReally.", true, "Two\n\nand two.", "Four.\n\nReally."},
    {"Four.", false, "", "Four."},
    {"  Four <think> not </think>", false, "", "  Four <think> not </think>"},
    {" \n<think></think>\nFour.", false, "", "Four."},
    {"<think>a < b </thin </think> c", false, "a < b </thin ", " c"},
    {"never closed\n", true, "never closed\n", ""},
    {"<thin", false, "", "<thin"},
    {"a</think>b</think>c", true, "a", "b</think>c"},
    {"", false, "", ""},
};

static void check(const struct example *e, uint64_t seed)
{
    struct buf reasoning, answer;
    struct mk_error err;
    struct thought t;
    size_t n = strlen(e->text), at = 0;

    buf_init(&reasoning, 1000);
    buf_init(&answer, 1000);
    assert_int_equal(buf_append(&reasoning, "", 0, &err) | buf_append(&answer, "", 0, &err), 0);
    thought_init(&t, true, e->in_thought);
    for (uint64_t p = 0; at < n; p++) {
        size_t piece = (size_t)(rng_uniform(3, seed, p) * 6);

        if (piece > n - at)
            piece = n - at;
        assert_int_equal(thought_push(&t, e->text + at, piece, &reasoning, &answer, &err), 0);
        at += piece;
    }
    assert_int_equal(thought_finish(&t, &reasoning, &answer, &err), 0);
    assert_string_equal(reasoning.n ? reasoning.data : "", e->reasoning);
    assert_string_equal(answer.n ? answer.data : "", e->answer);
    thought_release(&t);
    buf_release(&reasoning);
    buf_release(&answer);
}

static void any_cutting_gives_the_same_two_sides(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        for (uint64_t seed = 0; seed < 200; seed++)
            check(&examples[i], seed);
}

static void switched_off_everything_is_answer(void **state)
{
    static const char text[] = "\n<think>x</think>";
    struct buf reasoning, answer;
    struct mk_error err;
    struct thought t;

    (void)state;
    buf_init(&reasoning, 100);
    buf_init(&answer, 100);
    thought_init(&t, false, false);
    assert_int_equal(thought_push(&t, text, strlen(text), &reasoning, &answer, &err), 0);
    assert_string_equal(answer.data, text);
    assert_int_equal(reasoning.n, 0);
    thought_release(&t);
    buf_release(&reasoning);
    buf_release(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cutting_gives_the_same_two_sides),
        cmocka_unit_test(switched_off_everything_is_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
