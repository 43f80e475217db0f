/* task_test.c: what every built-in task promises: splits apart, the same draws from the same key,
 * traces that its own check accepts, wrong answers refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/task.h"

static struct task *open_task(const char *name)
{
    struct mk_error err;
    struct task *t;

    if (task_open(&t, name, &err))
        fail_msg("%s", err.text);
    return t;
}

static struct task_item draw(const struct task *t, enum task_split split, int level,
                             uint64_t seed, int64_t index)
{
    struct task_item item;
    struct mk_error err;

    if (task_draw(t, split, level, seed, index, &item, &err))
        fail_msg("%s", err.text);
    return item;
}

static struct task_verdict check(const struct task *t, const struct task_item *item,
                                 const char *response)
{
    struct task_verdict v;

    task_check(t, item, response, strlen(response), &v);
    return v;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* n questions of a split, all levels in turn, sorted. */
static char **questions_of(const struct task *t, enum task_split split, int n)
{
    char **q = calloc((size_t)n, sizeof *q);

    for (int i = 0; i < n; i++) {
        struct task_item item = draw(t, split, i % (task_max_level(t) + 1), 1, i);

        q[i] = strdup(item.question);
        task_item_release(&item);
    }
    qsort(q, (size_t)n, sizeof *q, by_text);
    return q;
}

/* 108,000 draws, compared as text: nothing here trusts the hash. */
static void splits_never_overlap(void **state)
{
    enum { N = 3000 };

    (void)state;
    for (int i = 0; task_builtin(i); i++) {
        struct task *t = open_task(task_builtin(i));
        char **train = questions_of(t, TASK_TRAIN, N), **test = questions_of(t, TASK_TEST, N);

        for (int a = 0, b = 0; a < N && b < N;) {
            int order = strcmp(train[a], test[b]);

            if (!order)
                fail_msg("%s: in both splits: %s", task_name(t), train[a]);
            a += order < 0;
            b += order > 0;
        }
        for (int a = 0; a < N; a++) {
            free(train[a]);
            free(test[a]);
        }
        free(train);
        free(test);
        task_close(t);
    }
}

static void every_level_has_both_splits_and_nothing_but_ascii(void **state)
{
    (void)state;
    for (int i = 0; task_builtin(i); i++) {
        struct task *t = open_task(task_builtin(i));

        for (int level = 0; level <= task_max_level(t); level++)
            for (int split = TASK_TRAIN; split <= TASK_TEST; split++) {
                struct task_item item = draw(t, split, level, 5, 0);

                assert_int_equal(task_split_of(item.question), split);
                for (const char *c = item.question; *c; c++)
                    assert_true(*c == '\n' || (*c >= ' ' && *c <= '~'));
                task_item_release(&item);
            }
        task_close(t);
    }
}

static void a_question_follows_from_its_key_alone(void **state)
{
    (void)state;
    for (int i = 0; task_builtin(i); i++) {
        struct task *t = open_task(task_builtin(i));
        int level = task_max_level(t), same = 0;

        for (int64_t n = 0; n < 50; n++) {
            struct task_item a = draw(t, TASK_TRAIN, level, 7, n);
            struct task_item b = draw(t, TASK_TRAIN, level, 7, 49 - n);
            struct task_item c = draw(t, TASK_TRAIN, level, 7, n);
            struct task_item other = draw(t, TASK_TRAIN, level, 8, n);

            assert_string_equal(a.question, c.question);
            assert_string_equal(a.answer, c.answer);
            same += !strcmp(a.question, other.question);
            task_item_release(&a);
            task_item_release(&b);
            task_item_release(&c);
            task_item_release(&other);
        }
        if (same > 40)
            fail_msg("%s: seed 8 asks what seed 7 asks", task_name(t));
        task_close(t);
    }
}

