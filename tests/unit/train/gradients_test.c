/* gradients_test.c: the backward pass of every golden model against PyTorch autograd
 * (tools/golden/gradients.py), and the bits of gradients. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/model_file.h"
#include "support/golden.h"
#include "support/golden_gradients.h"
#include "support/golden_trainable.h"

#define MODELS "tests/golden/models/"

static void open_model(struct golden_trainable *f, const char *name, bool mtp, enum mk_mla mla,
                       int threads)
{
    const struct model_options o = {.mla = mla, .with_mtp = mtp};

    golden_trainable_open(f, name, &o, threads);
}

static void run(struct golden_trainable *f, const struct train_seq *seqs, int32_t n_seqs,
                const struct pass_options *o, struct pass_result *r)
{
    struct mk_error err;

    if (pass_run(&f->model, &f->params, &f->compute, &f->memory, seqs, n_seqs, o, r, &err))
        fail_msg("%s", err.text);
}

/* ---- Against PyTorch ------------------------------------------------------------------------ */

struct golden_case {
    const char *model, *file;
    bool mtp, balance, capacity;
};

static void check_case(const struct golden_case *g, enum mk_mla mla, uint64_t keep_bytes)
{
    struct pass_options o = {.mtp_weight = 0.3, .keep_bytes = keep_bytes};
    double balance[8] = {0}, balance_sum = 0;
    struct pass_result r = {.balance_loss = balance};
    struct golden_trainable f;
    char path[256];
    int32_t n, *ids;

    open_model(&f, g->model, g->mtp, mla, 2);
    snprintf(path, sizeof path, MODELS "%s/expected/ids_29.txt", g->model);
    ids = golden_ids(path, &n);
    int32_t targets[64];
    memcpy(targets, ids + 1, (size_t)(n - 1) * sizeof *ids);
    targets[n - 1] = -1;
    o.scale = 1.0 / (n - 1);
    if (g->balance)
        o.balance =
            (struct balance_options){.sequence = 0.5, .expert = 0.5, .token_scale = 1.0 / n};
    if (g->balance && f.params.arch.n_group > 1) {
        o.balance.device = 0.25;
        o.balance.transfer = 0.125;
        o.balance.n_devices = f.params.arch.n_group;
    }
    if (g->capacity)
        o.capacity = (struct capacity){1, f.params.arch.n_group};
    run(&f, &(struct train_seq){.ids = ids, .targets = targets, .n_ids = n}, 1, &o, &r);
    params_join(&f.params);
    for (int l = 0; l < 8; l++)
        balance_sum += balance[l];
    snprintf(path, sizeof path, MODELS "%s/expected/%s", g->model, g->file);
    golden_gradients_check(&f.params, path,
                           (r.loss + (g->mtp ? 0.3 * r.mtp_loss[0] : 0)) * o.scale + balance_sum);
    free(ids);
    golden_trainable_close(&f);
}

static const char *const names[] = {"llama3", "mistral",   "qwen2-tied", "qwen2-untied",
                                    "qwen3",  "v2-groups", "v2-lite",    "v3",
                                    "v3-noq", "v3-bf16",   "v3-fp8"};
enum { N_NAMES = sizeof names / sizeof *names };

static void every_gradient_is_that_of_autograd(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++)
        check_case(&(struct golden_case){names[i], "gradients.txt", false, false, false},
                   MK_MLA_EXPANDED, 1 << 30);
}

static void absorbed_attention_has_the_same_gradients(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++)
        if (names[i][0] == 'v')
            check_case(&(struct golden_case){names[i], "gradients.txt", false, false, false},
                       MK_MLA_ABSORBED, 1 << 30);
}

static void multi_token_prediction_reaches_every_weight(void **state)
{
    (void)state;
    check_case(&(struct golden_case){"v3", "gradients_mtp.txt", true, false, false},
               MK_MLA_EXPANDED, 1 << 30);
    check_case(&(struct golden_case){"v3", "gradients_mtp.txt", true, false, false},
               MK_MLA_EXPANDED, 0);
}

static void balance_losses_are_those_of_the_reports(void **state)
{
    const char *const models[] = {"v3", "v2-lite", "v2-groups"};

    (void)state;
    for (int i = 0; i < 3; i++)
        check_case(&(struct golden_case){models[i], "gradients_balance.txt", false, true, false},
                   MK_MLA_EXPANDED, 1 << 30);
}

static void dropped_choices_give_and_get_no_gradient(void **state)
{
    (void)state;
    check_case(&(struct golden_case){"v2-groups", "gradients_capacity.txt", false, false, true},
               MK_MLA_EXPANDED, 1 << 30);
}

/* ---- Bits ----------------------------------------------------------------------------------- */

#define N_SEQS 32
#define MAX_IDS 13

