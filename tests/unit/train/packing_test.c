/* packing_test.c: every token is packed once, only what must be is split, little room is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/packing.h"

/* Every token once, no sequence too full, no document split that fits. */
static void assert_sound(const struct packing *p, const int64_t *lengths, int64_t n)
{
    int64_t *seen = calloc((size_t)n + 1, sizeof *seen), total = 0;

    assert_non_null(seen);
    assert_int_equal(p->first[0], 0);
    assert_int_equal(p->first[p->n_sequences], p->n_fragments);
    for (int64_t s = 0; s < p->n_sequences; s++) {
        int64_t used = 0;

        assert_true(p->first[s] < p->first[s + 1]);
        for (int64_t i = p->first[s]; i < p->first[s + 1]; i++) {
            const struct fragment *f = &p->fragments[i];

            assert_true(f->document >= 0 && f->document < n && f->n >= 1);
            assert_true(f->n == lengths[f->document] || lengths[f->document] > p->length);
            assert_int_equal(f->begin % p->length, 0);
            assert_true(f->begin + f->n <= lengths[f->document]);
            assert_true(f->n == p->length || f->begin + f->n == lengths[f->document]);
            seen[f->document] += f->n;
            used += f->n;
        }
        assert_true(used <= p->length);
    }
    for (int64_t d = 0; d < n; d++) {
        assert_int_equal(seen[d], lengths[d]);
        total += lengths[d];
    }
    assert_int_equal(p->n_tokens, total);
    free(seen);
}

/* By hand, 10 tokens a sequence: 25 is 10, 10 and 5. Then 8 | 7 | 5 finds nothing, opens | 3 goes
 * to 7, the least room that holds it | 2 to 8 | 2 to 5. In the order of 7, 25 and 8. */
static void the_least_room_that_holds_a_document_is_taken(void **state)
{
    static const int64_t lengths[] = {2, 7, 25, 3, 8, 2};
    static const struct fragment want[] = {{1, 0, 7}, {3, 0, 3}, {2, 0, 10}, {2, 10, 10},
                                           {2, 20, 5}, {5, 0, 2}, {4, 0, 8}, {0, 0, 2}};
    static const int64_t first[] = {0, 2, 3, 4, 6, 8};
    struct mk_error err = {0};
    struct packing p;

    (void)state;
    assert_int_equal(packing_init(&p, lengths, 6, 10, &err), 0);
    assert_sound(&p, lengths, 6);
    assert_int_equal(p.n_sequences, 5);
    assert_memory_equal(p.first, first, sizeof first);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(p.fragments[i].document, want[i].document);
        assert_int_equal(p.fragments[i].begin, want[i].begin);
        assert_int_equal(p.fragments[i].n, want[i].n);
    }
    packing_release(&p);
}

/* The definition: for each piece, longest first, look at every open sequence. */
static int64_t sequences_by_definition(int64_t *lengths, int64_t n, int32_t length)
{
    int64_t *room = calloc((size_t)n, sizeof *room), used = 0;

    assert_non_null(room);
    for (int32_t want = length; want > 0; want--)
        for (int64_t d = 0; d < n; d++) {
            int64_t best = -1;

            if (lengths[d] != want)
                continue;
            for (int64_t s = 0; s < used; s++)
                if (room[s] >= want && (best < 0 || room[s] < room[best]))
                    best = s;
            if (best < 0) {
                best = used++;
                room[best] = length;
            }
            room[best] -= want;
        }
    free(room);
    return used;
}

static void random_documents_pack_as_the_definition_says(void **state)
{
    static const int32_t sizes[] = {1, 2, 63, 64, 65, 100, 128};
    int64_t lengths[400];

    (void)state;
    for (uint64_t round = 0; round < 35; round++) {
        int32_t length = sizes[round % 7];
        struct mk_error err = {0};
        struct packing p;
        int64_t n = 1 + (int64_t)round * 11;

        for (int64_t d = 0; d < n; d++)
            lengths[d] = 1 + (int64_t)(rng_uniform(5, round, (uint64_t)d) * length);
        assert_int_equal(packing_init(&p, lengths, n, length, &err), 0);
        assert_sound(&p, lengths, n);
        assert_int_equal(p.n_sequences, sequences_by_definition(lengths, n, length));
        packing_release(&p);
    }
}

