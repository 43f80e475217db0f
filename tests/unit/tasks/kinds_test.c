/* kinds_test.c: the single tasks: answers and thoughts worked by hand, answers of every valid form,
 * statistics that must hold for a model to learn what is meant and nothing else. */
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

static struct task_item draw(const struct task *t, int level, int64_t index)
{
    struct task_item item;
    struct mk_error err;

    if (task_draw(t, TASK_ALL, level, 11, index, &item, &err))
        fail_msg("%s", err.text);
    return item;
}

/* ---- by hand --------------------------------------------------------------------------------- */

static void thoughts_are_what_a_person_would_write(void **state)
{
    static const struct { const char *task, *question, *answer, *thought; } cases[] = {
        {"add", "What is 384+972?", "1356", "4+2=6 8+7=15 3+9+1=13 1=1 6531"},
        {"add", "What is 5+95?", "100", "5+5=10 9+1=10 1=1 001"},
        {"subtract", "What is 972-384?", "588", "2-4+10=8 7-8-1+10=8 9-3-1=5 885"},
        {"subtract", "What is 12-30?", "-18", "- 0-2+10=8 3-1-1=1 81"},
        {"subtract", "What is 7-7?", "0", "7-7=0 0"},
        {"multiply", "What is 38*2?", "76", "8*2=16 3*2+1=7 67"},
        {"multiply", "What is 38*42?", "1596",
         "8*2=16 3*2+1=7 67;8*4=32 3*4+3=15 0251;6+0=6 7+2=9 5=5 1=1 6951"},
        {"compare", "Which is larger, 4817 or 4871?", "4871", "4=4 8=8 1<7"},
        {"compare", "Which is larger, 99 or 100?", "100", "2d<3d"},
        {"sort", "Sort 8 3 5 1", "1 3 5 8", "8;3 8;3 5 8;1 3 5 8"},
        {"letters", "How many r's are in strawberry?", "3", "s0t0r1a1w1b1e1r2r3y3"},
        {"base", "Convert 37 to base 2", "100101", "37:1 18:0 9:1 4:0 2:0 1:1"},
        {"base", "Convert 2f from base 16", "47", "2 47"},
        {"number-parity", "Is 13 odd parity?", "yes", "13:1 6:1 3:0 1:1"},
        {"equation", "Solve 3x+4=19", "5", "19-4=15 15/3=5"},
        {"equation", "Solve 5x-3=2x+9", "4", "5x-2x=3x 9+3=12 12/3=4"},
        {"graph", "Path from a to f? ab bc ad df", "adf", "a:bd b:c d:f"},
        {"maze", "Maze\nS#\n.G", "DR", "a1Sb1#a2.b2G b2:a2 a2:a1 a1a2b2"},
        {"sudoku", "Sudoku\n1.34\n3412\n21.3\n4321", "1234\n3412\n2143\n4321", "b1=2 c3=4"},
        {"knights", "A says B is a knave. B says A and B are alike. Who are the knights?", "A",
         "KN;1"},
        {"countdown", "Use 2, 3 to make 6", "2*3", "2*3=6;1"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct task *t = open_task(cases[i].task);
        struct task_item item = {.question = strdup(cases[i].question),
                                 .answer = strdup(cases[i].answer)};
        struct mk_error err;
        char wanted[512];
        struct buf b;

        buf_init(&b, 4096);
        if (task_write_trace(t, &item, TASK_TRACE_SCRATCHPAD, 0, &b, &err))
            fail_msg("%s", err.text);
        snprintf(wanted, sizeof wanted, "<think>%s</think><answer>%s</answer>", cases[i].thought,
                 cases[i].answer);
        assert_string_equal(b.data, wanted);
        buf_release(&b);
        task_item_release(&item);
        task_close(t);
    }
}

static void any_valid_answer_is_right_and_no_other(void **state)
{
    static const struct { const char *task, *question, *answer; bool right; } cases[] = {
        {"countdown", "Use 3, 5, 8 to make 24", "3*8", true}, /* a number may be left over */
        {"countdown", "Use 3, 5, 8 to make 24", "8 * 3 = 24", true},
        {"countdown", "Use 3, 5, 8 to make 24", "(8*(3))", true},
        {"countdown", "Use 3, 5, 8 to make 24", "8*3=25", false},
        {"countdown", "Use 3, 5, 8 to make 24", "8*3*1", false},
        {"countdown", "Use 3, 5, 8 to make 24", "8+8+8", false},
        {"countdown", "Use 3, 5, 8 to make 24", "24", false},
        {"countdown", "Use 3, 5, 8 to make 24", "38-5-8", false},
        {"countdown", "Use 3, 5, 8 to make 24", "8*3 or so", false},
        {"countdown", "Use 3, 3, 8, 8 to make 24", "8/(3-8/3)", true}, /* through a fraction */
        {"countdown", "Use 3, 3, 8, 8 to make 24", "8/(3-3)", false},
        {"countdown", "Use 1, 5, 6 to make 0", "6-5-1", true},
        {"countdown", "Use 1, 5, 6 to make 2", "-5+6+1", false},
        {"countdown", "Use 9, 9, 9, 9 to make 1", "((((((((((9/9))))))))))", true},
        {"maze", "Maze\nS.\n.G", "RD", true},
        {"maze", "Maze\nS.\n.G", "DR", true},
        {"maze", "Maze\nS.\n.G", "DURD", true}, /* not the shortest */
        {"maze", "Maze\nS.\n.G", "D", false},
        {"maze", "Maze\nS.\n.G", "RRD", false},
        {"maze", "Maze\nS#\n.G", "RD", false},
        {"maze", "Maze\nS.\n.G", "rd", false},
        {"graph", "Path from a to f? ab bc ad df cf", "abcf", true},
        {"graph", "Path from a to f? ab bc ad df cf", "a-d-f", true},
        {"graph", "Path from a to f? ab bc ad df cf", "af", false},
        {"graph", "Path from a to f? ab bc ad df cf", "adfc", false},
        {"graph", "Path from a to f? ab bc ad df cf", "df", false},
        {"equation", "Solve 3x+4=19", "x=5", true},
        {"equation", "Solve 3x+4=19", "x = 5", true},
        {"equation", "Solve 3x+4=19", "5.0", false},
        {"equation", "Solve 3x+4=19", "y=5", false},
        {"equation", "Solve x=x", "1", false},
        {"sort", "Sort 3 1 2", "1, 2, 3", true},
        {"sort", "Sort 3 1 2", "3 2 1", false},
        {"sort", "Sort 3 1 2", "1 2 3 3", false},
        {"sort", "Sort 3 1 2", "1 1 3", false},
        {"sudoku", "Sudoku\n....\n....\n....\n....", "1234 3412 2143 4321", true},
        {"sudoku", "Sudoku\n....\n....\n....\n....", "1234/3412/2143/4321", true},
        {"sudoku", "Sudoku\n2...\n....\n....\n....", "1234/3412/2143/4321", false},
        {"sudoku", "Sudoku\n....\n....\n....\n....", "1234/2143/3412/4321", false},
        {"knights", "A says B is a knave. B says A and B are alike. Who are the knights?", "B",
         false},
        {"knights", "A says B is a knave. B says A and B are alike. Who are the knights?", "none",
         false},
        {"knights", "A says B is a knight. B says A is a knight. Who are the knights?", "B, A",
         true},
        {"knights", "A says B is a knight. B says A is a knight. Who are the knights?", "none",
         true}, /* two solutions: either is right */
        {"knights", "A says B is a knight. B says A is a knight. Who are the knights?", "A C",
         false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct task *t = open_task(cases[i].task);
        struct task_item item = {.question = strdup(cases[i].question), .answer = strdup("?")};
        struct task_verdict v;
        char response[256];

        snprintf(response, sizeof response, "<answer>%s</answer>", cases[i].answer);
        task_check(t, &item, response, strlen(response), &v);
        if (v.correct != cases[i].right)
            fail_msg("%s: %s is %s", item.question, cases[i].answer,
                     v.correct ? "taken" : "refused");
        task_item_release(&item);
        task_close(t);
    }
}

/* The shipped model is asked these: they must be questions that the tasks themselves would put. */
static void the_famous_questions_are_understood(void **state)
{
    static const struct { const char *task, *question, *answer; } cases[] = {
        {"letters", "How many r's are in strawberry?", "3"},
        {"countdown", "Use 3, 5, 8 to make 24", "3*8"},
        {"number-parity", "Is 4817 odd parity?", "no"}, /* 1001011010001: six ones */
        {"equation", "Solve 3x+4=19", "5"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct task *t = open_task(cases[i].task);
        struct task_item item = {.question = strdup(cases[i].question),
                                 .answer = strdup(cases[i].answer)};
        struct task_verdict v;
        struct mk_error err;
        struct buf b;

        for (int kind = 0; kind < TASK_TRACE_IMPATIENT; kind++) {
            if (!task_has_trace(t, kind))
                continue;
            buf_init(&b, 4096);
            if (task_write_trace(t, &item, kind, 0, &b, &err))
                fail_msg("%s", err.text);
            task_check(t, &item, b.data, b.n, &v);
            assert_true(v.correct && v.well_formed);
            buf_release(&b);
        }
        task_item_release(&item);
        task_close(t);
    }
}

/* ---- statistics ------------------------------------------------------------------------------ */

/* Within four standard deviations of n draws of probability p. */
static void assert_share(const char *what, int count, int n, double p)
{
    double far = count - n * p;

    if (far * far > 16 * n * p * (1 - p))
        fail_msg("%s: %d of %d, expected %.3f", what, count, n, p);
}

static void answers_are_even_and_lengths_tell_nothing(void **state)
{
    enum { N = 3000 };

    (void)state;
    for (int level = 0; level <= 7; level++) {
        struct task *parity = open_task("parity"), *sum = open_task("digit-sum");
        int ones = 0, of_digit[10] = {0};

        for (int i = 0; i < N; i++) {
            struct task_item p = draw(parity, level, i), s = draw(sum, level, i);

            ones += p.answer[0] == '1';
            of_digit[s.answer[0] - '0']++;
            assert_int_equal(strlen(p.question), strlen("parity ") + 4 + 4 * (size_t)level);
            assert_int_equal(strlen(s.question), strlen("sum mod 10 of ") + 4 + 2 * (size_t)level);
            task_item_release(&p);
            task_item_release(&s);
        }
        assert_share("odd parity", ones, N, 0.5);
        for (int digit = 0; digit < 10; digit++)
            assert_share("sum of digits", of_digit[digit], N, 0.1);
        task_close(parity);
        task_close(sum);
    }
}

/* Neither the place of a number nor a first guess may do. */
static void guessing_does_not_pay(void **state)
{
    struct task *compare = open_task("compare"), *letters = open_task("letters");
    struct task *number = open_task("number-parity"), *knights = open_task("knights");
    enum { N = 4000 };
    int first = 0, of_count[32] = {0}, yes = 0, most = 0, none = 0;

    (void)state;
    for (int i = 0; i < N; i++) {
        struct task_item c = draw(compare, i % 8, i), l = draw(letters, i % 6, i);
        struct task_item n = draw(number, i % 5, i), k = draw(knights, i % 5, i);
        const char *number_at = c.question + strlen("Which is larger, ");
        size_t length = strlen(c.answer);

        first += !strncmp(number_at, c.answer, length) && number_at[length] == ' ';
        of_count[strtol(l.answer, NULL, 10)]++;
        yes += n.answer[0] == 'y';
        none += !strcmp(k.answer, "none");
        task_item_release(&c);
        task_item_release(&l);
        task_item_release(&n);
        task_item_release(&k);
    }
    for (int i = 0; i < 32; i++)
        most = of_count[i] > most ? of_count[i] : most;
    assert_share("the first number is larger", first, N, 0.5);
    assert_in_range(most, 0, N * 45 / 100);
    assert_in_range(yes, N * 45 / 100, N * 55 / 100);
    assert_in_range(none, 0, N * 30 / 100);
    task_close(compare);
    task_close(letters);
    task_close(number);
    task_close(knights);
}

struct habits { int tries, hits, stops_after_hit, stops_after_miss, right, n; };

/* Checks of a thought: ";0" and ";1", of which the last one is where it stopped. */
static void count_tries(const char *thought, struct habits *h)
{
    for (const char *at = thought; (at = strchr(at, ';')); at += 2) {
        bool hit = at[1] == '1', last = at[2] == '<';

        assert_true(at[1] == '0' || at[1] == '1');
        assert_true(last || at[2] == ' ');
        h->tries++;
        h->hits += hit;
        h->stops_after_hit += hit && last;
        h->stops_after_miss += !hit && last;
    }
}

static struct habits measure(const char *name, int level, enum task_trace kind)
{
    struct task *t = open_task(name);
    struct habits h = {.n = 3000};

    for (int i = 0; i < h.n; i++) {
        struct task_item item = draw(t, level, i);
        struct task_verdict v;
        struct mk_error err;
        struct buf b;

        buf_init(&b, 1 << 16);
        assert_int_equal(task_write_trace(t, &item, kind, (uint64_t)i, &b, &err), 0);
        task_check(t, &item, b.data, b.n, &v);
        h.right += v.correct;
        count_tries(b.data, &h);
        buf_release(&b);
        task_item_release(&item);
    }
    task_close(t);
    return h;
}

/* learning.md's corpus: hits from chance and 12 % luck, 0.9 of hits end the search and 0.4 of
 * misses do; six tries at most. */
static void impatient_searches_have_the_habits_that_were_measured(void **state)
{
    struct habits h = measure("countdown", 0, TASK_TRACE_IMPATIENT);
    double after_hit = (double)h.stops_after_hit / h.hits;
    double after_miss = (double)h.stops_after_miss / (h.tries - h.hits);

    (void)state;
    print_message("countdown: hits %.3f of %.2f tries, stops after a hit %.3f, after a miss %.3f, "
                  "right %.3f\n", (double)h.hits / h.tries, (double)h.tries / h.n, after_hit,
                  after_miss, (double)h.right / h.n);
    assert_true(h.hits > h.tries * 15 / 100 && h.hits < h.tries * 40 / 100);
    assert_true(after_hit > 0.87 && after_hit < 0.93);
    assert_true(after_miss > 0.38 && after_miss < 0.46); /* the sixth try always ends it */
    assert_true(h.right > h.n * 20 / 100 && h.right < h.n * 60 / 100);
}

/* Two people are knights or knaves in four ways: the search would often guess the same again. */
static void no_miss_comes_twice(void **state)
{
    struct task *t = open_task("knights");

    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct task_item item = draw(t, 0, i);
        bool seen[4] = {false};
        struct mk_error err;
        struct buf b;

        buf_init(&b, 1 << 16);
        assert_int_equal(task_write_trace(t, &item, TASK_TRACE_SEARCH, (uint64_t)i, &b, &err), 0);
        for (const char *at = b.data; (at = strchr(at, ';')); at++) {
            int guess = (at[-2] == 'K') + 2 * (at[-1] == 'K');

            assert_false(seen[guess]);
            seen[guess] = true;
        }
        buf_release(&b);
        task_item_release(&item);
    }
    task_close(t);
}

static void patient_searches_stop_at_the_first_hit_and_are_right(void **state)
{
    static const char *const names[] = {"countdown", "maze", "graph", "knights"};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct habits h = measure(names[i], 2, TASK_TRACE_SEARCH);

        print_message("%s: hits %.3f of %.2f tries\n", names[i], (double)h.hits / h.tries,
                      (double)h.tries / h.n);
        assert_int_equal(h.right, h.n);
        assert_int_equal(h.hits, h.n);
        assert_int_equal(h.stops_after_hit, h.n);
        assert_true(h.tries > h.n * 5 / 4); /* it does search */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thoughts_are_what_a_person_would_write),
        cmocka_unit_test(any_valid_answer_is_right_and_no_other),
        cmocka_unit_test(the_famous_questions_are_understood),
        cmocka_unit_test(answers_are_even_and_lengths_tell_nothing),
        cmocka_unit_test(guessing_does_not_pay),
        cmocka_unit_test(impatient_searches_have_the_habits_that_were_measured),
        cmocka_unit_test(no_miss_comes_twice),
        cmocka_unit_test(patient_searches_stop_at_the_first_hit_and_are_right)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
