/* optim_test.c: twenty steps of every optimiser against PyTorch, schedules against transformers
 * (tools/golden/optim.py), and the bits of a step. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "train/optim.h"
#include "train/schedule.h"

#define GOLDEN "tests/golden/optim/"
#define STEPS 20
#define WARMUP 3

/* Large enough for several chunks; the golden files use the first three. */
enum { N_TENSORS = 3 };
static const int64_t shapes[N_TENSORS][2] = {{48, 20}, {20, 48}, {20, 0}};

struct fixture {
    struct param items[N_TENSORS];
    struct params params;
    struct optim optim;
    struct compute compute;
    int64_t n;
};

/* As optim.py. */
static float noise(uint64_t tensor, int64_t step, uint64_t i)
{
    uint64_t x = (i + 1000003u * (uint64_t)(step + 1) + 7919u * tensor) * 0x9E3779B97F4A7C15u;

    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 32;
    return ((float)(x >> 40) - (float)(1 << 23)) / (float)(1 << 23);
}

/* times: rows of the matrices are repeated, for more chunks. */
static void open_fixture(struct fixture *f, const struct optim_options *o, int threads, int times)
{
    struct mk_error err;

    *f = (struct fixture){0};
    for (int i = 0; i < N_TENSORS; i++) {
        struct param *q = &f->items[i];

        *q = (struct param){.role = W_O, .n_dims = shapes[i][1] ? 2 : 1, .n_streams = 1};
        q->shape[0] = shapes[i][0] * times;
        q->shape[1] = shapes[i][1];
        q->n = q->shape[0] * (q->shape[1] ? q->shape[1] : 1);
        q->w = malloc((size_t)q->n * sizeof *q->w);
        q->grad = malloc((size_t)q->n * sizeof *q->grad);
        for (int64_t j = 0; j < q->n; j++)
            q->w[j] = noise((uint64_t)i, -1, (uint64_t)j);
        f->n += q->n;
    }
    f->params = (struct params){.items = f->items, .n_items = N_TENSORS};
    if (compute_init(&f->compute, NULL, threads, &err) ||
        optim_init(&f->optim, &f->params, o, &err))
        fail_msg("%s", err.text);
}

static void close_fixture(struct fixture *f)
{
    for (int i = 0; i < N_TENSORS; i++) {
        free(f->items[i].w);
        free(f->items[i].grad);
    }
    optim_release(&f->optim);
    compute_release(&f->compute);
}

static void step(struct fixture *f, int t)
{
    struct schedule s = {
        .kind = SCHEDULE_COSINE, .lr = 1e-2, .warmup_tokens = WARMUP, .tokens = STEPS};
    struct mk_error err;

    for (int i = 0; i < N_TENSORS; i++)
        for (int64_t j = 0; j < f->items[i].n; j++)
            f->items[i].grad[j] = 0.5f * f->items[i].w[j] + noise((uint64_t)i, t, (uint64_t)j);
    if (optim_step(&f->optim, &f->compute, schedule_lr(&s, t), optim_norm(&f->optim, f->compute.ex),
                   &err))
        fail_msg("%s", err.text);
}

static void check_golden(const char *name, const struct optim_options *o)
{
    struct fixture f;
    char path[128];
    double want, worst = 0, largest = 0;
    FILE *in;

    open_fixture(&f, o, 2, 1);
    for (int t = 0; t < STEPS; t++)
        step(&f, t);
    snprintf(path, sizeof path, GOLDEN "%s.txt", name);
    in = fopen(path, "r");
    assert_non_null(in);
    for (int i = 0; i < N_TENSORS; i++)
        for (int64_t j = 0; j < f.items[i].n; j++) {
            assert_int_equal(fscanf(in, "%lf", &want), 1);
            worst = fmax(worst, fabs((double)f.items[i].w[j] - want));
            largest = fmax(largest, fabs(want));
        }
    assert_int_equal(fscanf(in, "%lf", &want), EOF);
    fclose(in);
    if (!(worst <= 1e-4 * largest))
        fail_msg("%s: weights differ by %.1e of the largest after %d steps", name, worst / largest,
                 STEPS);
    close_fixture(&f);
}

static void adamw_is_that_of_torch(void **state)
{
    struct optim_options o = optim_defaults();

    (void)state;
    check_golden("adamw", &o);
}

static void muon_is_that_of_torch(void **state)
{
    struct optim_options o = optim_defaults();

    (void)state;
    o.kind = OPTIM_MUON;
    o.muon.adjust = MUON_ORIGINAL;
    check_golden("muon_original", &o);
    o.muon.adjust = MUON_MATCH_RMS;
    check_golden("muon_match_rms", &o);
}

static void muon_of_deepseek_v4_is_its_description(void **state)
{
    struct optim_options o = optim_defaults();

    (void)state;
    o.kind = OPTIM_MUON;
    o.eps = 1e-20;
    o.muon.variant = MUON_V4;
    check_golden("muon_v4", &o);
}

static void threads_do_not_change_a_bit(void **state)
{
    struct optim_options o = optim_defaults();
    struct fixture f, g;

    (void)state;
    for (int kind = OPTIM_ADAMW; kind <= OPTIM_MUON; kind++)
        for (int threads = 2; threads <= 3; threads++) {
            o.kind = kind;
            open_fixture(&f, &o, 1, 20);
            open_fixture(&g, &o, threads, 20);
            assert_true(f.optim.n_chunks > 3);
            for (int t = 0; t < 3; t++) {
                step(&f, t + WARMUP);
                step(&g, t + WARMUP);
            }
            for (int i = 0; i < N_TENSORS; i++)
                assert_memory_equal(f.items[i].w, g.items[i].w,
                                    (size_t)f.items[i].n * sizeof(float));
            close_fixture(&f);
            close_fixture(&g);
        }
}

