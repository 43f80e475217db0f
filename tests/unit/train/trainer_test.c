/* trainer_test.c: what a step changes and what it leaves: steps out of the usual, broken ones, the
 * mean of weights, frozen ones; and the bits of many. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/model_file.h"
#include "train/trainer.h"

#define MODELS "tests/golden/models/"

enum { N_SEQS = 6, N_IDS = 12 };

struct fixture {
    struct params params;
    struct compute compute;
    struct trainer trainer;
    int32_t ids[N_SEQS][N_IDS + 1];
    float loss[N_SEQS][N_IDS], weight[N_SEQS][N_IDS];
    struct train_seq seqs[N_SEQS];
    struct batch_origin origins[N_SEQS];
    struct batch batch;
};

static struct trainer_options options(void)
{
    return (struct trainer_options){.optim = optim_defaults(),
                                    .schedule = {.kind = SCHEDULE_CONSTANT, .lr = 1e-3},
                                    .pass_tokens = 1 << 20,
                                    .keep_bytes = 1 << 28,
                                    .mtp_weight = 0.3,
                                    .balance = {.sequence = 1e-3},
                                    .bias_gamma = 0.01f,
                                    .mla = MK_MLA_EXPANDED};
}

/* What every token counts for. */
static void weigh(struct fixture *f, float weight)
{
    for (int s = 0; s < N_SEQS; s++)
        for (int i = 0; i < N_IDS; i++)
            f->weight[s][i] = weight;
}

/* Ids that follow from `seed`; targets are the ids that follow. */
static void fill(struct fixture *f, uint32_t seed)
{
    for (int s = 0; s < N_SEQS; s++) {
        for (int i = 0; i <= N_IDS; i++) {
            seed = seed * 1664525 + 1013904223;
            f->ids[s][i] = (int32_t)((seed >> 8) % 500);
        }
        f->seqs[s] = (struct train_seq){.ids = f->ids[s],
                                        .targets = f->ids[s] + 1,
                                        .weight = f->weight[s],
                                        .loss = f->loss[s],
                                        .n_ids = N_IDS};
    }
    weigh(f, 1);
    f->batch = (struct batch){.seqs = f->seqs,
                              .origins = f->origins,
                              .n_seqs = N_SEQS,
                              .n_tokens = N_SEQS * N_IDS,
                              .n_targets = N_SEQS * N_IDS};
}

/* frozen: weights of that role do not learn; -1: all do. */
static void open_fixture(struct fixture *f, const char *name, const struct trainer_options *o,
                         int threads, int frozen)
{
    struct model_file file;
    struct mk_error err;
    char path[128];

    memset(f, 0, sizeof *f);
    snprintf(path, sizeof path, MODELS "%s", name);
    if (model_file_open(&file, path, &err) || params_read(&f->params, &file, true, &err) ||
        compute_init(&f->compute, NULL, threads, &err))
        fail_msg("%s", err.text);
    model_file_release(&file);
    for (int64_t i = 0; i < f->params.n_items; i++)
        f->params.items[i].frozen = (int)f->params.items[i].role == frozen;
    if (params_take_gradients(&f->params, &err) ||
        trainer_init(&f->trainer, &f->params, &f->compute, o, &err))
        fail_msg("%s", err.text);
    fill(f, 1);
}

static void close_fixture(struct fixture *f)
{
    trainer_release(&f->trainer);
    compute_release(&f->compute);
    params_release(&f->params);
}

static int step(struct fixture *f, struct step_report *r, struct mk_error *err)
{
    return trainer_update(&f->trainer, &f->batch, 1.0 / (N_SEQS * N_IDS), f->trainer.state.tokens,
                          r, err);
}

static void steps(struct fixture *f, int n)
{
    struct step_report r;
    struct mk_error err;

    for (int i = 0; i < n; i++)
        if (step(f, &r, &err))
            fail_msg("%s", err.text);
}

/* All weights one after the other; the caller frees them. */
static float *copy(const struct params *p)
{
    float *all = malloc(p->n_values * sizeof *all), *at = all;

    for (int64_t i = 0; i < p->n_items; i++) {
        memcpy(at, p->items[i].w, (size_t)p->items[i].n * sizeof *at);
        at += p->items[i].n;
    }
    return all;
}

static bool same(const struct params *p, const float *all)
{
    float *now = copy(p);
    bool equal = !memcmp(now, all, p->n_values * sizeof *all);

    free(now);
    return equal;
}

/* ---- Steps that do not count ---------------------------------------------------------------- */

