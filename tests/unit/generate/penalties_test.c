/* penalties_test.c: bias and penalties worked by hand, and the options' ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "generate/penalties.h"
#include "generate/sampling_options.h"

#define V 6

static const int32_t text[] = {1, 4, 1, 2, 1, 4}; /* the prompt is the first three */

static void apply(float *x, struct past past, const struct mk_sampling *o)
{
    int32_t counts[V] = {0};
    struct mk_error err;

    assert_int_equal(penalties_apply(x, V, counts, &past, o, &err), 0);
    for (int i = 0; i < V; i++)
        assert_int_equal(counts[i], 0);
}

static void frequency_and_presence_count_the_answer_alone(void **state)
{
    struct mk_sampling o = mk_sampling_default();
    float x[V] = {0, 10, 10, 10, 10, 10}, y[V] = {0, 10, 10, 10, 10, 10};

    (void)state;
    o.frequency_penalty = 0.5f;
    o.presence_penalty = 1.0f;
    apply(x, (struct past){.ids = text, .n_ids = 6, .counted_from = 3}, &o);
    assert_true(x[1] == 8.5f && x[2] == 8.5f && x[3] == 10 && x[4] == 8.5f);
    apply(y, (struct past){.ids = text, .n_ids = 6}, &o); /* the prompt too */
    assert_true(y[1] == 7.5f && y[2] == 8.5f && y[3] == 10 && y[4] == 8.0f);
}

static void penalty_window_forgets_what_is_older(void **state)
{
    struct mk_sampling o = mk_sampling_default();
    float x[V] = {1, 8, 8, 8, -8, 8};

    (void)state;
    o.repetition_penalty = 2;
    o.frequency_penalty = 1;
    o.penalty_window = 2; /* 1 and 4 */
    apply(x, (struct past){.ids = text, .n_ids = 6, .counted_from = 1}, &o);
    assert_true(x[1] == 3 && x[2] == 8 && x[4] == -17 && x[0] == 1);
}

static void bias_comes_before_the_repetition_penalty(void **state)
{
    const int32_t ids[] = {4, 4, 0};
    const float values[] = {2, 1, -INFINITY};
    struct mk_sampling o = mk_sampling_default();
    float x[V] = {5, 0, 0, 0, -1, 0};

    (void)state;
    o.bias_ids = ids;
    o.bias_values = values;
    o.n_bias = 3;
    o.repetition_penalty = 2;
    apply(x, (struct past){.ids = text, .n_ids = 6}, &o);
    assert_true(x[4] == 1); /* (-1 + 2 + 1) / 2: the bias has made it positive */
    assert_true(x[0] == -INFINITY);
}

static void refuses_a_past_outside_of_the_vocabulary(void **state)
{
    const int32_t wrong[] = {1, 6}, negative[] = {-1, 1};
    struct mk_sampling o = mk_sampling_default();
    float x[V] = {0};
    int32_t counts[V] = {0};
    struct mk_error err;

    (void)state;
    assert_int_equal(
        penalties_apply(x, V, counts, &(struct past){.ids = wrong, .n_ids = 2}, &o, &err),
        MK_EINVAL);
    assert_int_equal(
        penalties_apply(x, V, counts, &(struct past){.ids = negative, .n_ids = 2}, &o, &err),
        MK_EINVAL);
}

static void refused(const struct mk_sampling *o, const char *field)
{
    struct mk_error err = {0};

    assert_int_equal(sampling_check(o, V, &err), MK_EINVAL);
    if (!strstr(err.text, field))
        fail_msg("'%s' does not name %s", err.text, field);
}

static void options_out_of_range_are_named(void **state)
{
    static const struct {
        const char *field;
        size_t offset;
        float wrong[3];
    } floats[] = {
        {"temperature", offsetof(struct mk_sampling, temperature), {-0.1f, 100.5f, NAN}},
        {"top_p", offsetof(struct mk_sampling, top_p), {-0.1f, 1.1f, NAN}},
        {"min_p", offsetof(struct mk_sampling, min_p), {-0.1f, 1.1f, NAN}},
        {"repetition_penalty", offsetof(struct mk_sampling, repetition_penalty), {0, 101, NAN}},
        {"frequency_penalty", offsetof(struct mk_sampling, frequency_penalty), {-2.1f, 2.1f, NAN}},
        {"presence_penalty", offsetof(struct mk_sampling, presence_penalty), {-2.1f, 2.1f, NAN}},
    };
    struct mk_sampling o = mk_sampling_default();
    struct mk_error err;

    (void)state;
    assert_int_equal(sampling_check(&o, V, &err), 0);
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        for (int j = 0; j < 3; j++) {
            o = mk_sampling_default();
            memcpy((char *)&o + floats[i].offset, &floats[i].wrong[j], sizeof(float));
            refused(&o, floats[i].field);
        }
    o = mk_sampling_default();
    o.top_k = -1;
    refused(&o, "top_k");
    o = mk_sampling_default();
    o.penalty_window = -1;
    refused(&o, "penalty_window");
}

static void bias_out_of_range_is_named(void **state)
{
    const int32_t ids[] = {5, 6}, low[] = {0, -1};
    const float values[] = {1, 1}, infinite[] = {-INFINITY, INFINITY}, nan[] = {NAN, 0};
    struct mk_sampling o = mk_sampling_default();

    (void)state;
    o.n_bias = 2;
    refused(&o, "bias_ids");
    o.bias_ids = ids;
    o.bias_values = values;
    refused(&o, "bias_ids[1]");
    o.bias_ids = low;
    refused(&o, "bias_ids[1]");
    o.n_bias = 1;
    o.bias_values = nan;
    refused(&o, "bias_values[0]");
    o.n_bias = 2;
    o.bias_ids = (const int32_t[]){0, 1};
    o.bias_values = infinite;
    refused(&o, "bias_values[1]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequency_and_presence_count_the_answer_alone),
        cmocka_unit_test(penalty_window_forgets_what_is_older),
        cmocka_unit_test(bias_comes_before_the_repetition_penalty),
        cmocka_unit_test(refuses_a_past_outside_of_the_vocabulary),
        cmocka_unit_test(options_out_of_range_are_named),
        cmocka_unit_test(bias_out_of_range_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
