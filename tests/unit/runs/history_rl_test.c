/* history_rl_test.c: what a run of minke rl wrote comes back as curves over steps, and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map_file.h"
#include "runs/events.h"
#include "runs/history.h"

#define STEP1                                                                                      \
    "{\"step\":1,\"tokens\":900,\"reward\":0.25,\"pass\":0.5,\"asked\":8,\"live\":2,"              \
    "\"length\":7.5,\"truncated\":0.125,\"formed\":1,\"entropy\":0.4,\"loss\":-0.5,\"norm\":1,"    \
    "\"lr\":1e-3,\"kl\":0.01,\"mismatch\":0.02,\"tasks\":{\"<b>\":{\"pass\":0.5,\"reward\":0.25,"  \
    "\"level\":2}}}\n"
#define STEP2                                                                                      \
    "{\"step\":2,\"tokens\":900,\"reward\":0.75,\"pass\":0.75,\"asked\":0,\"live\":0,"             \
    "\"length\":9,\"loss\":0,\"norm\":0,\"lr\":1e-3,\"tasks\":{},\"test\":{\"pass\":0.875,"        \
    "\"length\":4,\"questions\":8,\"tasks\":{\"<b>\":{\"pass\":0.875}}}}\n"
#define N_STEPS 9 /* with samples: more than are shown */

struct run { char dir[64]; };

static void put(const struct run *r, const char *name, const char *text)
{
    struct mk_error err;
    char path[160];

    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    assert_int_equal(write_file(path, text, strlen(text), &err), 0);
}

static const char *sample_name(int step, char name[64])
{
    snprintf(name, 64, "samples/step-%06d.jsonl", step);
    return name;
}

/* Three answers to a question, two to the next of the same task, one of another task. */
static void put_samples(const struct run *r, int step)
{
    static const struct { const char *task, *question; int correct; } rows[] = {
        {"a", "q1", 1}, {"a", "q1", 0}, {"a", "q1", 0},
        {"a", "q2", 0}, {"a", "q2", 1}, {"b", "q3", 0}};
    char text[2048] = "", name[64];
    size_t n = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "{\"task\":\"%s\",\"question\":\"%s\",\"response\":\"r%zu\","
                              "\"correct\":%s,\"tokens\":%d,\"reward\":0.5,\"level\":1}\n",
                              rows[i].task, rows[i].question, i,
                              rows[i].correct ? "true" : "false", step);
    put(r, sample_name(step, name), text);
}

