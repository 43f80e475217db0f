/* scheduler_test.c: an answer is the same whatever else is being answered, and its
 * log-probabilities are those of one pass over the whole. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "generate/logprobs.h"
#include "generate/sampling_options.h"
#include "generate/scheduler.h"
#include "model/forward.h"
#include "support/golden.h"

#define N_GROUPS 5
#define N_SAMPLES 3
#define MAX_TOKENS 12
#define V 517

static const char *const models[] = {"v3", "v2-lite", "qwen3"};
#define N_MODELS (sizeof models / sizeof *models)

struct fixture {
    struct golden_model g;
    struct compute c;
    struct arena memory;
    int32_t prompts[N_GROUPS][8];
    struct schedule_group groups[N_GROUPS];
    struct schedule_answer answers[N_GROUPS * N_SAMPLES];
};

static void open_fixture(struct fixture *f, const char *name)
{
    struct model_options o = {.mla = MK_MLA_EXPANDED};
    struct mk_error err;
    char path[128];

    snprintf(path, sizeof path, "tests/golden/models/%s", name);
    memset(f, 0, sizeof *f);
    golden_open(&f->g, path, &o);
    if (compute_init(&f->c, NULL, 2, &err))
        fail_msg("%s", err.text);
    arena_init(&f->memory, (size_t)1 << 28);
    for (int32_t i = 0; i < N_GROUPS; i++) {
        for (int32_t j = 0; j <= i + 1; j++)
            f->prompts[i][j] = (i * 37 + j * 11 + 3) % V;
        f->groups[i] = (struct schedule_group){f->prompts[i], i + 2, N_SAMPLES,
                                               (uint64_t)i * N_SAMPLES};
    }
}

static void close_fixture(struct fixture *f)
{
    arena_release(&f->memory);
    compute_release(&f->c);
    golden_close(&f->g);
}

/* Two of the vocabulary's ids end an answer, so that answers have different lengths. */
static const int32_t stops[] = {5, 99};

static struct schedule_options options(int32_t n_slots)
{
    struct schedule_options o = {.n_slots = n_slots,
                                 .max_tokens = MAX_TOKENS,
                                 .max_prompt = 8,
                                 .kv = MK_F32,
                                 .sampling = mk_sampling_default(),
                                 .stop_ids = stops,
                                 .n_stop_ids = 2};

    o.sampling.seed = 7;
    return o;
}

static void run(struct fixture *f, const struct schedule_options *o)
{
    struct scheduler *s;
    struct mk_error err;

    if (scheduler_create(&s, &f->g.model, &f->c, o, &err) ||
        scheduler_run(s, f->groups, N_GROUPS, f->answers, &f->memory, NULL, NULL, &err))
        fail_msg("%s", err.text);
    scheduler_free(s);
}

static void assert_same(const struct schedule_answer *a, const struct schedule_answer *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->stopped, b->stopped);
    assert_memory_equal(a->ids, b->ids, (size_t)a->n * sizeof *a->ids);
    assert_memory_equal(a->logprobs, b->logprobs, (size_t)a->n * sizeof *a->logprobs);
}

static void slots_and_neighbours_change_no_bit(void **state)
{
    struct schedule_answer first[N_GROUPS * N_SAMPLES];

    (void)state;
    for (size_t m = 0; m < N_MODELS; m++) {
        struct fixture f;
        bool differ = false;

        open_fixture(&f, models[m]);
        for (int32_t n_slots = 1; n_slots <= 16; n_slots += 5) {
            struct schedule_options o = options(n_slots);

            run(&f, &o);
            if (n_slots == 1)
                memcpy(first, f.answers, sizeof first);
            for (int i = 0; i < N_GROUPS * N_SAMPLES; i++)
                assert_same(&f.answers[i], &first[i]);
        }
        for (int i = 1; i < N_SAMPLES; i++)
            differ |= first[i].n != first[0].n ||
                      memcmp(first[i].ids, first[0].ids, (size_t)first[0].n * sizeof(int32_t)) != 0;
        assert_true(differ); /* samples of a group are not copies of one another */
        close_fixture(&f);
    }
}

/* Logits of every position of prompt and answer in one pass. */
static float *whole_pass(struct fixture *f, const int32_t *ids, int32_t n, int32_t *experts)
{
    struct golden_cache cache;
    struct arena step;
    float *logits = calloc((size_t)n * V, sizeof *logits);
    struct forward_keep keep = {.experts = experts};
    struct mk_error err;

    golden_cache_init(&cache, &f->g.model, MK_F32, n);
    arena_init(&step, (size_t)1 << 28);
    struct forward_seq seq = {
        .ids = ids, .n_ids = n, .kv = cache.layers, .logits = logits, .n_logits = n};
    if (model_forward(&f->g.model, &f->c, &step, MK_F32, &seq, 1, experts ? &keep : NULL, &err))
        fail_msg("%s", err.text);
    arena_release(&step);
    golden_cache_release(&cache);
    return logits;
}