static void moments_in_bf16_stay_close(void **state)
{
    struct optim_options o = optim_defaults();
    double sum = 0, difference = 0;
    struct fixture f, g;

    (void)state;
    open_fixture(&f, &o, 1, 1);
    o.bf16_moments = true;
    open_fixture(&g, &o, 1, 1);
    assert_int_equal(optim_moment_bytes(&g.optim, 8), 16);
    for (int t = 0; t < STEPS; t++) {
        step(&f, t);
        step(&g, t);
    }
    for (int64_t j = 0; j < f.items[0].n; j++) {
        double moved = f.items[0].w[j] - noise(0, -1, (uint64_t)j);

        sum += moved * moved;
        difference += pow((double)f.items[0].w[j] - g.items[0].w[j], 2);
    }
    assert_true(difference > 0);
    assert_true(sqrt(difference / sum) < 0.01); /* of the way that the weights went */
    close_fixture(&f);
    close_fixture(&g);
}

static void a_gradient_that_is_no_number_is_seen_in_the_norm(void **state)
{
    struct optim_options o = optim_defaults();
    struct fixture f;

    (void)state;
    open_fixture(&f, &o, 2, 1);
    memset(f.items[0].grad, 0, (size_t)f.items[0].n * sizeof(float));
    memset(f.items[1].grad, 0, (size_t)f.items[1].n * sizeof(float));
    memset(f.items[2].grad, 0, (size_t)f.items[2].n * sizeof(float));
    f.items[1].grad[17] = 3;
    f.items[2].grad[3] = 4;
    assert_true(optim_norm(&f.optim, f.compute.ex) == 5);
    f.items[1].grad[17] = NAN;
    assert_false(isfinite(optim_norm(&f.optim, f.compute.ex)));
    close_fixture(&f);
}

/* ---- Schedules ------------------------------------------------------------------------------ */

static void schedules_are_those_of_transformers(void **state)
{
    FILE *in = fopen(GOLDEN "schedules.txt", "r");
    char name[16];
    double want, got;
    int t, n = 0;

    (void)state;
    assert_non_null(in);
    while (fscanf(in, "%15s %d %lf", name, &t, &want) == 3) {
        struct schedule s = {.lr = 0.5, .warmup_tokens = 500, .tokens = 4000};

        while (strcmp(schedule_name(s.kind), name))
            s.kind++;
        if (s.kind == SCHEDULE_WSD)
            s.decay_share = 0.25;
        got = schedule_lr(&s, 100 * t);
        if (fabs(got - want) > 1e-6)
            fail_msg("%s at step %d: %.9g, transformers has %.9g", name, t, got, want);
        n++;
    }
    fclose(in);
    assert_int_equal(n, 160);
}

static void assert_near(double got, double want)
{
    assert_true(fabs(got - want) <= 1e-9 * fabs(want));
}

static void schedules_of_the_reports_turn_where_they_say(void **state)
{
    const int64_t b = 1000000000;
    struct schedule v3 = {SCHEDULE_V3, 2.2e-4, 0, 2000, 14800 * b, 0};
    struct schedule v2 = {SCHEDULE_V2, 2.4e-4, 0, 0, 8100 * b, 0};
    struct schedule lite = {SCHEDULE_V2_LITE, 4.2e-4, 0, 0, 5700 * b, 0};

    (void)state;
    assert_near(schedule_lr(&v3, 1000), 1.1e-4);
    assert_near(schedule_lr(&v3, 9999 * b), 2.2e-4);
    assert_near(schedule_lr(&v3, 12150 * b), (2.2e-4 + 2.2e-5) / 2);
    assert_near(schedule_lr(&v3, 14400 * b), 2.2e-5);
    assert_near(schedule_lr(&v3, 14700 * b), 7.3e-6);
    assert_near(schedule_lr(&v2, 4859 * b), 2.4e-4);
    assert_near(schedule_lr(&v2, 4861 * b), 2.4e-4 * 0.316);
    assert_near(schedule_lr(&v2, 7300 * b), 2.4e-4 * 0.316 * 0.316);
    assert_near(schedule_lr(&lite, 4500 * b), 4.2e-4);
    assert_near(schedule_lr(&lite, 4600 * b), 4.2e-4 * 0.316);
    assert_null(schedule_name(SCHEDULE_N));
}

static void the_batch_grows_in_equal_steps(void **state)
{
    const int64_t ramp = 469000000;
    int32_t last = 0, sizes = 0;

    (void)state;
    for (int64_t seen = 0; seen <= ramp; seen += ramp / 1000) {
        int32_t n = batch_ramp(3072, 15360, ramp, seen);

        assert_true(n >= last && n % 3072 == 0);
        sizes += n != last;
        last = n;
    }
    assert_int_equal(sizes, 5);
    assert_int_equal(last, 15360);
    assert_int_equal(batch_ramp(3072, 15360, ramp, 0), 3072);
    assert_int_equal(batch_ramp(8, 8, ramp, 0), 8);
    assert_int_equal(batch_ramp(3, 8, 0, 0), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_is_that_of_torch),
        cmocka_unit_test(muon_is_that_of_torch),
        cmocka_unit_test(muon_of_deepseek_v4_is_its_description),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(moments_in_bf16_stay_close),
        cmocka_unit_test(a_gradient_that_is_no_number_is_seen_in_the_norm),
        cmocka_unit_test(schedules_are_those_of_transformers),
        cmocka_unit_test(schedules_of_the_reports_turn_where_they_say),
        cmocka_unit_test(the_batch_grows_in_equal_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
