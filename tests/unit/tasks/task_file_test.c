/* task_file_test.c: questions of files: every kind is read, every bad line named or counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map_file.h"
#include "tasks/task.h"

static int setup(void **state)
{
    char *dir = strdup("/tmp/minke-task-file-XXXXXX");

    *state = dir;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char path[128];

    snprintf(path, sizeof path, "%s/q.jsonl", (char *)*state);
    remove(path);
    rmdir(*state);
    free(*state);
    return 0;
}

/* The file's lines as a task of the kind; returns its status. */
static int open_lines(void **state, const char *kind, const char *lines, bool skip_bad,
                      struct task **t, struct mk_error *err)
{
    char path[128], name[192];

    snprintf(path, sizeof path, "%s/q.jsonl", (char *)*state);
    assert_int_equal(write_file(path, lines, strlen(lines), err), 0);
    snprintf(name, sizeof name, "%s:%s", kind, path);
    return task_open_skipping(t, name, skip_bad, err);
}

static struct task_item draw(const struct task *t, enum task_split split, uint64_t seed,
                             int64_t index)
{
    struct task_item item;
    struct mk_error err;

    if (task_draw(t, split, 0, seed, index, &item, &err))
        fail_msg("%s", err.text);
    return item;
}

static bool is_right(const struct task *t, const struct task_item *item, const char *response)
{
    struct task_verdict v;

    task_check(t, item, response, strlen(response), &v);
    return v.correct;
}

static void gsm8k_has_its_reference_behind_the_marks(void **state)
{
    struct mk_error err;
    struct task_item item;
    struct task *t;
    struct buf b;

    assert_int_equal(open_lines(state, "gsm8k",
                                "{\"question\": \"Eggs?\", \"answer\": \"She has 3*4=<<3*4=12>>12 "
                                "eggs.\\n#### 12\"}\n", false, &t, &err), 0);
    item = draw(t, TASK_ALL, 0, 0);
    assert_string_equal(item.question, "Eggs?");
    assert_string_equal(item.answer, "12");
    assert_true(is_right(t, &item, "<think>so</think><answer>12</answer>"));
    assert_true(is_right(t, &item, "<think>so</think>12"));
    assert_true(is_right(t, &item, "12\n"));
    assert_true(is_right(t, &item, "<answer>$12.00</answer>")); /* the same, spelled otherwise */
    assert_true(is_right(t, &item, "So she has 3*4 = 12 eggs.\n#### 12"));
    assert_false(is_right(t, &item, "<think>12</think>"));
    assert_false(is_right(t, &item, "<answer>13</answer>"));
    buf_init(&b, 4096);
    assert_int_equal(task_write_trace(t, &item, TASK_TRACE_SCRATCHPAD, 0, &b, &err), 0);
    assert_string_equal(b.data, "<think>She has 3*4=12 eggs.</think><answer>12</answer>");
    assert_string_equal(task_worked(t, &item), "She has 3*4=<<3*4=12>>12 eggs.\n#### 12");
    buf_release(&b);
    task_item_release(&item);
    task_close(t);
}

static void choices_stand_below_their_question(void **state)
{
    struct mk_error err;
    struct task_item item;
    struct task *t;

    assert_int_equal(open_lines(state, "mmlu",
                                "{\"question\":\" Which?\\n\",\"choices\":[\"one\",\"two\",3],"
                                "\"answer\":2}\n"
                                "{\"question\":\"Q\",\"A\":\"x\",\"B\":\"y\",\"answer\":\"B\"}\n",
                                false, &t, &err), 0);
    item = draw(t, TASK_ALL, 0, 0);
    assert_string_equal(item.question, "Which?\nA. one\nB. two\nC. 3");
    assert_string_equal(item.answer, "C");
    assert_string_equal(task_worked(t, &item), "C");
    assert_int_equal(item.n_choices, 3);
    assert_string_equal(item.choices[2], "3");
    assert_true(is_right(t, &item, "<answer>C</answer>"));
    assert_true(is_right(t, &item, "The answer is C."));
    assert_false(is_right(t, &item, "<answer>A</answer>"));
    task_item_release(&item);
    item = draw(t, TASK_ALL, 0, 1);
    assert_string_equal(item.question, "Q\nA. x\nB. y");
    assert_string_equal(item.answer, "B");
    task_item_release(&item);
    task_close(t);
}