static void every_trace_is_accepted_by_its_own_check(void **state)
{
    struct mk_error err;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; task_builtin(i); i++) {
        struct task *t = open_task(task_builtin(i));

        for (int64_t n = 0; n < 300; n++) {
            int level = (int)(n % (task_max_level(t) + 1));
            struct task_item item = draw(t, TASK_ALL, level, 3, n);

            for (int kind = 0; kind < TASK_N_TRACES; kind++) {
                struct task_verdict v;

                if (!task_has_trace(t, kind))
                    continue;
                buf_clear(&b);
                if (task_write_trace(t, &item, kind, (uint64_t)n, &b, &err))
                    fail_msg("%s", err.text);
                v = check(t, &item, b.data);
                if (!v.well_formed || (!v.correct && kind != TASK_TRACE_IMPATIENT))
                    fail_msg("%s, level %d: %s: %s", task_name(t), level, item.question, b.data);
            }
            task_item_release(&item);
        }
        task_close(t);
    }
    buf_release(&b);
}

/* One character of the answer replaced, left out or doubled; false: nothing but blanks changed. */
static bool mutate(const char *answer, int n, char out[512])
{
    static const char letters[] = "0123456789 UDLRNyabz-x";
    size_t length = strlen(answer), at = (size_t)n % length;
    char with = letters[(n * 7 + 3) % (int)strlen(letters)];

    assert_true(length < 500);
    switch (n % 3) {
    case 0:
        memcpy(out, answer, length + 1);
        out[at] = with;
        break;
    case 1:
        memcpy(out, answer, at);
        memcpy(out + at, answer + at + 1, length - at);
        break;
    default:
        memcpy(out, answer, at + 1);
        memcpy(out + at, answer + at, length - at + 1);
    }
    for (;; answer++, out++) {
        while (*answer == ' ' || *answer == '\n')
            answer++;
        while (*out == ' ' || *out == '\n')
            out++;
        if (*answer != *out)
            return true;
        if (!*answer)
            return false;
    }
}

/* A way or an expression that was changed may still be right; everything else may not. */
static void wrong_answers_are_refused(void **state)
{
    static const char *const many_answers[] = {"graph", "maze", "countdown"};

    (void)state;
    for (int i = 0; task_builtin(i); i++) {
        struct task *t = open_task(task_builtin(i));
        int n_accepted = 0, n_tried = 0;
        bool many = false;

        for (int j = 0; j < 3; j++)
            many |= !strcmp(task_name(t), many_answers[j]);
        for (int n = 0; n < 2000; n++) {
            struct task_item item = draw(t, TASK_ALL, n % (task_max_level(t) + 1), 9, n / 12);
            char wrong[512], response[600];

            if (mutate(item.answer, n, wrong)) {
                snprintf(response, sizeof response, "<answer>%s</answer>", wrong);
                n_tried++;
                if (check(t, &item, response).correct) {
                    n_accepted++;
                    if (!many)
                        fail_msg("%s: %s: %s is taken for %s", task_name(t), item.question, wrong,
                                 item.answer);
                }
            }
            task_item_release(&item);
        }
        assert_true(n_tried > 1000);
        assert_in_range(n_accepted, 0, many ? n_tried / 10 : 0);
        task_close(t);
    }
}

/* A vocabulary of single characters must stay small: about 64 to 90. */
static void few_characters_suffice(void **state)
{
    bool seen[256] = {false};
    int n_seen = 0;

    (void)state;
    for (int i = 0; task_builtin(i); i++) {
        struct task *t = open_task(task_builtin(i));

        for (int n = 0; n < 500; n++) {
            struct task_item item = draw(t, TASK_ALL, n % (task_max_level(t) + 1), 2, n);

            for (int kind = 0; kind < TASK_N_TRACES; kind++) {
                struct mk_error err;
                struct buf b;

                if (!task_has_trace(t, kind))
                    continue;
                buf_init(&b, 1 << 20);
                assert_int_equal(buf_append_string(&b, item.question, &err), 0);
                assert_int_equal(task_write_trace(t, &item, kind, 0, &b, &err), 0);
                for (const char *c = b.data; *c; c++)
                    seen[(unsigned char)*c] = true;
                buf_release(&b);
            }
            task_item_release(&item);
        }
        task_close(t);
    }
    for (int c = 0; c < 256; c++)
        n_seen += seen[c];
    assert_in_range(n_seen, 64, 90);
}