/* Lengths as documents have them; what is left over is under a thousandth. */
static void many_documents_leave_hardly_any_room(void **state)
{
    const int64_t n = 100000;
    int64_t *lengths = malloc((size_t)n * sizeof *lengths);
    struct mk_error err = {0};
    struct packing p;

    (void)state;
    assert_non_null(lengths);
    for (int64_t d = 0; d < n; d++) {
        double u = rng_uniform(9, 0, (uint64_t)d);

        lengths[d] = 1 + (int64_t)(20 / (u + 0.0004)); /* 20 to 50,000, most of them short */
    }
    assert_int_equal(packing_init(&p, lengths, n, 4096, &err), 0);
    assert_sound(&p, lengths, n);
    assert_true((double)p.n_tokens > 0.999 * (double)p.n_sequences * 4096);
    packing_release(&p);
    free(lengths);
}

/* Validation takes the last sequences: they must not be those of the shortest documents. */
static void the_last_sequences_hold_documents_of_all_lengths(void **state)
{
    enum { N = 5000, LENGTH = 256 };
    static int64_t lengths[N];
    struct mk_error err = {0};
    int64_t n_long = 0, n = 0;
    struct packing p;

    (void)state;
    for (int64_t d = 0; d < N; d++)
        lengths[d] = rng_uniform(3, 0, (uint64_t)d) < 0.15 ? 51 : 29;
    assert_int_equal(packing_init(&p, lengths, N, LENGTH, &err), 0);
    assert_sound(&p, lengths, N);
    for (int64_t i = p.first[p.n_sequences * 9 / 10]; i < p.n_fragments; i++, n++)
        n_long += p.fragments[i].n == 51;
    assert_true(n_long > n / 10 && n_long < n / 5);
    packing_release(&p);
}

static void nothing_packs_to_nothing_and_nonsense_is_refused(void **state)
{
    static const int64_t bad[] = {3, -1}, out[] = {3, 0, 2}, huge[] = {INT64_MAX, INT64_MAX};
    struct mk_error err = {0};
    struct packing p;

    (void)state;
    assert_int_equal(packing_init(&p, NULL, 0, 16, &err), 0);
    assert_int_equal(p.n_sequences, 0);
    packing_release(&p);
    assert_int_equal(packing_init(&p, out, 3, 16, &err), 0); /* documents of no tokens: left out */
    assert_int_equal(p.n_fragments, 2);
    assert_int_equal(p.n_tokens, 5);
    assert_int_equal(p.fragments[1].document, 2);
    packing_release(&p);
    assert_int_equal(packing_init(&p, bad, 2, 16, &err), MK_EINVAL);
    assert_int_equal(packing_init(&p, bad, 1, 0, &err), MK_EINVAL);
    assert_int_equal(packing_init(&p, huge, 2, 1, &err), MK_ELIMIT);
}

/* One book of five billion tokens: places in it do not fit into 32 bits. */
static void documents_may_be_longer_than_2_32_tokens(void **state)
{
    enum { LENGTH = PACKING_MAX_LENGTH - 1 };
    const int64_t lengths[] = {3, 5000000000};
    int64_t want = 5000000000 / LENGTH + 1, sum = 0;
    struct packing p;
    struct mk_error err;

    (void)state;
    assert_int_equal(packing_init(&p, lengths, 2, LENGTH, &err), 0);
    assert_true(p.n_tokens == 5000000003 && p.n_sequences == want && p.n_fragments == want + 1);
    for (int64_t i = 0; i < p.n_fragments; i++) {
        assert_in_range(p.fragments[i].n, 1, LENGTH);
        assert_true(p.fragments[i].begin % LENGTH == 0);
        sum += p.fragments[i].n;
    }
    assert_true(sum == p.n_tokens);
    packing_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_room_that_holds_a_document_is_taken),
        cmocka_unit_test(random_documents_pack_as_the_definition_says),
        cmocka_unit_test(many_documents_leave_hardly_any_room),
        cmocka_unit_test(the_last_sequences_hold_documents_of_all_lengths),
        cmocka_unit_test(nothing_packs_to_nothing_and_nonsense_is_refused),
        cmocka_unit_test(documents_may_be_longer_than_2_32_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