/* 0.1 is no double: what JSON makes of it must not become the reference. */
static void numbers_are_what_the_file_says(void **state)
{
    static const char *const numbers[] = {"0.1", "3.14", "-2.5", "1.0", "100000.0", "1e-7", "7"};
    enum { N = sizeof numbers / sizeof *numbers };
    char lines[1024], *at = lines;
    struct mk_error err;
    struct task *t;

    for (int i = 0; i < N; i++)
        at += snprintf(at, 96, "{\"question\":\"Q%d\",\"answer\":%s}\n", i, numbers[i]);
    assert_int_equal(open_lines(state, "jsonl", lines, false, &t, &err), 0);
    for (int i = 0; i < N; i++) {
        struct task_item item = draw(t, TASK_ALL, 0, i);

        if (!is_right(t, &item, numbers[i]))
            fail_msg("the reference %s became %s", numbers[i], item.answer);
        task_item_release(&item);
    }
    task_close(t);
}

static void assert_program(const struct task_item *item, const char *response, const char *wanted)
{
    struct mk_error err;
    struct buf b;

    buf_init(&b, 4096);
    assert_int_equal(task_program(item, response, strlen(response), &b, &err), 0);
    assert_string_equal(b.data, wanted);
    buf_release(&b);
}

static void programs_continue_the_prompt_or_stand_alone(void **state)
{
    struct mk_error err;
    struct task_item item;
    struct task *t;

    assert_int_equal(
        open_lines(state, "humaneval",
                   "{\"prompt\":\"import re\\ndef f(x):\\n    '''Twice.'''\\n\",\"entry_point\":"
                   "\"f\",\"test\":\"def check(c):\\n    assert c(1) == 2\","
                   "\"canonical_solution\":\"    return 2*x\\n\"}\n", false, &t, &err), 0);
    item = draw(t, TASK_ALL, 0, 0);
    assert_true(task_is_code(t));
    assert_string_equal(item.tests, "def check(c):\n    assert c(1) == 2\ncheck(f)\n");
    assert_false(is_right(t, &item, "<answer>    return 2*x</answer>")); /* nobody ran it */
    assert_program(&item, "    return x+x",
                   "import re\ndef f(x):\n    '''Twice.'''\n    return x+x\n");
    assert_program(&item, "<think>add</think><answer>    return x+x\n</answer>",
                   "import re\ndef f(x):\n    '''Twice.'''\n    return x+x\n");
    assert_program(&item, "Here:\n```python\ndef f(x):\n    return x+x\n```\nDone.",
                   "import re\ndef f(x):\n    return x+x\n\n");
    assert_program(&item, "", "import re\ndef f(x):\n    '''Twice.'''\n\n");
    task_item_release(&item);
    task_close(t);
}