static void form_is_judged_apart_from_the_answer(void **state)
{
    static const struct { const char *response; bool correct, formed, has; } cases[] = {
        {"<answer>1</answer>", true, true, true},
        {"<think>0111</think><answer>1</answer>", true, true, true},
        {" <think></think>\n<answer> 1 </answer>\n", true, true, true},
        {"<answer>0</answer>", false, true, true},
        {"<answer></answer>", false, true, false},
        {"<answer>1", false, false, false},
        {"1", false, false, false},
        {"", false, false, false},
        {"<answer>1</answer> so it is", true, false, true},
        {"<answer>1</answer><think>0</think>", true, false, true},
        {"<answer>0</answer><answer>1</answer>", true, false, true},
        {"<answer>1</answer><answer>0</answer>", false, false, true},
        {"<think>0<think>1</think><answer>1</answer>", true, false, true},
        {"<think>0111<answer>1</answer>", true, false, true},
        {"<answer>01</answer>", false, true, true}};
    struct task_item item = {.question = (char[]){"parity 0100"}, .answer = (char[]){"1"}};
    struct task *t = open_task("parity");

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct task_verdict v = check(t, &item, cases[i].response);

        if (v.correct != cases[i].correct || v.well_formed != cases[i].formed ||
            v.has_answer != cases[i].has)
            fail_msg("%s: correct %d, well formed %d, has answer %d", cases[i].response, v.correct,
                     v.well_formed, v.has_answer);
        if (v.correct && (v.found.n != 1 || *v.found.at != '1'))
            fail_msg("%s: another answer was found", cases[i].response);
    }
    task_close(t);
}

/* Worked by hand: the running parities of 0110 1 are 0 1 0 0 1. */
static void scratchpads_are_the_running_values(void **state)
{
    struct task_item parity = {.question = (char[]){"parity 01101"}, .answer = (char[]){"1"}};
    struct task_item sum = {.question = (char[]){"sum mod 10 of 4829"}, .answer = (char[]){"3"}};
    struct task *p = open_task("parity"), *s = open_task("digit-sum");
    struct mk_error err;
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(task_write_trace(p, &parity, TASK_TRACE_SCRATCHPAD, 0, &b, &err), 0);
    assert_string_equal(b.data, "<think>01001</think><answer>1</answer>");
    buf_clear(&b);
    assert_int_equal(task_write_trace(s, &sum, TASK_TRACE_SCRATCHPAD, 0, &b, &err), 0);
    assert_string_equal(b.data, "<think>4243</think><answer>3</answer>");
    buf_release(&b);
    task_close(p);
    task_close(s);
}

static void mistakes_of_the_caller_are_told(void **state)
{
    struct task_item other = {.question = (char[]){"parity of what"}, .answer = (char[]){"1"}};
    struct task_item item;
    struct task *t = open_task("parity"), *none;
    struct mk_error err;
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(task_open(&none, "purity", &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "'purity', did you mean parity"));
    assert_int_equal(task_open(&none, "gsm8k", &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "gsm8k:FILE"));
    assert_int_equal(task_open(&none, "chess", &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "minke tasks lists"));
    assert_int_equal(task_draw(t, TASK_TRAIN, 8, 0, 0, &item, &err), MK_EINVAL);
    assert_int_equal(task_draw(t, TASK_TRAIN, 0, 0, -1, &item, &err), MK_EINVAL);
    assert_int_equal(task_write_trace(t, &other, TASK_TRACE_SEARCH, 0, &b, &err), MK_EINVAL);
    assert_int_equal(task_write_trace(t, &other, TASK_TRACE_SCRATCHPAD, 0, &b, &err), MK_EINVAL);
    assert_int_equal(b.n, 0);
    buf_release(&b);
    task_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_never_overlap),
        cmocka_unit_test(every_level_has_both_splits_and_nothing_but_ascii),
        cmocka_unit_test(a_question_follows_from_its_key_alone),
        cmocka_unit_test(every_trace_is_accepted_by_its_own_check),
        cmocka_unit_test(wrong_answers_are_refused),
        cmocka_unit_test(few_characters_suffice),
        cmocka_unit_test(form_is_judged_apart_from_the_answer),
        cmocka_unit_test(scratchpads_are_the_running_values),
        cmocka_unit_test(mistakes_of_the_caller_are_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
