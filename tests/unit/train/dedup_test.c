/* dedup_test.c: copies and near copies are found, the first is kept, others stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/dedup.h"
#include "train/minhash.h"

/* 200 words out of 1,000 drawn from (which, i); each `every`-th is another one. */
static void make_text(uint64_t which, int every, char *out, size_t size)
{
    size_t used = 0;

    for (uint64_t i = 0; i < 200; i++) {
        int word = (int)(rng_uniform(1, which, i) * 1000);

        if (every && i % (uint64_t)every == 3)
            word = 5000 + (int)i;
        used += (size_t)snprintf(out + used, size - used, "word%d ", word);
    }
}

static struct dedup_verdict add(struct dedup *d, const char *text)
{
    struct dedup_verdict v;
    struct mk_error err = {0};

    assert_int_equal(dedup_add(d, text, strlen(text), &v, &err), 0);
    return v;
}

static struct dedup *make(const struct dedup_options *o)
{
    struct mk_error err = {0};
    struct dedup *d;

    assert_int_equal(dedup_create(&d, o, &err), 0);
    return d;
}

static void the_first_of_equal_documents_is_kept(void **state)
{
    struct dedup_options o = dedup_defaults();
    struct dedup *d;
    struct dedup_verdict v;
    struct dedup_report r;

    (void)state;
    o.near = false;
    d = make(&o);
    assert_int_equal(add(d, "one").kind, DEDUP_KEEP);
    assert_int_equal(add(d, "two").kind, DEDUP_KEEP);
    assert_int_equal(add(d, "").kind, DEDUP_KEEP);
    v = add(d, "two");
    assert_int_equal(v.kind, DEDUP_EXACT);
    assert_int_equal(v.of, 1);
    v = add(d, "two");
    assert_int_equal(v.of, 1); /* not the copy that was dropped */
    assert_int_equal(add(d, "two ").kind, DEDUP_KEEP);
    assert_int_equal(add(d, "").kind, DEDUP_EXACT);
    r = dedup_report(d);
    assert_int_equal(r.n_documents, 7);
    assert_int_equal(r.n_exact, 3);
    assert_int_equal(r.exact_bytes, 6);
    assert_int_equal(r.n_bytes, 3 + 3 + 0 + 3 + 3 + 4 + 0);
    dedup_free(d);
}

/* One word in 100 changed: 2 of 200 words, so about 10 of 196 shingles: similarity 0.9. One in 10:
 * 100 of 196 shingles are gone, similarity 0.3. */
static void small_changes_are_near_duplicates_and_large_ones_are_not(void **state)
{
    struct dedup_options o = dedup_defaults();
    struct dedup *d = make(&o);
    char text[4096];
    int n_near = 0;

    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        make_text(i, 0, text, sizeof text);
        assert_int_equal(add(d, text).kind, DEDUP_KEEP);
    }
    for (uint64_t i = 0; i < 200; i++) {
        struct dedup_verdict v;

        make_text(i, 100, text, sizeof text);
        v = add(d, text);
        n_near += v.kind == DEDUP_NEAR;
        assert_true(v.kind == DEDUP_KEEP || ((uint64_t)v.of == i && v.similarity >= 0.8));
        make_text(i, 10, text, sizeof text);
        assert_int_equal(add(d, text).kind, DEDUP_KEEP);
    }
    assert_true(n_near >= 190); /* the estimate is 0.90 +- 0.03, and the threshold 0.8 */
    assert_int_equal(dedup_report(d).n_near, n_near);
    dedup_free(d);
}

static void case_spaces_and_punctuation_make_no_difference(void **state)
{
    struct dedup_options o = dedup_defaults();
    struct dedup *d = make(&o);
    struct dedup_verdict v;

    (void)state;
    add(d, "To be, or not to be: that is the question.");
    v = add(d, "to be or NOT to be\n\n-- that is the question");
    assert_int_equal(v.kind, DEDUP_NEAR);
    assert_true(v.similarity == 1);
    assert_int_equal(add(d, "to be or not to see that is no question").kind, DEDUP_KEEP);
    add(d, "...");
    assert_int_equal(add(d, "!?").kind, DEDUP_KEEP); /* no words: nothing to compare */
    add(d, "\345\245\275\347\232\204\345\244\251\346\260\224\345\205\254\345\233\255");
    v = add(d, "\345\245\275\347\232\204 \345\244\251\346\260\224!\345\205\254\345\233\255");
    assert_int_equal(v.kind, DEDUP_NEAR);
    dedup_free(d);
}

/* Two texts share k of their words, as single-word shingles: the estimate is within 5 standard
 * deviations of the true share. */
static void minima_agree_as_often_as_shingles_are_shared(void **state)
{
    uint64_t keys[DEDUP_MAX_HASHES];
    uint32_t a[DEDUP_MAX_HASHES], b[DEDUP_MAX_HASHES];

    (void)state;
    minhash_keys(3, DEDUP_MAX_HASHES, keys);
    for (int shared = 0; shared <= 100; shared += 20) {
        char x[2048], y[2048];
        size_t nx = 0, ny = 0;
        double want = shared / (200.0 - shared), got = 0;

        for (int i = 0; i < 100; i++) {
            nx += (size_t)snprintf(x + nx, sizeof x - nx, "w%d ", i);
            ny += (size_t)snprintf(y + ny, sizeof y - ny, "w%d ", i < shared ? i : 1000 + i);
        }
        minhash(x, nx, 1, keys, DEDUP_MAX_HASHES, a);
        minhash(y, ny, 1, keys, DEDUP_MAX_HASHES, b);
        for (int k = 0; k < DEDUP_MAX_HASHES; k++)
            got += a[k] == b[k];
        got /= DEDUP_MAX_HASHES;
        assert_true(fabs(got - want) <= 5 * sqrt(want * (1 - want) / DEDUP_MAX_HASHES) + 1e-9);
    }
}

static void options_without_sense_are_refused(void **state)
{
    struct dedup_options o = dedup_defaults();
    struct mk_error err = {0};
    struct dedup *d;

    (void)state;
    o.threshold = 0;
    assert_int_equal(dedup_create(&d, &o, &err), MK_EINVAL);
    o = dedup_defaults();
    o.rows = INT32_MAX;
    assert_int_equal(dedup_create(&d, &o, &err), MK_EINVAL);
    o = dedup_defaults();
    o.shingle = MINHASH_MAX_SHINGLE + 1;
    assert_int_equal(dedup_create(&d, &o, &err), MK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_equal_documents_is_kept),
        cmocka_unit_test(small_changes_are_near_duplicates_and_large_ones_are_not),
        cmocka_unit_test(case_spaces_and_punctuation_make_no_difference),
        cmocka_unit_test(minima_agree_as_often_as_shingles_are_shared),
        cmocka_unit_test(options_without_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