static void an_unusual_step_changes_nothing(void **state)
{
    struct trainer_options o = options();
    struct step_report r;
    struct fixture f;
    struct mk_error err;
    float *before, mean;
    int n = 0;

    (void)state;
    o.outlier_z = 6;
    o.schedule.lr = 1e-4;
    o.ema = 0.9;
    open_fixture(&f, "v3", &o, 1, -1);
    steps(&f, 60);
    assert_int_equal(f.trainer.state.n_skipped, 0);
    before = copy(&f.params);
    mean = f.trainer.ema[3][5];
    weigh(&f, 50);
    assert_int_equal(step(&f, &r, &err), 0);
    assert_true(r.skipped && r.loss > f.trainer.state.loss.mean);
    assert_true(same(&f.params, before) && f.trainer.ema[3][5] == mean);
    assert_int_equal(f.trainer.optim.step, 60);
    assert_int_equal(f.trainer.state.step, 61);
    assert_int_equal(f.trainer.state.tokens, 61 * N_SEQS * N_IDS);
    weigh(&f, 1);
    assert_int_equal(step(&f, &r, &err), 0);
    assert_true(!r.skipped && !same(&f.params, before));
    weigh(&f, 50); /* what lasts becomes usual */
    do {
        assert_int_equal(step(&f, &r, &err), 0);
    } while (r.skipped && ++n < 100);
    assert_true(n > 0 && n < 50);
    free(before);
    close_fixture(&f);
}

static void a_step_without_numbers_leaves_the_weights(void **state)
{
    struct trainer_options o = options();
    struct step_report r;
    struct fixture f;
    struct mk_error err;
    float *before;

    (void)state;
    open_fixture(&f, "llama3", &o, 1, -1);
    steps(&f, 2);
    before = copy(&f.params);
    f.weight[2][3] = INFINITY;
    assert_int_equal(step(&f, &r, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "step 3"));
    assert_true(same(&f.params, before));
    assert_int_equal(f.trainer.state.step, 2);
    free(before);
    close_fixture(&f);
}

/* ---- What moves beside the weights ---------------------------------------------------------- */

static void the_mean_of_weights_follows_them(void **state)
{
    struct trainer_options o = options();
    struct fixture f;
    double want;
    float *before, *mean;
    const struct param *p;

    (void)state;
    o.ema = 0.75;
    open_fixture(&f, "llama3", &o, 1, -1);
    p = f.trainer.optim.items[2].p;
    want = (double)p->w[7];
    for (int i = 0; i < 5; i++) {
        steps(&f, 1);
        want = 0.75 * want + 0.25 * (double)p->w[7];
    }
    assert_true(fabs(want - (double)f.trainer.ema[2][7]) < 1e-7);
    assert_true(fabs(want - (double)p->w[7]) > 1e-5);
    before = copy(&f.params);
    trainer_swap_ema(&f.trainer);
    assert_true(fabs(want - (double)p->w[7]) < 1e-7);
    mean = copy(&f.params);
    trainer_swap_ema(&f.trainer);
    assert_true(same(&f.params, before) && !same(&f.params, mean));
    free(before);
    free(mean);
    close_fixture(&f);
}

static void the_bias_of_a_router_moves_unless_it_is_frozen(void **state)
{
    struct trainer_options o = options();

    (void)state;
    for (int frozen = 0; frozen < 2; frozen++) {
        struct fixture f;
        const struct param *bias;
        float before[64];
        int moved = 0;

        open_fixture(&f, "v3", &o, 1, frozen ? (int)W_ROUTER_BIAS : -1);
        bias = params_get(&f.params, W_ROUTER_BIAS, 1, 0);
        memcpy(before, bias->w, (size_t)bias->n * sizeof *before);
        steps(&f, 1);
        for (int64_t e = 0; e < bias->n; e++) {
            float by = fabsf(bias->w[e] - before[e]);

            assert_true(by == 0 || fabsf(by - 0.01f) < 1e-6f);
            moved += by > 0;
        }
        assert_int_equal(moved > 0, !frozen);
        close_fixture(&f);
    }
}

/* ---- Bits ----------------------------------------------------------------------------------- */

/* AdamW has its fifty steps in tests/e2e/test_train.py. */
static void muon_steps_are_the_same_bits_on_any_number_of_threads(void **state)
{
    struct trainer_options o = options();
    struct fixture f;
    float *want = NULL;

    (void)state;
    o.optim.kind = OPTIM_MUON;
    o.optim.muon.variant = MUON_V4;
    o.optim.bf16_moments = true;
    for (int threads = 1; threads <= 3; threads++) {
        o.pass_tokens = threads == 2 ? 3 * N_IDS : 1 << 20;
        open_fixture(&f, "v3", &o, threads, -1);
        steps(&f, 15);
        if (!want)
            want = copy(&f.params);
        else if (!same(&f.params, want))
            fail_msg("%d threads: other weights", threads);
        close_fixture(&f);
    }
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unusual_step_changes_nothing),
        cmocka_unit_test(a_step_without_numbers_leaves_the_weights),
        cmocka_unit_test(the_mean_of_weights_follows_them),
        cmocka_unit_test(the_bias_of_a_router_moves_unless_it_is_frozen),
        cmocka_unit_test(muon_steps_are_the_same_bits_on_any_number_of_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