static void assert_logprobs_of_one_pass(struct fixture *f, int32_t group,
                                        const struct schedule_answer *a, int32_t used)
{
    int32_t ids[32], n_prompt = f->groups[group].n_prompt, n = n_prompt + a->n;
    int32_t layers = f->g.model.arch.n_layers, *experts = NULL;
    float *logits;

    memcpy(ids, f->prompts[group], (size_t)n_prompt * sizeof *ids);
    memcpy(ids + n_prompt, a->ids, (size_t)a->n * sizeof *ids);
    if (used)
        experts = calloc((size_t)(layers * (n - 1) * used), sizeof *experts);
    logits = whole_pass(f, ids, n - 1, experts);
    for (int32_t i = 0; i < a->n; i++) {
        const float *row = logits + (int64_t)(n_prompt + i - 1) * V;
        float want = logprobs_of(row, logprobs_sum(&f->c, row, V), a->ids[i]);

        assert_memory_equal(&a->logprobs[i], &want, sizeof want);
    }
    for (int32_t l = 0; l < layers && used; l++)
        for (int32_t i = 0; i < n - 1 && l >= f->g.model.arch.first_k_dense; i++)
            assert_memory_equal(a->experts + ((int64_t)i * layers + l) * used,
                                experts + ((int64_t)l * (n - 1) + i) * used,
                                (size_t)used * sizeof *experts);
    free(experts);
    free(logits);
}

static void logprobs_and_experts_are_those_of_one_pass(void **state)
{
    (void)state;
    for (size_t m = 0; m < N_MODELS; m++) {
        struct fixture f;
        struct schedule_options o = options(4);
        int32_t used;

        open_fixture(&f, models[m]);
        used = f.g.model.arch.n_experts_used;
        o.keep_experts = used > 0;
        run(&f, &o);
        for (int i = 0; i < N_GROUPS * N_SAMPLES; i++)
            assert_logprobs_of_one_pass(&f, i / N_SAMPLES, &f.answers[i], used);
        close_fixture(&f);
    }
}

static void sets_hold_what_the_filters_left(void **state)
{
    struct fixture f;
    struct schedule_options o = options(6);

    (void)state;
    open_fixture(&f, "v3");
    o.keep_sets = true;
    o.sampling.top_k = 10;
    run(&f, &o);
    for (int i = 0; i < N_GROUPS * N_SAMPLES; i++)
        for (int32_t t = 0; t < f.answers[i].n; t++) {
            const uint32_t *set = f.answers[i].sets + t * schedule_set_words(V);
            int n = 0;

            for (int32_t id = 0; id < V; id++)
                n += set[id / 32] >> id % 32 & 1;
            assert_int_equal(n, 10);
            assert_true(set[f.answers[i].ids[t] / 32] >> f.answers[i].ids[t] % 32 & 1);
            assert_true(f.answers[i].logprobs[t] <= 0);
        }
    close_fixture(&f);
}

static void a_long_thought_is_ended(void **state)
{
    struct fixture f;
    struct schedule_options o = options(6);

    (void)state;
    open_fixture(&f, "v3");
    o.n_stop_ids = 0;
    o.think_budget = 4;
    o.think_begin = f.prompts[0][1]; /* the last id of the first prompt */
    o.think_end = 500;
    run(&f, &o);
    for (int i = 0; i < N_SAMPLES; i++) {
        assert_int_equal(f.answers[i].n, MAX_TOKENS);
        assert_int_equal(f.answers[i].forced, 4);
        assert_int_equal(f.answers[i].ids[4], 500);
    }
    close_fixture(&f);
}

/* One token of an answer was not drawn, and `forced` says which: were a second thought ended too,
 * the first end would pass for a draw and be learned from. */
static void a_second_thought_is_its_own(void **state)
{
    struct fixture f;
    struct schedule_options o = options(3);
    int n_again = 0;

    (void)state;
    open_fixture(&f, "v3");
    o.n_stop_ids = 0;
    o.max_tokens = 400;
    o.think_budget = 2;
    o.think_begin = f.prompts[0][1];
    o.think_end = 500;
    run(&f, &o);
    for (int i = 0; i < N_SAMPLES; i++) {
        assert_int_equal(f.answers[i].forced, 2);
        for (int32_t t = 3; t < f.answers[i].n; t++)
            n_again += f.answers[i].ids[t] == o.think_begin;
    }
    assert_true(n_again > 0); /* else this shows nothing */
    close_fixture(&f);
}

static bool has_ended(void *user, const int32_t *ids, int32_t n)
{
    const int32_t *limit = user;

    return n > *limit && ids[n - 1] % 2 == 0;
}

static void its_caller_may_end_an_answer(void **state)
{
    struct fixture f;
    struct schedule_options o = options(6);
    int32_t limit = 3;
    bool early = false;

    (void)state;
    open_fixture(&f, "v3");
    o.n_stop_ids = 0;
    o.ended = has_ended;
    o.ended_user = &limit;
    run(&f, &o);
    for (int i = 0; i < N_GROUPS * N_SAMPLES; i++) {
        const struct schedule_answer *a = &f.answers[i];

        assert_false(a->stopped);
        for (int32_t n = 1; n < a->n; n++)
            assert_false(has_ended(&limit, a->ids, n)); /* at the first moment */
        assert_true(a->n == MAX_TOKENS || has_ended(&limit, a->ids, a->n));
        early |= a->n < MAX_TOKENS;
    }
    assert_true(early);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_and_neighbours_change_no_bit),
        cmocka_unit_test(logprobs_and_experts_are_those_of_one_pass),
        cmocka_unit_test(sets_hold_what_the_filters_left),
        cmocka_unit_test(a_long_thought_is_ended),
        cmocka_unit_test(a_second_thought_is_its_own),
        cmocka_unit_test(its_caller_may_end_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
