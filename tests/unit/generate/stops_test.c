/* stops_test.c: stop strings are found however the text is cut into pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "generate/stops.h"

/* The same by looking at every prefix of the whole text. Returns the length that is kept. */
static size_t reference(const char *text, const char *const *stops, int n, bool *stopped)
{
    for (size_t end = 1; end <= strlen(text); end++) {
        size_t best = 0;

        for (int i = 0; i < n; i++) {
            size_t k = strlen(stops[i]);

            if (k <= end && k > best && memcmp(text + end - k, stops[i], k) == 0)
                best = k;
        }
        if (best) {
            *stopped = true;
            return end - best;
        }
    }
    *stopped = false;
    return strlen(text);
}

static void any_cutting_gives_the_reference(void **state)
{
    struct mk_error err;

    (void)state;
    for (uint64_t round = 0; round < 20000; round++) {
        char text[25] = "", strings[3][5];
        const char *stops[3] = {strings[0], strings[1], strings[2]};
        bool want, stopped = false;
        struct stops s;
        struct buf out;
        uint32_t r[4];
        size_t n, at = 0;
        int n_stops;

        rng_words(1, round, 0, r);
        for (int i = 0; i < 24; i++)
            text[i] = (char)('a' + (r[i / 8 % 3] >> (i % 8 * 4)) % 3);
        n_stops = (int)(r[3] % 4);
        for (int i = 0; i < 3; i++) {
            int k = 1 + (int)(r[3] >> (4 + 8 * i)) % 4;

            for (int j = 0; j < k; j++)
                strings[i][j] = (char)('a' + (r[3] >> (3 * i + 5 * j)) % 3);
            strings[i][k] = '\0';
        }
        n = reference(text, stops, n_stops, &want);
        assert_int_equal(stops_init(&s, stops, n_stops, &err), 0);
        buf_init(&out, 1000);
        for (uint64_t p = 1; at < 24 && !stopped; p++) {
            size_t piece = (size_t)(rng_uniform(2, round, p) * 5);

            if (piece > 24 - at)
                piece = 24 - at;
            assert_int_equal(stops_push(&s, text + at, piece, &out, &stopped, &err), 0);
            at += piece;
        }
        if (!stopped)
            assert_int_equal(stops_finish(&s, &out, &err), 0);
        assert_int_equal(stopped, want);
        assert_int_equal(out.n, n);
        if (n)
            assert_memory_equal(out.data, text, n);
        buf_release(&out);
        stops_release(&s);
    }
}

static void only_what_may_begin_a_stop_is_held_back(void **state)
{
    const char *stops[] = {"END."};
    struct mk_error err;
    struct stops s;
    struct buf out;
    bool stopped;

    (void)state;
    buf_init(&out, 100);
    assert_int_equal(stops_init(&s, stops, 1, &err), 0);
    assert_int_equal(stops_push(&s, "the EN", 6, &out, &stopped, &err), 0);
    assert_string_equal(out.data, "the ");
    assert_int_equal(stops_push(&s, "D", 1, &out, &stopped, &err), 0);
    assert_string_equal(out.data, "the ");
    assert_int_equal(stops_push(&s, "!", 1, &out, &stopped, &err), 0);
    assert_string_equal(out.data, "the END!");
    assert_false(stopped);
    buf_release(&out);
    stops_release(&s);
}

static void empty_or_too_many_strings_are_refused(void **state)
{
    const char *empty[] = {"a", ""}, *many[MK_MAX_STOPS + 1];
    struct mk_error err;
    struct stops s;

    (void)state;
    for (int i = 0; i <= MK_MAX_STOPS; i++)
        many[i] = "x";
    assert_int_equal(stops_init(&s, empty, 2, &err), MK_EINVAL);
    assert_int_equal(stops_init(&s, many, MK_MAX_STOPS + 1, &err), MK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cutting_gives_the_reference),
        cmocka_unit_test(only_what_may_begin_a_stop_is_held_back),
        cmocka_unit_test(empty_or_too_many_strings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
