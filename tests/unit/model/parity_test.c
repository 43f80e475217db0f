/* parity_test.c: every golden model computes what transformers computed (tests/golden/README.md).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/forward.h"
#include "support/golden.h"

#define ROOM 256
#define MODELS "tests/golden/models/"

/* One model, one cache, memory for a step. */
struct fixture {
    struct golden_model g;
    struct golden_cache cache;
    struct compute c;
    struct arena memory;
};

static void open_fixture(struct fixture *f, const char *path, const struct model_options *o)
{
    struct mk_error err;

    golden_open(&f->g, path, o);
    golden_cache_init(&f->cache, &f->g.model, MK_F32, ROOM);
    if (compute_init(&f->c, NULL, 2, &err))
        fail_msg("%s", err.text);
    arena_init(&f->memory, (size_t)1 << 30);
}

static void close_fixture(struct fixture *f)
{
    arena_release(&f->memory);
    compute_release(&f->c);
    golden_cache_release(&f->cache);
    golden_close(&f->g);
}

/* Valid until the next call. */
static const char *model_path(const char *model)
{
    static char path[256];

    snprintf(path, sizeof path, MODELS "%s", model);
    return path;
}

/* Appends n ids at a position; logits of the last n_logits of them. */
static void run(struct fixture *f, const int32_t *ids, int32_t n, int32_t position, float *logits,
                int32_t n_logits, float *hidden)
{
    struct forward_seq seq = {.ids = ids,
                              .n_ids = n,
                              .position = position,
                              .kv = f->cache.layers,
                              .logits = logits,
                              .n_logits = n_logits,
                              .hidden = hidden};
    struct mk_error err;

    arena_reset(&f->memory);
    if (model_forward(&f->g.model, &f->c, &f->memory, MK_F32, &seq, 1, NULL, &err))
        fail_msg("%s", err.text);
}

/* Largest difference, as a share of the largest expected magnitude. */
static double difference(const float *got, const float *want, int64_t n)
{
    double worst = 0, largest = 0;

    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(got[i]))
            return INFINITY;
        worst = fmax(worst, fabs((double)got[i] - want[i]));
        largest = fmax(largest, fabs((double)want[i]));
    }
    return worst / largest;
}

static void check_prompt(struct fixture *f, const char *model, const char *ids_name,
                         const char *logits_name, double bound)
{
    char path[256];
    int64_t rows, v;
    int32_t n, *ids;
    float *want, *got;
    double d;

    snprintf(path, sizeof path, MODELS "%s/expected/%s", model, ids_name);
    ids = golden_ids(path, &n);
    snprintf(path, sizeof path, MODELS "%s/expected/%s", model, logits_name);
    want = golden_npy(path, &rows, &v);
    got = malloc((size_t)(rows * v) * sizeof *got);
    assert_non_null(got);
    run(f, ids, n, 0, got, (int32_t)rows, NULL);
    d = difference(got, want, rows * v);
    if (!(d <= bound))
        fail_msg("%s, %s: logits differ by %.2e of the largest, allowed are %.0e", model, ids_name,
                 d, bound);
    free(got);
    free(want);
    free(ids);
}

static void check_prompts(struct fixture *f, const char *model, double bound)
{
    check_prompt(f, model, "ids_1.txt", "logits_1.npy", bound);
    check_prompt(f, model, "ids_29.txt", "logits_29.npy", bound);
    check_prompt(f, model, "ids_150.txt", "logits_150_last8.npy", bound);
}

static int32_t largest(const float *x, int64_t n)
{
    int32_t best = 0;

    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = (int32_t)i;
    return best;
}

/* 32 greedy tokens, one at a time on the cache. */
static void check_greedy(struct fixture *f, const char *model)
{
    char path[256];
    int32_t n, n_want, *ids, *want, id;
    float *logits = malloc((size_t)f->g.model.arch.n_vocab * sizeof *logits);

    snprintf(path, sizeof path, MODELS "%s/expected/ids_29.txt", model);
    ids = golden_ids(path, &n);
    snprintf(path, sizeof path, MODELS "%s/expected/greedy_29.txt", model);
    want = golden_ids(path, &n_want);
    run(f, ids, n, 0, logits, 1, NULL);
    for (int32_t i = 0; i < n_want; i++) {
        id = largest(logits, f->g.model.arch.n_vocab);
        if (id != want[i])
            fail_msg("%s: greedy token %d is %d, transformers has %d", model, i, id, want[i]);
        run(f, &id, 1, n + i, logits, 1, NULL);
    }
    free(logits);
    free(want);
    free(ids);
}

