/* blend_test.c: mixtures: shares and weights as asked for, the same bytes again, mistakes named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/blend.h"

enum { N_SPECS = 3, N = 6000 };
static const char *const specs[N_SPECS] = {
    "parity,level=4,scratchpad=0.15,weight=2",
    "countdown,level=0-2,impatient=0.4,search=0.1,scratchpad=0.5", "step"};

static void open_parts(struct blend_part parts[N_SPECS])
{
    struct mk_error err;

    for (int i = 0; i < N_SPECS; i++)
        if (blend_part_open(&parts[i], specs[i], &err))
            fail_msg("%s", err.text);
}

static char *write_all(struct blend *b, int n)
{
    struct blend_part parts[N_SPECS];
    struct mk_error err;
    struct buf out;

    open_parts(parts);
    b->parts = parts;
    b->n_parts = N_SPECS;
    buf_init(&out, 1 << 24);
    for (int i = 0; i < n; i++)
        assert_int_equal(blend_next(b, &out, &err), 0);
    for (int i = 0; i < N_SPECS; i++)
        blend_part_close(&parts[i]);
    return out.data;
}

static void assert_near(int64_t count, double share)
{
    double far = (double)count - N * share;

    if (far * far > 16 * N * share * (1 - share))
        fail_msg("%lld of %d, expected %.3f", (long long)count, N, share);
}

/* Weights 2, 1, 1: half of the documents are parity, 15 % of those have a scratchpad; and so on. */
static void weights_and_shares_are_kept(void **state)
{
    struct blend b = {.seed = 1};
    char *text = write_all(&b, N);

    (void)state;
    assert_int_equal(b.n_written, N);
    assert_near(b.n_of_trace[TASK_TRACE_SCRATCHPAD], 0.5 * 0.15 + 0.25 * 0.5);
    assert_near(b.n_of_trace[TASK_TRACE_SEARCH], 0.25 * 0.1);
    assert_near(b.n_of_trace[TASK_TRACE_IMPATIENT], 0.25 * 0.4);
    assert_near(b.n_of_trace[TASK_TRACE_DIRECT], 0.5 * 0.85 + 0.25);
    free(text);
}

static void the_same_call_writes_the_same_bytes(void **state)
{
    struct blend a = {.seed = 1}, b = {.seed = 1}, other = {.seed = 2};
    char *x = write_all(&a, 500), *y = write_all(&b, 500), *z = write_all(&other, 500);

    (void)state;
    assert_string_equal(x, y);
    assert_string_not_equal(x, z);
    free(x);
    free(y);
    free(z);
}

static void every_document_is_a_train_question_in_its_form(void **state)
{
    static const char user[] = "<｜User｜>";
    struct blend messages = {.form = BLEND_MESSAGES}, texts = {.form = BLEND_TEXT};
    char *x = write_all(&messages, 300), *y = write_all(&texts, 300), *rest_x, *rest_y;
    char *line = strtok_r(x, "\n", &rest_x), *other = strtok_r(y, "\n", &rest_y);
    int n = 0;

    (void)state;
    for (; line && other; n++) {
        json_t *m = json_loads(line, 0, NULL), *t = json_loads(other, 0, NULL);
        const json_t *list = json_object_get(m, "messages");
        const char *asked = json_string_value(json_object_get(json_array_get(list, 0), "content"));
        const char *said = json_string_value(json_object_get(json_array_get(list, 1), "content"));
        const char *text = json_string_value(json_object_get(t, "text"));

        assert_int_equal(json_array_size(list), 2);
        assert_true(asked && said && text);
        assert_int_equal(task_split_of(asked), TASK_TRAIN);
        assert_int_equal(strncmp(text, user, strlen(user)), 0);
        text += strlen(user);
        assert_int_equal(strncmp(text, asked, strlen(asked)), 0);
        assert_string_equal(text + strlen(text) - strlen(said), said);
        json_decref(m);
        json_decref(t);
        line = strtok_r(NULL, "\n", &rest_x);
        other = strtok_r(NULL, "\n", &rest_y);
    }
    assert_int_equal(n, 300);
    free(x);
    free(y);
}

static void mistakes_in_a_spec_are_named(void **state)
{
    static const char *const bad[][2] = {
        {"purity", "purity"},
        {"parity,level=8", "level=8"},
        {"parity,level=3-1", "level=3-1"},
        {"parity,level=", "level="},
        {"parity,weight=0", "weight=0"},
        {"parity,weight=nan", "weight=nan"},
        {"parity,weight=1e99", "weight=1e99"},
        {"parity,search=0.1", "no search traces"},
        {"parity,scratchpad=1.5", "scratchpad=1.5"},
        {"countdown,search=0.6,scratchpad=0.6", "more than 1"},
        {"parity,colour=red", "colour"},
        {"parity,scratchpad", "KEY=VALUE"},
        {"parity,", "KEY=VALUE"}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mk_error err = {0};
        struct blend_part p;

        assert_true(blend_part_open(&p, bad[i][0], &err) < 0);
        if (!strstr(err.text, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_and_shares_are_kept),
        cmocka_unit_test(the_same_call_writes_the_same_bytes),
        cmocka_unit_test(every_document_is_a_train_question_in_its_form),
        cmocka_unit_test(mistakes_in_a_spec_are_named)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
