/* prefix_test.c: sequences behind a beginning that is computed once have the losses, to the bit,
 * and the gradients of the same sequences written out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/golden_trainable.h"
#include "train/batch.h"

enum { N_GROUPS = 3, N_ENDS = 4, N_ALL = N_GROUPS * N_ENDS, MAX_PREFIX = 70, MAX_END = 9 };
static const int32_t n_prefix[N_GROUPS] = {1, 5, MAX_PREFIX}; /* the last: more than a block */

static const struct { const char *model; enum mk_mla mla; } cases[] = {
    {"qwen3", MK_MLA_AUTO}, {"mistral", MK_MLA_AUTO}, {"v2-lite", MK_MLA_EXPANDED},
    {"v3", MK_MLA_EXPANDED}, {"v3-noq", MK_MLA_ABSORBED}};
#define N_CASES (sizeof cases / sizeof *cases)

static void open_model(struct golden_trainable *f, size_t n, int threads)
{
    const struct model_options o = {.mla = cases[n].mla};

    golden_trainable_open(f, cases[n].model, &o, threads);
}

/* The same ends twice: behind their whole beginning, and behind one that they share. */
struct ends {
    int32_t ids[N_ALL][MAX_PREFIX + MAX_END + 1], targets[N_ALL][MAX_PREFIX + MAX_END];
    float loss[2][N_ALL][MAX_PREFIX + MAX_END];
    struct train_seq whole[N_ALL], shared[N_GROUPS + N_ALL];
};

static void make_ends(struct ends *e)
{
    uint32_t x = 99;

    memset(e, 0, sizeof *e);
    for (int i = 0; i < N_ALL; i++) {
        int g = i / N_ENDS, at = g * (N_ENDS + 1);
        int32_t before = n_prefix[g], n = 1 + (i * 5) % MAX_END;

        for (int t = 0; t <= before + n; t++) {
            x = x * 1664525 + 1013904223;
            e->ids[i][t] = t < before && i % N_ENDS ? e->ids[i - 1][t] : (int32_t)((x >> 8) % 500);
        }
        for (int t = 0; t < before + n; t++)
            e->targets[i][t] = t < before ? -1 : e->ids[i][t + 1];
        e->whole[i] = (struct train_seq){.ids = e->ids[i],
                                         .targets = e->targets[i],
                                         .loss = e->loss[0][i],
                                         .n_ids = before + n};
        if (i % N_ENDS == 0)
            e->shared[at] = (struct train_seq){
                .ids = e->ids[i], .targets = e->targets[i], .n_ids = before};
        e->shared[at + 1 + i % N_ENDS] = (struct train_seq){.ids = e->ids[i] + before,
                                                            .targets = e->targets[i] + before,
                                                            .loss = e->loss[1][i],
                                                            .n_ids = n,
                                                            .behind = 1 + i % N_ENDS};
    }
}

static void run(struct golden_trainable *f, struct train_seq *seqs, int32_t n_seqs,
                int64_t pass_tokens)
{
    struct batch b = {.seqs = seqs, .n_seqs = n_seqs};
    struct pass_options o = {.scale = 0.01, .trunk_only = true, .keep_bytes = 1 << 28};
    struct pass_result r = {0};
    struct mk_error err;

    params_zero_gradients(&f->params, NULL);
    for (int32_t i = 0, n; i < n_seqs; i += n) {
        n = batch_cut(&b, i, pass_tokens);
        if (pass_run(&f->model, &f->params, &f->compute, &f->memory, seqs + i, n, &o, &r, &err))
            fail_msg("%s", err.text);
    }
    params_join(&f->params);
}

static void assert_near(const struct param *got, const struct param *want, const char *model)
{
    double difference = 0, norm = 0;

    for (int64_t i = 0; got->grad && i < got->n; i++) {
        difference += pow((double)got->grad[i] - (double)want->grad[i], 2);
        norm += pow((double)want->grad[i], 2);
    }
    if (sqrt(difference) > 1e-5 * sqrt(norm) + 1e-9)
        fail_msg("%s: the gradient of %s is off by %g of %g", model, got->name, sqrt(difference),
                 sqrt(norm));
}

static void a_shared_beginning_changes_no_loss_and_no_gradient(void **state)
{
    struct ends *e = calloc(1, sizeof *e);

    (void)state;
    assert_non_null(e);
    for (size_t c = 0; c < N_CASES; c++) {
        struct golden_trainable f, g;

        make_ends(e);
        open_model(&f, c, 2);
        open_model(&g, c, 2);
        run(&f, e->whole, N_ALL, 10000);
        run(&g, e->shared, N_GROUPS + N_ALL, 10000);
        for (int i = 0; i < N_ALL; i++)
            assert_memory_equal(e->loss[0][i] + n_prefix[i / N_ENDS], e->loss[1][i],
                                (size_t)(e->whole[i].n_ids - n_prefix[i / N_ENDS]) * sizeof(float));
        assert_true(e->loss[1][0][0] > 0);
        for (int64_t i = 0; i < f.params.n_items; i++)
            assert_near(&g.params.items[i], &f.params.items[i], cases[c].model);
        golden_trainable_close(&f);
        golden_trainable_close(&g);
    }
    free(e);
}

static void passes_and_threads_change_no_bit(void **state)
{
    struct ends *e = calloc(1, sizeof *e);

    (void)state;
    assert_non_null(e);
    make_ends(e);
    for (size_t c = 0; c < N_CASES; c++) {
        struct golden_trainable f, g;

        open_model(&f, c, 1);
        run(&f, e->shared, N_GROUPS + N_ALL, 10000);
        for (int threads = 1; threads <= 3; threads++) {
            open_model(&g, c, threads);
            run(&g, e->shared, N_GROUPS + N_ALL, threads == 2 ? 10000 : 10);
            for (int64_t i = 0; i < f.params.n_items; i++)
                if (f.params.items[i].grad)
                    assert_memory_equal(f.params.items[i].grad, g.params.items[i].grad,
                                        (size_t)f.params.items[i].n * sizeof(float));
            golden_trainable_close(&g);
        }
        golden_trainable_close(&f);
    }
    free(e);
}

static void a_beginning_of_another_pass_is_refused(void **state)
{
    struct pass_options o = {.trunk_only = true};
    struct pass_result r = {0};
    struct ends *e = calloc(1, sizeof *e);
    struct golden_trainable f;
    struct mk_error err;

    (void)state;
    assert_non_null(e);
    make_ends(e);
    open_model(&f, 0, 1);
    assert_int_equal(pass_run(&f.model, &f.params, &f.compute, &f.memory, e->shared + 1, 1, &o, &r,
                              &err),
                     MK_EINVAL);
    assert_non_null(strstr(err.text, "not of this pass"));
    e->shared[2].behind = 1; /* behind an end, which goes on itself */
    assert_int_equal(pass_run(&f.model, &f.params, &f.compute, &f.memory, e->shared, 3, &o, &r,
                              &err),
                     MK_EINVAL);
    golden_trainable_close(&f);
    free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_beginning_changes_no_loss_and_no_gradient),
        cmocka_unit_test(passes_and_threads_change_no_bit),
        cmocka_unit_test(a_beginning_of_another_pass_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