static const char *const all_models[] = {"v2-lite",      "v2-groups", "v3",     "v3-noq",
                                         "v3-bf16",      "v3-fp8",    "qwen3",  "qwen2-tied",
                                         "qwen2-untied", "llama3",    "mistral"};
#define N_MODELS (sizeof all_models / sizeof *all_models)

static void logits_and_greedy_ids_are_those_of_transformers(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODELS; i++) {
        struct fixture f;

        open_fixture(&f, model_path(all_models[i]), &(struct model_options){0});
        check_prompts(&f, all_models[i], 1e-4);
        check_greedy(&f, all_models[i]);
        close_fixture(&f);
    }
}

static void expanded_mla_agrees_as_well(void **state)
{
    struct model_options o = {.mla = MK_MLA_EXPANDED};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct fixture f;

        open_fixture(&f, model_path(all_models[i]), &o);
        check_prompts(&f, all_models[i], 1e-4);
        check_greedy(&f, all_models[i]);
        close_fixture(&f);
    }
}

static void fast_numerics_agree_as_well(void **state)
{
    struct model_options o = {.numerics = MK_FAST};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct fixture f;

        open_fixture(&f, model_path(all_models[i]), &o);
        check_prompts(&f, all_models[i], 1e-4);
        check_greedy(&f, all_models[i]);
        close_fixture(&f);
    }
}

static void gguf_files_of_every_era_give_the_logits_of_their_checkpoint(void **state)
{
    static const char *const files[][2] = {
        {"v3-kv_b.gguf", "v3"},         {"v3-mla.gguf", "v3"},
        {"v3-ik.gguf", "v3"},           {"llama3.gguf", "llama3"},
        {"qwen2.gguf", "qwen2-untied"}, {"qwen2-split-00001-of-00002.gguf", "qwen2-untied"}};
    static const enum mk_mla forms[] = {MK_MLA_ABSORBED, MK_MLA_EXPANDED};

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (size_t j = 0; j < 2; j++) {
            struct model_options o = {.mla = forms[j]};
            struct fixture f;
            char path[256];

            snprintf(path, sizeof path, "tests/golden/gguf/%s", files[i][0]);
            open_fixture(&f, path, &o);
            check_prompts(&f, files[i][1], 1e-4);
            close_fixture(&f);
        }
}

static void the_mtp_block_predicts_what_its_reference_predicts(void **state)
{
    static const char *const models[] = {"v3", "v3-bf16"};
    struct model_options o = {.with_mtp = true};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct forward_seq seq = {0};
        struct mk_error err;
        struct fixture f;
        char path[256];
        int32_t n, *ids;
        int64_t rows, v;
        float *hidden, *got, *want;

        open_fixture(&f, model_path(models[i]), &o);
        assert_int_equal(f.g.model.n_mtp, 1);
        snprintf(path, sizeof path, MODELS "%s/expected/ids_29.txt", models[i]);
        ids = golden_ids(path, &n);
        snprintf(path, sizeof path, MODELS "%s/expected/mtp_logits_29.npy", models[i]);
        want = golden_npy(path, &rows, &v);
        hidden = malloc((size_t)n * (size_t)f.g.model.arch.d_model * sizeof *hidden);
        got = malloc((size_t)(rows * v) * sizeof *got);
        run(&f, ids, n, 0, NULL, 0, hidden);
        seq.ids = ids + 1;
        seq.n_ids = n - 1;
        seq.kv = f.cache.layers;
        seq.logits = got;
        seq.n_logits = n - 1;
        arena_reset(&f.memory);
        if (model_forward_mtp(&f.g.model, &f.c, &f.memory, MK_F32, 0, &seq, hidden, &err))
            fail_msg("%s", err.text);
        assert_int_equal(rows, n - 1);
        assert_true(difference(got, want, rows * v) <= 1e-4);
        free(got);
        free(hidden);
        free(want);
        free(ids);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_greedy_ids_are_those_of_transformers),
        cmocka_unit_test(expanded_mla_agrees_as_well),
        cmocka_unit_test(fast_numerics_agree_as_well),
        cmocka_unit_test(gguf_files_of_every_era_give_the_logits_of_their_checkpoint),
        cmocka_unit_test(the_mtp_block_predicts_what_its_reference_predicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