static int setup(void **state)
{
    struct run *r = calloc(1, sizeof *r);
    char path[160];

    snprintf(r->dir, sizeof r->dir, "/tmp/minke-history-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(path, sizeof path, "%s/samples", r->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    put(r, "metrics.jsonl", STEP1 STEP2);
    put(r, "timing.jsonl", "{\"step\":1,\"ms\":500,\"tokens_per_s\":200}\n");
    for (int step = 1; step <= N_STEPS; step++)
        put_samples(r, step * 10);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct run *r = *state;
    char path[160], name[64];

    for (int step = 1; step <= N_STEPS; step++) {
        snprintf(path, sizeof path, "%s/%s", r->dir, sample_name(step * 10, name));
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/samples", r->dir);
    rmdir(path);
    snprintf(path, sizeof path, "%s/metrics.jsonl", r->dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/timing.jsonl", r->dir);
    unlink(path);
    rmdir(r->dir);
    free(r);
    return 0;
}

static void curves_are_over_steps(void **state)
{
    struct history h;
    struct mk_error err;

    if (history_read(&h, ((struct run *)*state)->dir, &err))
        fail_msg("%s", err.text);
    assert_true(h.rl && h.seconds == 0.5);
    assert_int_equal(h.series[HISTORY_PASS].n, 2);
    assert_true(h.series[HISTORY_PASS].points[1].x == 2);
    assert_true(h.series[HISTORY_PASS].points[1].y == 0.75);
    assert_int_equal(h.series[HISTORY_LIVE].n, 1); /* none asked: no share */
    assert_true(history_last(&h.series[HISTORY_LIVE]) == 0.25);
    assert_true(history_last(&h.series[HISTORY_TEST]) == 0.875);
    assert_true(history_last(&h.series[HISTORY_TEST_LENGTH]) == 4);
    assert_true(history_last(&h.series[HISTORY_MISMATCH]) == 0.02);
    assert_true(isnan(history_last(&h.series[HISTORY_MEAN_MISMATCH])));
    assert_string_equal(h.task_pass.items[0].name, "<b>");
    assert_true(history_last(&h.task_level.items[0]) == 2);
    assert_true(history_last(&h.task_test.items[0]) == 0.875);
    assert_int_equal(h.entropy.n, 0); /* of experts */
    history_release(&h);
}

/* Its zeros are no loss, no norm and no learning rate; its speed is one. */
static void a_step_without_an_update_leaves_gaps(void **state)
{
    struct run *r = *state;
    struct history h;
    struct mk_error err;

    put(r, "metrics.jsonl",
        STEP1 "{\"step\":2,\"tokens\":1800,\"reward\":1,\"pass\":1,\"asked\":16,\"live\":0,"
              "\"updates\":0,\"loss\":0,\"norm\":0,\"lr\":0,\"tasks\":{}}\n");
    put(r, "timing.jsonl", "{\"step\":2,\"ms\":500,\"tokens_per_s\":300}\n");
    if (history_read(&h, r->dir, &err))
        fail_msg("%s", err.text);
    assert_int_equal(h.series[HISTORY_PASS].n, 2);
    assert_int_equal(h.series[HISTORY_LOSS].n, 1);
    assert_int_equal(h.series[HISTORY_NORM].n, 1);
    assert_true(history_last(&h.series[HISTORY_LR]) == 1e-3);
    assert_true(history_last(&h.series[HISTORY_LIVE]) == 0);
    assert_true(history_last(&h.series[HISTORY_SPEED]) == 300);
    history_release(&h);
}

static void answers_are_of_the_first_the_last_and_steps_between(void **state)
{
    static const int64_t steps[] = {10, 20, 40, 50, 70, 90};
    static const char *const responses[] = {"r0", "r5", "r3"};
    struct answers a;
    struct mk_error err;

    if (answers_read(&a, ((struct run *)*state)->dir, &err))
        fail_msg("%s", err.text);
    assert_int_equal(a.n, 18);
    for (size_t i = 0; i < a.n; i++) {
        assert_int_equal(a.items[i].step, steps[i / 3]);
        assert_int_equal(a.items[i].tokens, steps[i / 3]);
        assert_string_equal(a.items[i].response, responses[i % 3]); /* another task comes first */
        assert_int_equal(a.items[i].correct, i % 3 == 0);
        assert_string_equal(a.items[i].reference, ""); /* not told */
    }
    answers_release(&a);
}

static void a_damaged_line_is_refused_by_number(void **state)
{
    struct answers a;
    struct mk_error err;

    put(*state, "samples/step-000010.jsonl", "{\"task\":\"a\",\"question\":\"q\"}\nnonsense\n");
    assert_int_equal(answers_read(&a, ((struct run *)*state)->dir, &err), MK_EFORMAT);
    assert_non_null(strstr(err.text, "step-000010.jsonl: line 2"));
    put(*state, "samples/step-000010.jsonl",
        "{\"task\":3,\"question\":[]}\n{\"task\":\"a\",\"question\":\"q\",\"response\":1,"
        "\"tokens\":\"x\"}");
    assert_int_equal(answers_read(&a, ((struct run *)*state)->dir, &err), 0);
    assert_string_equal(a.items[0].response, "");
    answers_release(&a);
}

static void names_of_series_are_found(void **state)
{
    (void)state;
    for (int i = 0; i < HISTORY_N; i++)
        assert_int_equal(history_kind_named(history_kind_name((enum history_kind)i)), i);
    assert_int_equal(history_kind_named("nothing"), HISTORY_N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(curves_are_over_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_step_without_an_update_leaves_gaps, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_are_of_the_first_the_last_and_steps_between, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_damaged_line_is_refused_by_number, setup, teardown),
        cmocka_unit_test(names_of_series_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
