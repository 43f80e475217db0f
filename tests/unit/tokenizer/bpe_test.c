/* bpe_test.c: the merge engine: short and long pieces agree with the definition, long ones stay
 * linear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/tiny_tokenizer.h"
#include "tokenizer/bpe.h"

/* The definition: merge the leftmost pair of lowest rank until there is none. */
static size_t by_definition(const struct bpe_table *t, int32_t *s, size_t n)
{
    for (;;) {
        struct bpe_merge best = {BPE_NO_RANK, -1};
        size_t at = 0;

        for (size_t i = 0; i + 1 < n; i++) {
            struct bpe_merge m = bpe_table_find(t, s[i], s[i + 1]);

            if (m.rank < best.rank) {
                best = m;
                at = i;
            }
        }
        if (best.rank == BPE_NO_RANK)
            return n;
        s[at] = best.result;
        memmove(s + at + 1, s + at + 2, (n - at - 2) * sizeof *s);
        n--;
    }
}

/* Symbols 0..9, and 60 merges of random pairs; ranks in random order, some of them equal. */
static void random_table(struct bpe_table *t, uint32_t *seed)
{
    struct mk_error err = {0};

    assert_int_equal(bpe_table_init(t, 60, &err), 0);
    for (int32_t k = 0; k < 60; k++) {
        struct bpe_pair p = {0};

        *seed = *seed * 1664525u + 1013904223u;
        p.left = (int32_t)(*seed >> 8) % (k < 20 ? 10 : 10 + k);
        *seed = *seed * 1664525u + 1013904223u;
        p.right = (int32_t)(*seed >> 8) % (k < 20 ? 10 : 10 + k);
        p.merge = (struct bpe_merge){(*seed >> 4) % 40, 10 + k};
        bpe_table_add(t, p);
    }
}

static void pieces_of_any_length_merge_by_the_definition(void **state)
{
    struct bpe_scratch scratch = {0};
    uint32_t seed = 3;

    (void)state;
    for (int round = 0; round < 300; round++) {
        int32_t ours[200], want[200];
        size_t n = 1 + (size_t)round % 200, n_want;
        struct mk_error err = {0};
        struct bpe_table t;

        random_table(&t, &seed);
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            ours[i] = want[i] = (seed >> 8) % 50 ? (int32_t)((seed >> 16) % 10) : -1;
        }
        n_want = by_definition(&t, want, n);
        assert_int_equal(bpe_merge(&t, ours, &n, &scratch, &err), 0);
        assert_int_equal(n, n_want);
        assert_memory_equal(ours, want, n * sizeof *ours);
        bpe_table_release(&t);
    }
    bpe_scratch_release(&scratch);
}

/* A piece of a million symbols: its square would take minutes, which the runner does not wait. */
static void one_letter_a_million_times_is_encoded(void **state)
{
    static const char *const merges[] = {"a a", "aa aa", "aaaa aaaa", "aaaaaaaa aaaaaaaa", NULL};
    const size_t n = 1000000;
    struct tokenizer *t = tiny_create(&(struct tiny){.pre = "", .merges = merges});
    struct mk_error err = {0};
    struct ids ids = {0};
    char *text = malloc(n);

    (void)state;
    assert_non_null(text);
    memset(text, 'a', n);
    assert_int_equal(tokenizer_encode(t, text, n, false, &ids, &err), 0);
    assert_int_equal(ids.n, n / 16);
    for (size_t i = 0; i < ids.n; i++)
        assert_int_equal(ids.data[i], 259);
    ids_release(&ids);
    free(text);
    tokenizer_free(t);
}

/* 400,000 marks in one run: they are put in order without taking the square either. */
static void a_long_run_of_marks_is_normalised(void **state)
{
    const size_t n = 400000;
    struct tokenizer *t = tiny_create(&(struct tiny){.pre = "", .normalizer =
                                                                    "{\"type\": \"NFC\"}"});
    struct mk_error err = {0};
    struct ids ids = {0};
    char *text = malloc(2 * n);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) /* U+0316 (class 220) after U+0308 (class 230) */
        memcpy(text + 2 * i, i % 2 ? "\314\226" : "\314\210", 2);
    assert_int_equal(tokenizer_encode(t, text, 2 * n, false, &ids, &err), 0);
    assert_int_equal(ids.n, 2 * n);
    assert_int_equal(ids.data[1], 0x96); /* the lower class comes first */
    assert_int_equal(ids.data[ids.n - 1], 0x88);
    ids_release(&ids);
    free(text);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_length_merge_by_the_definition),
        cmocka_unit_test(one_letter_a_million_times_is_encoded),
        cmocka_unit_test(a_long_run_of_marks_is_normalised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
