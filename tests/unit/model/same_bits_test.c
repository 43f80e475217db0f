/* same_bits_test.c: a token's logits are the same bits whatever the threads, the chunks or the
 * neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/forward.h"
#include "support/golden.h"

#define N 70
#define V 517

static const char *const models[] = {"v2-lite", "v2-groups", "v3",      "v3-bf16",
                                     "v3-fp8",  "qwen3",     "mistral", "llama3"};
#define N_MODELS (sizeof models / sizeof *models)

struct variant {
    enum mk_mla mla;
    enum dtype kv;
};
static const struct variant variants[] = {
    {MK_MLA_ABSORBED, MK_F32}, {MK_MLA_EXPANDED, MK_BF16}, {MK_MLA_ABSORBED, MK_I8}};
#define N_VARIANTS (sizeof variants / sizeof *variants)

struct fixture {
    struct golden_model g;
    struct compute c;
    struct arena memory;
    enum dtype kv;
    int32_t *ids; /* [N] */
};

static void open_fixture(struct fixture *f, const char *model, const struct variant *v, int threads)
{
    struct model_options o = {.mla = v->mla};
    struct mk_error err;
    char path[256];
    int32_t n;

    snprintf(path, sizeof path, "tests/golden/models/%s", model);
    golden_open(&f->g, path, &o);
    snprintf(path, sizeof path, "tests/golden/models/%s/expected/ids_150.txt", model);
    f->ids = golden_ids(path, &n);
    assert_true(n >= N);
    if (compute_init(&f->c, NULL, threads, &err))
        fail_msg("%s", err.text);
    arena_init(&f->memory, (size_t)1 << 30);
    f->kv = v->kv;
}

static void close_fixture(struct fixture *f)
{
    free(f->ids);
    arena_release(&f->memory);
    compute_release(&f->c);
    golden_close(&f->g);
}

static void step(struct fixture *f, const struct forward_seq *seqs, int32_t n)
{
    struct mk_error err;

    arena_reset(&f->memory);
    if (model_forward(&f->g.model, &f->c, &f->memory, f->kv, seqs, n, NULL, &err))
        fail_msg("%s", err.text);
}

/* All logits [N, V] of the prompt, computed in chunks. */
static float *in_chunks(struct fixture *f, int32_t chunk)
{
    float *logits = malloc((size_t)N * V * sizeof *logits);
    struct golden_cache cache;

    assert_non_null(logits);
    golden_cache_init(&cache, &f->g.model, f->kv, N);
    for (int32_t i = 0; i < N; i += chunk) {
        int32_t n = N - i < chunk ? N - i : chunk;
        struct forward_seq seq = {.ids = f->ids + i,
                                  .n_ids = n,
                                  .position = i,
                                  .kv = cache.layers,
                                  .logits = logits + (size_t)i * V,
                                  .n_logits = n};

        step(f, &seq, 1);
    }
    golden_cache_release(&cache);
    return logits;
}

static void assert_same(const float *a, const float *b, const char *model, const char *what)
{
    if (memcmp(a, b, (size_t)N * V * sizeof *a) != 0)
        fail_msg("%s: logits change with %s", model, what);
}

static void chunks_do_not_change_a_bit(void **state)
{
    static const int32_t chunks[] = {1, 7, 64};

    (void)state;
    for (size_t i = 0; i < N_MODELS; i++)
        for (size_t j = 0; j < N_VARIANTS; j++) {
            struct fixture f;
            float *whole, *cut;

            open_fixture(&f, models[i], &variants[j], 2);
            whole = in_chunks(&f, N);
            for (size_t k = 0; k < sizeof chunks / sizeof *chunks; k++) {
                cut = in_chunks(&f, chunks[k]);
                assert_same(whole, cut, models[i], "the size of chunks");
                free(cut);
            }
            free(whole);
            close_fixture(&f);
        }
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODELS; i++)
        for (size_t j = 0; j < N_VARIANTS; j++) {
            float *logits[3];

            for (int t = 0; t < 3; t++) {
                struct fixture f;

                open_fixture(&f, models[i], &variants[j], t + 1);
                logits[t] = in_chunks(&f, 64);
                close_fixture(&f);
            }
            assert_same(logits[0], logits[1], models[i], "two threads");
            assert_same(logits[0], logits[2], models[i], "three threads");
            for (int t = 0; t < 3; t++)
                free(logits[t]);
        }
}

/* Eight sequences of different lengths and ages in each step; the one in the middle is compared. */
static void neighbours_do_not_change_a_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODELS; i++)
        for (size_t j = 0; j < N_VARIANTS; j++) {
            struct golden_cache caches[8];
            struct fixture f;
            float *alone, *among = malloc((size_t)N * V * sizeof *among);
            int32_t at[8] = {0};

            open_fixture(&f, models[i], &variants[j], 2);
            alone = in_chunks(&f, 10);
            for (int s = 0; s < 8; s++)
                golden_cache_init(&caches[s], &f.g.model, f.kv, N + 128);
            for (int32_t p = 0; p < N; p += 10) {
                struct forward_seq seqs[8];

                for (int s = 0; s < 8; s++) {
                    int32_t n = s == 4 ? 10 : 1 + (p / 10 + s) % 9;

                    seqs[s] = (struct forward_seq){.ids = f.ids + (s == 4 ? p : (p + 11 * s) % 60),
                                                   .n_ids = n,
                                                   .position = at[s],
                                                   .kv = caches[s].layers,
                                                   .logits = s == 4 ? among + (size_t)p * V : NULL,
                                                   .n_logits = s == 4 ? n : 0};
                    at[s] += n;
                }
                step(&f, seqs, 8);
            }
            assert_same(alone, among, models[i], "its neighbours");
            for (int s = 0; s < 8; s++)
                golden_cache_release(&caches[s]);
            free(alone);
            free(among);
            close_fixture(&f);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_do_not_change_a_bit),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(neighbours_do_not_change_a_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
