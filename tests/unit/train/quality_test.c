/* quality_test.c: each filter drops what it is for and says so; ordinary text of several kinds
 * stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map_file.h"
#include "train/quality.h"

static enum quality judge(const struct quality_options *o, const char *text, size_t n)
{
    struct quality_report r = {{0}, {0}};
    struct mk_error err = {0};
    enum quality q;

    assert_int_equal(quality_check(o, text, n, &q, &r, &err), 0);
    assert_int_equal(r.n[q], 1);
    assert_int_equal(r.n_bytes[q], n);
    return q;
}

/* `text` over and over. */
static enum quality judge_times(const char *text, int times)
{
    struct quality_options o = quality_defaults();
    struct mk_error err = {0};
    struct buf b;
    enum quality q;

    buf_init(&b, 1 << 20);
    for (int i = 0; i < times; i++)
        assert_int_equal(buf_append_string(&b, text, &err), 0);
    q = judge(&o, b.data, b.n);
    buf_release(&b);
    return q;
}

static const char prose[] =
    "It was the best of times, it was the worst of times, it was the age of wisdom,\n"
    "it was the age of foolishness, it was the epoch of belief, it was the season of Light.\n";

static void each_reason_is_found(void **state)
{
    (void)state;
    assert_int_equal(judge_times("short", 1), QUALITY_TOO_SHORT);
    assert_int_equal(judge_times("\377\376 not text at all ", 20), QUALITY_NOT_UTF8);
    assert_int_equal(judge_times("abcdefghijklmnopqrst", 10), QUALITY_FEW_WORDS);
    assert_int_equal(judge_times("abcdefghijklmnopqrstuvwxyzabcdefghijklmno ", 30),
                     QUALITY_LONG_WORDS);
    assert_int_equal(judge_times("12 34 $$ -- == 7 a 8 | 9 ", 10), QUALITY_FEW_LETTERS);
    assert_int_equal(judge_times(prose, 3), QUALITY_REPEATED_LINES);
    assert_int_equal(judge_times("all work and no play makes jack a dull boy ", 9),
                     QUALITY_REPEATED_WORDS);
}

static void ordinary_text_stays(void **state)
{
    /* A Tang poem and a sentence: no white space, each character a word. */
    static const char chinese[] =
        "\345\272\212\345\211\215\346\230\216\346\234\210\345\205\211\357\274\214\347\226\221\346"
        "\230\257\345\234\260\344\270\212\351\234\234\343\200\202\344\270\276\345\244\264\346\234"
        "\233\346\230\216\346\234\210\357\274\214\344\275\216\345\244\264\346\200\235\346\225\205"
        "\344\271\241\343\200\202\345\244\251\346\260\224\345\276\210\345\245\275\346\210\221\344"
        "\273\254\345\216\273\345\205\254\345\233\255\343\200\202";
    static const char code[] =
        "static int add(struct list *list, int value)\n{\n    struct node *node = malloc(sizeof "
        "*node);\n\n    if (!node)\n        return -1;\n    node->value = value;\n    node->next = "
        "list->first;\n    list->first = node;\n    return 0;\n}\n";
    struct quality_options o = quality_defaults();
    struct mk_error err = {0};
    struct map_file m;

    (void)state;
    assert_int_equal(judge(&o, prose, sizeof prose - 1), QUALITY_KEEP);
    assert_int_equal(judge(&o, chinese, sizeof chinese - 1), QUALITY_KEEP);
    assert_int_equal(judge(&o, code, sizeof code - 1), QUALITY_KEEP);
    assert_int_equal(map_file_open(&m, "tests/golden/text/shakespeare.txt", &err), 0);
    assert_int_equal(judge(&o, (const char *)m.data, m.bytes), QUALITY_KEEP);
    map_file_close(&m);
}

static void a_limit_of_zero_is_off(void **state)
{
    struct quality_options o = {0};

    (void)state;
    assert_int_equal(judge(&o, "", 0), QUALITY_KEEP);
    assert_int_equal(judge(&o, "$ $ $ $ $ $ $ $", 15), QUALITY_KEEP);
    o.max_bytes = 10;
    assert_int_equal(judge(&o, "$ $ $ $ $ $ $ $", 15), QUALITY_TOO_LONG);
}

static void every_reason_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = 0; a < QUALITY_N; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(quality_name((enum quality)a), quality_name((enum quality)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reason_is_found),
        cmocka_unit_test(ordinary_text_stays),
        cmocka_unit_test(a_limit_of_zero_is_off),
        cmocka_unit_test(every_reason_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