static void bad_lines_are_named_or_counted(void **state)
{
    static const struct { const char *kind, *line, *says; } cases[] = {
        {"jsonl", "{\"question\":\"a\",\"answer\":", "line 2: "},
        {"jsonl", "[1]", "line 2: not a JSON object"},
        {"jsonl", "{\"answer\":\"a\"}", "line 2: no question"},
        {"jsonl", "{\"question\":7,\"answer\":\"a\"}", "line 2: no question"},
        {"jsonl", "{\"question\":\"a\"}", "line 2: no reference"},
        {"jsonl", "{\"question\":\"a\",\"answer\":null}", "line 2: no reference"},
        {"jsonl", "{\"question\":\"a\",\"answer\":\"\"}", "line 2: no reference"},
        {"gsm8k", "{\"question\":\"a\",\"answer\":\"12\"}", "line 2: no reference (####"},
        {"gsm8k", "{\"question\":\"a\",\"answer\":\"so ####\"}", "line 2: no reference"},
        {"math500", "{\"problem\":\"a\",\"solution\":\"b\"}", "line 2: no reference"},
        {"mmlu", "{\"question\":\"a\",\"choices\":[\"x\"],\"answer\":0}", "line 2: fewer than two"},
        {"mmlu", "{\"question\":\"a\",\"choices\":[\"x\",{}],\"answer\":0}", "line 2: a choice"},
        {"mmlu", "{\"question\":\"a\",\"choices\":\"xy\",\"answer\":0}", "line 2: fewer than two"},
        {"mmlu", "{\"question\":\"a\",\"choices\":[\"x\",\"y\"],\"answer\":2}", "no reference"},
        {"mmlu", "{\"question\":\"a\",\"choices\":[\"x\",\"y\"],\"answer\":\"C\"}", "no reference"},
        {"humaneval", "{\"prompt\":\"a\",\"canonical_solution\":\"b\"}", "line 2: no \"test\""}};
    static const char *const good[] = {
        "jsonl", "{\"question\":\"q\",\"answer\":1.5}",
        "gsm8k", "{\"question\":\"q\",\"answer\":\"so #### 1\"}",
        "math500", "{\"problem\":\"q\",\"answer\":\"1\"}",
        "mmlu", "{\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answer\":0}",
        "humaneval",
        "{\"prompt\":\"q\",\"canonical_solution\":\"b\",\"test\":\"t\",\"entry_point\":\"f\"}"};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mk_error err;
        char lines[512];
        struct task *t;
        size_t g = 0;

        while (strcmp(good[g], cases[i].kind))
            g += 2;
        snprintf(lines, sizeof lines, "%s\n%s\n", good[g + 1], cases[i].line);
        assert_int_equal(open_lines(state, cases[i].kind, lines, false, &t, &err), MK_EFORMAT);
        if (!strstr(err.text, cases[i].says) || !strstr(err.text, "q.jsonl"))
            fail_msg("%s says: %s", cases[i].line, err.text);
        if (open_lines(state, cases[i].kind, lines, true, &t, &err))
            fail_msg("%s", err.text);
        assert_int_equal(task_n_skipped(t), 1);
        assert_int_equal(task_count(t, TASK_ALL), 1);
        task_close(t);
    }
}