/* Thirty-two documents of 1 to 12 tokens, with weights. */
struct batch {
    int32_t ids[N_SEQS][MAX_IDS], targets[N_SEQS][MAX_IDS];
    float weight[N_SEQS][MAX_IDS];
    struct train_seq seqs[N_SEQS];
};

static void make_batch(struct batch *b, int32_t n_vocab)
{
    uint32_t x = 12345;

    for (int s = 0; s < N_SEQS; s++) {
        for (int i = 0; i < MAX_IDS; i++) {
            x = x * 1664525 + 1013904223;
            b->ids[s][i] = (int32_t)((x >> 8) % (uint32_t)n_vocab);
            b->weight[s][i] = (float)(x >> 28) / 8;
        }
        for (int i = 0; i + 1 < MAX_IDS; i++)
            b->targets[s][i] = i % 5 == 3 ? -1 : b->ids[s][i + 1];
        b->seqs[s] = (struct train_seq){.ids = b->ids[s],
                                        .targets = b->targets[s],
                                        .weight = b->weight[s],
                                        .n_ids = 1 + s % (MAX_IDS - 1)};
    }
}

/* Gradients of the batch, cut into passes of n sequences each. */
static void accumulate(struct golden_trainable *f, const struct batch *b, int32_t n,
                       uint64_t keep_bytes)
{
    struct pass_options o = {.scale = 1.0 / 100,
                             .mtp_weight = 0.3,
                             .keep_bytes = keep_bytes,
                             .balance = {.sequence = 0.1, .token_scale = 1.0 / 100}};
    struct pass_result r = {0};

    params_zero_gradients(&f->params, NULL);
    for (int32_t i = 0; i < N_SEQS; i += n)
        run(f, b->seqs + i, n, &o, &r);
    params_join(&f->params);
}

static void assert_same(const struct params *a, const struct params *b, const char *what)
{
    for (int64_t i = 0; i < a->n_items; i++)
        if (a->items[i].grad &&
            memcmp(a->items[i].grad, b->items[i].grad, (size_t)a->items[i].n * sizeof(float)))
            fail_msg("%s: the gradient of %s differs", what, a->items[i].name);
}

static void check_bits(const char *model, bool mtp, enum mk_mla mla)
{
    struct golden_trainable f, g;
    struct batch b;

    open_model(&f, model, mtp, mla, 1);
    make_batch(&b, f.params.arch.n_vocab);
    accumulate(&f, &b, N_SEQS, 1 << 30);
    for (int threads = 1; threads <= 3; threads++) {
        open_model(&g, model, mtp, mla, threads);
        accumulate(&g, &b, threads == 1 ? 8 : threads == 2 ? 16 : N_SEQS, 1 << 30);
        assert_same(&f.params, &g.params,
                    threads == 1   ? "4 x 8"
                    : threads == 2 ? "2 x 16, 2 threads"
                                   : "3 threads");
        accumulate(&g, &b, N_SEQS, threads == 3 ? 0 : 200000);
        assert_same(&f.params, &g.params, "blocks computed again");
        golden_trainable_close(&g);
    }
    golden_trainable_close(&f);
}

static void gradients_are_the_same_bits_however_a_step_is_cut(void **state)
{
    (void)state;
    check_bits("v3", true, MK_MLA_EXPANDED);
    check_bits("v3-noq", false, MK_MLA_ABSORBED);
    check_bits("v2-groups", false, MK_MLA_EXPANDED);
    check_bits("qwen2-tied", false, MK_MLA_AUTO);
    check_bits("qwen3", false, MK_MLA_AUTO);
}

/* From everything to nothing but the inputs: less memory, the same bits. */
static void memory_decides_what_is_kept_and_changes_no_bit(void **state)
{
    uint64_t whole, most = UINT64_MAX;
    int64_t n_rows = 0;
    int32_t seen[3] = {0};
    enum block_keep keep[8];
    struct golden_trainable f, g;
    struct batch b;
    bool all;

    (void)state;
    open_model(&f, "v3", true, MK_MLA_EXPANDED, 1);
    open_model(&g, "v3", true, MK_MLA_EXPANDED, 1);
    make_batch(&b, f.params.arch.n_vocab);
    for (int s = 0; s < N_SEQS; s++)
        n_rows += b.seqs[s].n_ids;
    whole = pass_keep(&f.model, n_rows, UINT64_MAX / 2, keep, &all);
    assert_true(all && keep[0] == KEEP_WHOLE);
    accumulate(&f, &b, N_SEQS, whole);
    for (int i = 4; i >= 0; i--) {
        uint64_t room = whole * (uint64_t)i / 4;

        assert_true(pass_keep(&g.model, n_rows, room, keep, &all) <= room);
        assert_int_equal(all, i == 4);
        for (int l = 0; l < 4; l++)
            seen[keep[l]]++;
        arena_release(&g.memory);
        accumulate(&g, &b, N_SEQS, room);
        assert_same(&f.params, &g.params, "other memory");
        assert_true(arena_most(&g.memory) <= most);
        most = arena_most(&g.memory);
    }
    assert_true(seen[KEEP_INPUT] > 4 && seen[KEEP_LEAN] > 1 && seen[KEEP_WHOLE] > 4);
    assert_true(most + whole / 2 < arena_most(&f.memory));
    golden_trainable_close(&f);
    golden_trainable_close(&g);
}

