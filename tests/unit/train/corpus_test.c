/* corpus_test.c: an epoch holds every token of every shard once, and a resumed corpus goes on as
 * the first one would have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/corpus.h"

#define N_SHARDS 3
#define LENGTH 64

struct files { char paths[N_SHARDS + 1][64]; const char *list[N_SHARDS + 1]; };

/* Ids say which document of which shard they are: 1000 * shard + document, and documents have 1 to
 * 150 tokens. The second shard is empty; the last path is the second source. */
static int setup(void **state)
{
    static const int n_documents[N_SHARDS + 1] = {40, 0, 25, 10};
    struct token_shard_key key = {.n_vocab = 5000};
    struct files *f = calloc(1, sizeof *f);
    struct mk_error err = {0};
    int32_t ids[150];

    for (int k = 0; k <= N_SHARDS; k++) {
        struct token_shard_writer w;

        snprintf(f->paths[k], sizeof f->paths[k], "/tmp/minke-corpus-%ld-%d", (long)getpid(), k);
        f->list[k] = f->paths[k];
        assert_int_equal(token_shard_create(&w, f->paths[k], &key, TOKEN_SHARD_TEXT, &err), 0);
        for (int d = 0; d < n_documents[k]; d++) {
            for (int i = 0; i < 150; i++)
                ids[i] = 1000 * k + d;
            assert_int_equal(
                token_shard_append(&w, ids, NULL, 1 + (size_t)(d * 61 % 150), &err), 0);
        }
        assert_int_equal(token_shard_finish(&w, &err), 0);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct files *f = *state;

    for (int k = 0; k <= N_SHARDS; k++)
        unlink(f->paths[k]);
    free(f);
    return 0;
}

static struct corpus *open_corpus(const struct files *f)
{
    const struct corpus_source sources[] = {
        {.name = "a", .shards = f->list, .n_shards = N_SHARDS, .n_points = 1, .points = {{0, 3}}},
        {.name = "b", .shards = f->list + N_SHARDS, .n_shards = 1, .n_points = 1,
         .points = {{0, 1}}}};
    struct corpus_options o = {.sources = sources, .n_sources = 2, .length = LENGTH, .seed = 5};
    struct mk_error err = {0};
    struct corpus *c;

    if (corpus_open(&c, &o, &err))
        fail_msg("%s", err.text);
    return c;
}

static void an_epoch_holds_every_token_once(void **state)
{
    struct corpus *c = open_corpus(*state);
    const struct packing *p = corpus_packing(c, 0);
    int counts[3000] = {0};
    int64_t n_sequences = 0;

    while (n_sequences < p->n_sequences) {
        struct corpus_sequence s = corpus_next(c);
        int32_t total = 0;

        if (s.source != 0)
            continue;
        assert_int_equal(s.epoch, 0);
        n_sequences++;
        for (int32_t i = 0; i < s.n_fragments; i++) {
            const struct corpus_fragment *f = &s.fragments[i];

            for (int32_t k = 0; k < f->n; k++) { /* a fragment is of one document */
                assert_int_equal(f->ids[k], f->ids[0]);
                counts[f->ids[k]]++;
            }
            total += f->n;
        }
        assert_int_equal(total, s.n_tokens);
        assert_true(total <= LENGTH);
    }
    for (int d = 0; d < 40; d++)
        assert_int_equal(counts[d], 1 + d * 61 % 150);
    for (int d = 0; d < 25; d++)
        assert_int_equal(counts[2000 + d], 1 + d * 61 % 150);
    corpus_close(c);
}

static void a_resumed_corpus_goes_on_as_before(void **state)
{
    struct corpus *c = open_corpus(*state), *resumed = open_corpus(*state);

    for (int i = 0; i < 100; i++) {
        struct corpus_sequence s = corpus_next(c);

        mixture_count(corpus_mixture(c), s.source, s.n_tokens, 1.5, 1);
    }
    corpus_mixture(resumed)->state = corpus_mixture(c)->state;
    for (int i = 0; i < 200; i++) {
        struct corpus_sequence a = corpus_next(c), b = corpus_next(resumed);

        assert_int_equal(a.source, b.source);
        assert_int_equal(a.epoch, b.epoch);
        assert_int_equal(a.n_tokens, b.n_tokens);
        assert_memory_equal(a.fragments[0].ids, b.fragments[0].ids,
                            (size_t)a.n_tokens * sizeof(int32_t));
    }
    corpus_close(c);
    corpus_close(resumed);
}

/* Tokens of one epoch of source a, from share `begin` to `end`. */
static int64_t count_share(const struct files *f, double begin, double end, int *counts)
{
    struct corpus_source source = {.name = "a", .shards = f->list, .n_shards = N_SHARDS,
                                   .n_points = 1, .points = {{0, 1}}, .begin = begin, .end = end};
    struct corpus_options o = {.sources = &source, .n_sources = 1, .length = LENGTH};
    struct mk_error err = {0};
    int64_t n = 0;
    struct corpus *c;

    if (corpus_open(&c, &o, &err))
        fail_msg("%s", err.text);
    for (int64_t i = 0; i < corpus_mixture(c)->sources[0].n_sequences; i++) {
        struct corpus_sequence s = corpus_next(c);

        n += s.n_tokens;
        for (int32_t j = 0; j < s.n_fragments; j++)
            counts[s.fragments[j].ids[0]] += s.fragments[j].n;
    }
    corpus_close(c);
    return n;
}

static void shares_of_a_source_have_nothing_in_common_and_leave_nothing_out(void **state)
{
    int all[3000] = {0}, parts[3000] = {0};
    int64_t n = count_share(*state, 0, 0, all);
    int64_t first = count_share(*state, 0, 0.7, parts);

    assert_true(first > 0 && first < n);
    assert_int_equal(first + count_share(*state, 0.7, 1, parts), n);
    assert_memory_equal(all, parts, sizeof all);
}

static void sources_that_cannot_be_read_are_named(void **state)
{
    const struct files *f = *state;
    static const char *const missing[] = {"/nonexistent/shard"};
    struct corpus_source source = {
        .name = "web", .shards = missing, .n_shards = 1, .n_points = 1, .points = {{0, 1}}};
    struct corpus_options o = {.sources = &source, .n_sources = 1, .length = LENGTH};
    const char *empty[1];
    struct mk_error err = {0};
    struct corpus *c;

    assert_int_equal(corpus_open(&c, &o, &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "source web"));
    empty[0] = f->list[1];
    source.shards = empty;
    assert_int_equal(corpus_open(&c, &o, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "holds no sequence"));
    o.length = 1;
    assert_int_equal(corpus_open(&c, &o, &err), MK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_epoch_holds_every_token_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_resumed_corpus_goes_on_as_before, setup, teardown),
        cmocka_unit_test_setup_teardown(
            shares_of_a_source_have_nothing_in_common_and_leave_nothing_out, setup, teardown),
        cmocka_unit_test_setup_teardown(sources_that_cannot_be_read_are_named, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
