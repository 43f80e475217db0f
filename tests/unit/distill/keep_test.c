/* keep_test.c: which answers are worth learning from: one of each fault, and the best of many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "distill/keep.h"

static const struct keep_rules strict = {.tags = KEEP_TAGS_ANSWER,
                                         .max_repetition = 0.5,
                                         .max_characters = 80,
                                         .min_language = 0.8,
                                         .script = SCRIPT_LATIN};
static const struct keep_rules lenient = {.tags = KEEP_TAGS_ANY, .max_repetition = 1};

static enum keep_fault fault(const struct keep_rules *rules, const char *text, bool stopped)
{
    struct teacher_answer a = {.text = text, .n = strlen(text), .stopped = stopped};
    char question[] = "parity 0111", reference[] = "1";
    struct task_item item = {.question = question, .answer = reference};
    struct keep_verdict v;
    struct mk_error err;
    struct task *task;

    assert_int_equal(task_open(&task, "parity", &err), 0);
    assert_int_equal(keep_judge(rules, task, &item, &a, &v, &err), 0);
    task_close(task);
    assert_true(v.fault != KEEP_GOOD || v.correct);
    return v.fault;
}

static void every_fault_has_its_answer(void **state)
{
    static const struct { const char *text; enum keep_fault fault; } cases[] = {
        {"<think>0101</think><answer>1</answer>", KEEP_GOOD},
        {"<answer>1</answer>", KEEP_GOOD},
        {"", KEEP_NO_TEXT},
        {"<answer>0</answer>", KEEP_WRONG},
        {"so <answer>1</answer>", KEEP_TAGS},
        {"<think>it is odd <answer>1</answer>", KEEP_TAGS},
        {"<think>a long thought that goes on and on without ever saying a single thing of "
         "use</think><answer>1</answer>", KEEP_LONG},
        {"<think>a b c d a b c d a b c d a b c d</think><answer>1</answer>", KEEP_REPEATS},
        {"<think>\xe8\xbf\x99\xe6\x98\xaf\xe5\xa5\x87\xe6\x95\xb0 odd</think><answer>1</answer>",
         KEEP_LANGUAGE}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (fault(&strict, cases[i].text, true) != cases[i].fault)
            fail_msg("%s: expected %s", cases[i].text, keep_fault_name(cases[i].fault));
    for (size_t i = 4; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(fault(&lenient, cases[i].text, true), KEEP_GOOD);
    assert_int_equal(fault(&strict, cases[0].text, false), KEEP_CUT);
}

static void the_most_probable_good_answer_is_best(void **state)
{
    const float likely[] = {-0.1F, -0.1F, -0.4F}, sure[] = {-0.1F}, rare[] = {-2};
    struct teacher_answer answers[] = {
        {.text = "a", .n = 1, .logprobs = rare, .n_logprobs = 1, .n_tokens = 1},
        {.text = "b", .n = 1, .logprobs = likely, .n_logprobs = 3, .n_tokens = 3},
        {.text = "c", .n = 1, .logprobs = sure, .n_logprobs = 1, .n_tokens = 1}};
    struct keep_verdict v[] = {{KEEP_GOOD, true, true}, {KEEP_GOOD, true, true},
                               {KEEP_WRONG, false, true}};

    (void)state;
    assert_int_equal(keep_best(answers, v, 3), 1);
    v[0].fault = v[1].fault = KEEP_LONG;
    assert_int_equal(keep_best(answers, v, 3), -1);
    v[2].fault = KEEP_GOOD;
    assert_int_equal(keep_best(answers, v, 3), 2);
}

static void without_probabilities_the_shortest_is_best_and_ties_go_to_the_first(void **state)
{
    const struct teacher_answer answers[] = {
        {.text = "abcd", .n = 4}, {.text = "ab", .n = 2}, {.text = "cd", .n = 2}};
    const struct keep_verdict v[] = {{KEEP_GOOD, true, true}, {KEEP_GOOD, true, true},
                                     {KEEP_GOOD, true, true}};

    (void)state;
    assert_int_equal(keep_best(answers, v, 3), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_has_its_answer),
        cmocka_unit_test(the_most_probable_good_answer_is_best),
        cmocka_unit_test(without_probabilities_the_shortest_is_best_and_ties_go_to_the_first)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