/* ---- Promises of the interface --------------------------------------------------------------- */

/* Of 400 positions and 50000 tokens all logits would be 80 MB. */
static void logits_of_all_positions_are_never_held(void **state)
{
    enum { N_ROWS = 400, N_VOCAB = 50000 };
    struct model_options mo = {.mla = MK_MLA_AUTO};
    struct pass_options o = {.scale = 1};
    struct pass_result r = {0};
    static int32_t ids[N_ROWS];
    struct train_seq seq = {.ids = ids, .targets = ids, .n_ids = N_ROWS};
    struct golden_trainable f = {0};
    struct mk_error err;
    struct arch a;

    (void)state;
    open_model(&f, "llama3", false, MK_MLA_AUTO, 2);
    a = f.params.arch;
    golden_trainable_close(&f);
    f = (struct golden_trainable){0};
    a.n_vocab = N_VOCAB;
    for (int i = 0; i < N_ROWS; i++)
        ids[i] = i * 97 % N_VOCAB;
    if (params_init(&f.params, &a, &err) || params_take_gradients(&f.params, &err) ||
        compute_init(&f.compute, NULL, 2, &err))
        fail_msg("%s", err.text);
    params_randomise(&f.params, 1, 0.02);
    if (params_pack(&f.params, &f.model, &mo, &err))
        fail_msg("%s", err.text);
    arena_init(&f.memory, (size_t)1 << 30);
    run(&f, &seq, 1, &o, &r);
    assert_int_equal(r.n_targets, N_ROWS);
    assert_true(fabs(r.loss / N_ROWS - log(N_VOCAB)) < 1);
    if (arena_most(&f.memory) >= (size_t)30 << 20)
        fail_msg("%zu bytes", (size_t)arena_most(&f.memory));
    golden_trainable_close(&f);
}

static void losses_of_a_forward_pass_are_those_of_training(void **state)
{
    struct pass_options o = {.scale = 1};
    struct pass_result trained = {0}, alone = {0};
    float loss[MAX_IDS], again[MAX_IDS];
    struct golden_trainable f;
    struct batch b;

    (void)state;
    open_model(&f, "v3", false, MK_MLA_EXPANDED, 2);
    make_batch(&b, f.params.arch.n_vocab);
    b.seqs[11].loss = loss;
    run(&f, b.seqs, N_SEQS, &o, &trained);
    b.seqs[11].loss = again;
    o.forward_only = true;
    run(&f, b.seqs + 11, 1, &o, &alone);
    assert_memory_equal(loss, again, (size_t)b.seqs[11].n_ids * sizeof *loss);
    assert_true(loss[0] > 0);
    assert_true(loss[3] == 0); /* without target */
    golden_trainable_close(&f);
}

static void frozen_weights_have_no_gradient_and_change_no_other(void **state)
{
    struct golden_trainable f, g;
    struct mk_error err;
    struct batch b;

    (void)state;
    open_model(&f, "v3", false, MK_MLA_EXPANDED, 1);
    make_batch(&b, f.params.arch.n_vocab);
    accumulate(&f, &b, N_SEQS, 0);
    open_model(&g, "v3", false, MK_MLA_EXPANDED, 1);
    for (int64_t i = 0; i < g.params.n_items; i++) {
        g.params.items[i].frozen = i % 2;
        if (i % 2)
            g.params.items[i].grad = NULL;
    }
    assert_int_equal(params_take_gradients(&g.params, &err), 0);
    accumulate(&g, &b, N_SEQS, 0);
    for (int64_t i = 0; i < g.params.n_items; i++) {
        assert_true(i % 2 == 0 || !g.params.items[i].grad);
        if (g.params.items[i].grad)
            assert_memory_equal(g.params.items[i].grad, f.params.items[i].grad,
                                (size_t)g.params.items[i].n * sizeof(float));
    }
    golden_trainable_close(&f);
    golden_trainable_close(&g);
}

