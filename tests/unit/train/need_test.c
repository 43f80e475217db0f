/* need_test.c: what a pass was said to take is what it takes, whether blocks are kept or computed
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/model_file.h"
#include "train/need.h"

enum { LENGTH = 50, N_SEQS = 40, N_VALID = 10 };
#define HEAD_BYTES ((uint64_t)8 << 20) /* a chunk of logits and more */

struct fixture {
    struct params params;
    struct compute compute;
    struct trainer trainer;
};

static void open_trainer(struct fixture *f, uint64_t keep_bytes, enum dtype compute)
{
    struct trainer_options o = {.optim = optim_defaults(),
                                .pass_tokens = LENGTH * N_SEQS,
                                .keep_bytes = keep_bytes,
                                .mtp_weight = 0.3,
                                .mla = MK_MLA_EXPANDED,
                                .compute = compute};
    struct model_file file;
    struct mk_error err;

    *f = (struct fixture){0};
    if (model_file_open(&file, "tests/golden/models/v3", &err) ||
        params_read(&f->params, &file, true, &err) || params_take_gradients(&f->params, &err) ||
        compute_init(&f->compute, NULL, 2, &err) ||
        trainer_init(&f->trainer, &f->params, &f->compute, &o, &err))
        fail_msg("%s", err.text);
    model_file_release(&file);
}

static void close_trainer(struct fixture *f)
{
    trainer_release(&f->trainer);
    compute_release(&f->compute);
    params_release(&f->params);
}

/* The largest pass that was asked about. */
static uint64_t largest_pass(struct fixture *f)
{
    static int32_t ids[LENGTH * N_SEQS];
    struct trainer *t = &f->trainer;
    struct train_seq seqs[N_SEQS];
    struct pass_options o = {.scale = 1, .mtp_weight = 0.3, .keep_bytes = t->o.keep_bytes};
    struct pass_result r = {0};
    struct mk_error err;

    for (int i = 0; i < LENGTH * N_SEQS; i++)
        ids[i] = i * 7 % 500;
    for (int s = 0; s < N_SEQS; s++)
        seqs[s] = (struct train_seq){
            .ids = ids + s * LENGTH, .targets = ids + s * LENGTH, .n_ids = LENGTH};
    if (pass_run(&t->model, t->params, t->c, &t->pass_memory, seqs, N_SEQS, &o, &r, &err))
        fail_msg("%s", err.text);
    return arena_most(&t->pass_memory) + arena_most(&t->c->scratch) + arena_most(&t->c->rounded);
}

static void check(uint64_t keep_bytes, enum dtype compute)
{
    struct fixture f;
    struct mk_error err;
    struct need n;
    uint64_t most;

    open_trainer(&f, keep_bytes, compute);
    if (need_measure(&n, &f.trainer, LENGTH, N_SEQS, N_VALID, 0, &err))
        fail_msg("%s", err.text);
    assert_int_equal(need_reserve(&n, &f.trainer, &err), 0);
    most = largest_pass(&f);
    if (most > n.passes)
        fail_msg("keeping %llu bytes: %llu were told and %llu taken",
                 (unsigned long long)keep_bytes, (unsigned long long)n.passes,
                 (unsigned long long)most);
    /* Kept blocks are counted beside one that is computed again, the head beside all. */
    assert_true(n.passes < most + most / 2 + HEAD_BYTES);
    assert_true(n.weights > 8 * f.params.n_values && n.gradients > 4 * f.params.n_values);
    close_trainer(&f);
}

static void a_pass_takes_what_was_told(void **state)
{
    (void)state;
    check(0, MK_F32);
    check(3 << 20, MK_F32);
    check((uint64_t)1 << 30, MK_F32);
}

static void so_does_one_of_narrow_types(void **state)
{
    (void)state;
    check(0, MK_BF16);
    check((uint64_t)1 << 30, MK_F8_E4M3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_takes_what_was_told),
        cmocka_unit_test(so_does_one_of_narrow_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