static void files_that_hold_nothing_are_refused(void **state)
{
    struct mk_error err;
    struct task *t;

    assert_int_equal(open_lines(state, "jsonl", "", false, &t, &err), MK_EFORMAT);
    assert_int_equal(open_lines(state, "jsonl", "{}\n", true, &t, &err), MK_EFORMAT);
    assert_int_equal(task_open(&t, "jsonl:/nowhere/at/all", &err), MK_ENOTFOUND);
    assert_int_equal(task_open_in(&t, "/nowhere", "jsonl:at/all", &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    assert_int_equal(task_open_in(&t, "/here", "jsonl:/nowhere/else", &err), MK_ENOTFOUND);
    assert_null(strstr(err.text, "/here"));
    assert_int_equal(task_open(&t, "jsonl", &err), MK_ENOTFOUND);
    assert_int_equal(task_open(&t, "json:/etc/passwd", &err), MK_ENOTFOUND);
}

/* 100 questions: both splits together are all of them, none twice; an epoch has each once. */
static void splits_and_orders_of_a_file(void **state)
{
    char lines[8192], *at = lines;
    int seen[100] = {0}, in_order = 0;
    struct mk_error err;
    struct task *t;

    for (int i = 0; i < 100; i++)
        at += snprintf(at, 64, "{\"question\":\"Q%d\",\"answer\":%d}\n", i, i);
    assert_int_equal(open_lines(state, "jsonl", lines, false, &t, &err), 0);
    assert_int_equal(task_count(t, TASK_ALL), 100);
    assert_int_equal(task_count(t, TASK_TRAIN) + task_count(t, TASK_TEST), 100);
    assert_in_range(task_count(t, TASK_TEST), 3, 25);
    for (int split = TASK_TRAIN; split <= TASK_TEST; split++)
        for (int64_t i = 0; i < task_count(t, split); i++) {
            struct task_item item = draw(t, split, 5, i + task_count(t, split)); /* 2nd epoch */

            assert_int_equal(task_split_of(item.question), split);
            seen[strtol(item.answer, NULL, 10)]++;
            task_item_release(&item);
        }
    for (int i = 0; i < 100; i++) {
        struct task_item item = draw(t, TASK_ALL, 0, i), mixed = draw(t, TASK_ALL, 5, i);

        assert_int_equal(seen[i], 1);
        assert_int_equal(strtol(item.answer, NULL, 10), i); /* seed 0: the file's order */
        in_order += strtol(mixed.answer, NULL, 10) == i;
        task_item_release(&item);
        task_item_release(&mixed);
    }
    assert_in_range(in_order, 0, 10);
    task_close(t);
}

/* Every reference of a public set, as a trace, is right for its own question; with its last digit
 * changed it is not, but where that is the exponent of a unit. */
static void assert_references(const char *name, int64_t n_questions, int64_t n_units)
{
    int64_t n_right = 0, n_wrong = 0, n_changed = 0;
    struct mk_error err;
    struct task *t;

    if (task_open(&t, name, &err)) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    assert_int_equal(task_count(t, TASK_ALL), n_questions);
    for (int64_t i = 0; i < n_questions; i++) {
        struct task_item item = draw(t, TASK_ALL, 0, i);
        size_t n = strlen(item.answer);
        struct buf b;

        buf_init(&b, 1 << 20);
        assert_int_equal(task_write_trace(t, &item, TASK_TRACE_SCRATCHPAD, 0, &b, &err), 0);
        n_right += is_right(t, &item, b.data);
        if (item.answer[n - 1] >= '0' && item.answer[n - 1] <= '8') {
            buf_clear(&b);
            buf_printf(&b, &err, "<answer>%.*s%c</answer>", (int)n - 1, item.answer,
                       item.answer[n - 1] + 1);
            n_wrong += is_right(t, &item, b.data);
            n_changed++;
        }
        buf_release(&b);
        task_item_release(&item);
    }
    print_message("%s: %lld of %lld references right, %lld of %lld changed ones\n", name,
                  (long long)n_right, (long long)n_questions, (long long)n_wrong,
                  (long long)n_changed);
    assert_int_equal(n_right, n_questions);
    assert_int_equal(n_wrong, n_units);
    assert_true(n_changed > n_questions / 4);
    task_close(t);
}

static void references_of_gsm8k_are_right(void **state)
{
    (void)state;
    assert_references("gsm8k:../shared/data/gsm8k/test.jsonl", 1319, 0);
    assert_references("gsm8k:../shared/data/gsm8k/train.jsonl", 7473, 0);
}

static void references_of_math500_are_right(void **state)
{
    (void)state;
    assert_references("math500:../shared/data/math500/test.jsonl", 500, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gsm8k_has_its_reference_behind_the_marks, setup, teardown),
        cmocka_unit_test_setup_teardown(choices_stand_below_their_question, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_are_what_the_file_says, setup, teardown),
        cmocka_unit_test_setup_teardown(programs_continue_the_prompt_or_stand_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bad_lines_are_named_or_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_hold_nothing_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(splits_and_orders_of_a_file, setup, teardown),
        cmocka_unit_test(references_of_gsm8k_are_right),
        cmocka_unit_test(references_of_math500_are_right)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
