/* mixture_test.c: shuffles are permutations, sources come in proportion to their weights, and a
 * state that was put aside goes on as if it never had been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/mixture.h"
#include "base/shuffle.h"

static void a_shuffle_is_a_permutation_of_any_size(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 3000; n = n * 5 / 4 + 1) {
        unsigned char *seen = calloc(n, 1);

        assert_non_null(seen);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t x = shuffle_at(7, 1, i, n);

            assert_true(x < n);
            assert_int_equal(seen[x], 0);
            seen[x] = 1;
        }
        free(seen);
    }
}

static void seeds_and_epochs_give_other_orders(void **state)
{
    const uint64_t n = 1000;
    int same[3] = {0, 0, 0};

    (void)state;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t x = shuffle_at(7, 1, i, n);

        same[0] += x == i;
        same[1] += x == shuffle_at(8, 1, i, n);
        same[2] += x == shuffle_at(7, 2, i, n);
    }
    for (int k = 0; k < 3; k++)
        assert_true(same[k] < 10); /* about 1 is expected */
    assert_true(shuffle_at(1, 0, 12345, (uint64_t)1 << 62) < (uint64_t)1 << 62);
}

/* a: 1 throughout. b: 0 up to 1,000 tokens, then rising to 3 at 2,000. */
static struct mixture two_sources(void)
{
    return (struct mixture){
        .seed = 11,
        .n_sources = 2,
        .sources = {{.name = "a", .n_sequences = 10, .n_points = 1, .points = {{0, 1}}},
                    {.name = "b", .n_sequences = 7, .n_points = 2,
                     .points = {{1000, 0}, {2000, 3}}}}};
}

static void weights_follow_their_schedule(void **state)
{
    static const struct { int64_t tokens; double b; } want[] = {
        {0, 0}, {1000, 0}, {1500, 1.5 / 2.5}, {2000, 0.75}, {INT64_MAX, 0.75}};
    struct mixture m = two_sources();
    struct mk_error err = {0};

    (void)state;
    assert_int_equal(mixture_check(&m, &err), 0);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        double w[2];

        mixture_weights(&m, want[i].tokens, w);
        assert_true(fabs(w[1] - want[i].b) < 1e-12 && fabs(w[0] + w[1] - 1) < 1e-12);
    }
}

static void sources_come_in_proportion_and_each_epoch_has_every_sequence(void **state)
{
    struct mixture m = two_sources();
    int seen[7] = {0}, n_b = 0;

    (void)state;
    for (int i = 0; i < 500; i++)
        assert_int_equal(mixture_next(&m).source, 0); /* b has no weight yet */
    mixture_count(&m, 0, 5000, 0, 0);
    for (int i = 0; i < 10000; i++) {
        struct mixture_draw d = mixture_next(&m);

        if (d.source == 0)
            continue;
        assert_int_equal(d.epoch, n_b / 7);
        if (n_b % 7 == 0)
            memset(seen, 0, sizeof seen);
        assert_int_equal(seen[d.sequence]++, 0);
        n_b++;
    }
    assert_true(abs(n_b - 7500) < 5 * 43); /* five standard deviations */
    assert_true(fabs(mixture_epochs(&m, 1) - n_b / 7.0) < 1e-9);
}

static void a_resumed_state_draws_the_same(void **state)
{
    struct mixture m = two_sources(), resumed = two_sources();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct mixture_draw d = mixture_next(&m);

        mixture_count(&m, d.source, 3, 6, 2);
    }
    resumed.state = m.state;
    for (int i = 0; i < 1000; i++) {
        struct mixture_draw a = mixture_next(&m), b = mixture_next(&resumed);

        assert_memory_equal(&a, &b, sizeof a);
        mixture_count(&m, a.source, 3, 6, 2);
        mixture_count(&resumed, a.source, 3, 6, 2);
    }
    assert_int_equal(m.state.n_tokens, 6000);
    assert_int_equal(m.state.sources[0].n_tokens + m.state.sources[1].n_tokens, 6000);
    assert_true(mixture_loss(&m, 0) == 3);
}

static void mixtures_without_sense_are_refused(void **state)
{
    struct mk_error err = {0};
    struct mixture m = two_sources();

    (void)state;
    m.sources[0].points[0].weight = 0;
    assert_int_equal(mixture_check(&m, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "all weights are 0"));
    m = two_sources();
    m.sources[1].points[1].tokens = 1000;
    assert_int_equal(mixture_check(&m, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "source b"));
    m = two_sources();
    m.sources[1].points[1].weight = NAN;
    assert_int_equal(mixture_check(&m, &err), MK_EINVAL);
    m = two_sources();
    m.sources[0].n_sequences = 0;
    assert_int_equal(mixture_check(&m, &err), MK_EINVAL);
    m.n_sources = 0;
    assert_int_equal(mixture_check(&m, &err), MK_EINVAL);
}

static void the_mean_of_a_schedule_is_its_area(void **state)
{
    const struct mixture_point one = {500, 0.1}, ramp[] = {{100, 0}, {300, 4}};

    (void)state;
    assert_true(mixture_mean_weight(&one, 1, 7) == 0.1);
    assert_true(mixture_mean_weight(ramp, 2, 100) == 0);
    assert_true(mixture_mean_weight(ramp, 2, 200) == 0.5);  /* 100 x 1 / 200 */
    assert_true(mixture_mean_weight(ramp, 2, 300) == 4.0 / 3);
    assert_true(mixture_mean_weight(ramp, 2, 400) == 2);    /* (400 + 400) / 400 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shuffle_is_a_permutation_of_any_size),
        cmocka_unit_test(seeds_and_epochs_give_other_orders),
        cmocka_unit_test(weights_follow_their_schedule),
        cmocka_unit_test(the_mean_of_a_schedule_is_its_area),
        cmocka_unit_test(sources_come_in_proportion_and_each_epoch_has_every_sequence),
        cmocka_unit_test(a_resumed_state_draws_the_same),
        cmocka_unit_test(mixtures_without_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