/* The choices of one pass, forced in another: the same gradients; other choices: others. */
static void replay(bool mtp)
{
    struct pass_options o = {.scale = 0.01, .mtp_weight = 0.3};
    struct pass_result r = {0};
    struct model_options mo = {.mla = MK_MLA_EXPANDED, .with_mtp = mtp};
    struct mk_error err;
    struct golden_trainable f, g;
    struct batch b;
    int32_t chosen[4 * N_SEQS * MAX_IDS * 8];

    open_model(&f, "v3", mtp, MK_MLA_EXPANDED, 1);
    open_model(&g, "v3", mtp, MK_MLA_EXPANDED, 1);
    make_batch(&b, f.params.arch.n_vocab);
    memset(chosen, 0, sizeof chosen);
    o.experts = chosen;
    run(&f, b.seqs, N_SEQS, &o, &r);
    o.experts = NULL;
    o.forced_experts = chosen;
    for (int64_t i = 0; i < g.params.n_items; i++) /* the bias would choose others */
        if (g.params.items[i].role == W_ROUTER_BIAS)
            for (int64_t j = 0; j < g.params.items[i].n; j++)
                g.params.items[i].w[j] = j % 2 ? 5 : -5;
    assert_int_equal(params_pack(&g.params, &g.model, &mo, &err), 0);
    run(&g, b.seqs, N_SEQS, &o, &r);
    assert_same(&f.params, &g.params, "replayed");
    golden_trainable_close(&f);
    golden_trainable_close(&g);
}

/* Blocks of MTP have fewer rows than the model, and choices of their own. */
static void experts_can_be_replayed(void **state)
{
    (void)state;
    replay(false);
    replay(true);
}

/* Half the room there is: choices are dropped, but never those of a sequence that keeps all; and
 * however a step is cut they are the same. */
static void dropped_choices_follow_from_their_own_sequence(void **state)
{
    struct pass_options o = {.scale = 0.01, .keep_bytes = 1 << 30,
                             .capacity = {.factor = 0.5, .n_devices = 2}};
    int64_t whole[8] = {0}, cut[8] = {0}, all[8] = {0};
    struct pass_result r = {.dropped = whole};
    struct golden_trainable f, g;
    struct batch b;

    (void)state;
    open_model(&f, "v2-groups", false, MK_MLA_EXPANDED, 1);
    open_model(&g, "v2-groups", false, MK_MLA_EXPANDED, 3);
    make_batch(&b, f.params.arch.n_vocab);
    b.seqs[11].keep_all = true; /* the longest one */
    run(&f, b.seqs, N_SEQS, &o, &r);
    o.keep_bytes = 0;
    r.dropped = cut;
    for (int i = 0; i < N_SEQS; i += 8)
        run(&g, b.seqs + i, 8, &o, &r);
    params_join(&f.params);
    params_join(&g.params);
    assert_same(&f.params, &g.params, "cut");
    assert_true(whole[0] == 0 && whole[1] > 0); /* the first layer is dense */
    assert_memory_equal(whole, cut, sizeof whole);
    r.dropped = all;
    run(&g, b.seqs + 11, 1, &o, &r);
    assert_int_equal(all[1], 0);
    golden_trainable_close(&f);
    golden_trainable_close(&g);
}

static void ids_outside_the_vocabulary_are_refused(void **state)
{
    int32_t ids[2] = {1, 2}, targets[2] = {2, 1 << 20};
    struct train_seq seq = {.ids = ids, .targets = targets, .n_ids = 2};
    struct pass_options o = {.scale = 1};
    struct pass_result r = {0};
    struct mk_error err;
    struct golden_trainable f;

    (void)state;
    open_model(&f, "llama3", false, MK_MLA_AUTO, 1);
    assert_int_equal(pass_run(&f.model, &f.params, &f.compute, &f.memory, &seq, 1, &o, &r, &err),
                     MK_EINVAL);
    assert_non_null(strstr(err.text, "vocabulary"));
    targets[1] = -1;
    ids[1] = -7;
    assert_int_equal(pass_run(&f.model, &f.params, &f.compute, &f.memory, &seq, 1, &o, &r, &err),
                     MK_EINVAL);
    golden_trainable_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient_is_that_of_autograd),
        cmocka_unit_test(absorbed_attention_has_the_same_gradients),
        cmocka_unit_test(multi_token_prediction_reaches_every_weight),
        cmocka_unit_test(balance_losses_are_those_of_the_reports),
        cmocka_unit_test(dropped_choices_give_and_get_no_gradient),
        cmocka_unit_test(gradients_are_the_same_bits_however_a_step_is_cut),
        cmocka_unit_test(memory_decides_what_is_kept_and_changes_no_bit),
        cmocka_unit_test(logits_of_all_positions_are_never_held),
        cmocka_unit_test(losses_of_a_forward_pass_are_those_of_training),
        cmocka_unit_test(frozen_weights_have_no_gradient_and_change_no_other),
        cmocka_unit_test(experts_can_be_replayed),
        cmocka_unit_test(dropped_choices_follow_from_their_own_sequence),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
