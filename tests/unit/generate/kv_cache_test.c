/* kv_cache_test.c: rows keep their places, empty caches cost nothing, absurd sizes are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/resource.h>

#include "generate/kv_cache.h"
#include "kernels/kernels.h"

static void rows_of_all_layers_keep_their_places(void **state)
{
    static const enum dtype types[] = {MK_F32, MK_BF16, MK_I8};
    struct kv_cache c;
    struct mk_error err;

    (void)state;
    for (int d = 0; d < 3; d++) {
        assert_int_equal(kv_cache_init(&c, 3, 37, 50, types[d], &err), 0);
        assert_int_equal(c.row_bytes, kv_row_bytes(types[d], 37));
        for (int l = 0; l < 3; l++)
            for (int t = 0; t < 50; t++)
                memset(kv_cache_row(&c, l, t), l * 50 + t, (size_t)c.row_bytes);
        for (int l = 0; l < 3; l++)
            for (int t = 0; t < 50; t++) {
                const unsigned char *row = c.layers[l] + t * c.row_bytes;

                assert_int_equal(row[0], l * 50 + t);
                assert_int_equal(row[c.row_bytes - 1], l * 50 + t);
            }
        kv_cache_release(&c);
        kv_cache_release(&c); /* twice is once */
    }
}

static void truncation_only_shortens(void **state)
{
    struct kv_cache c;
    struct mk_error err;

    (void)state;
    assert_int_equal(kv_cache_init(&c, 2, 8, 10, MK_F32, &err), 0);
    c.n_rows = 6;
    assert_int_equal(kv_cache_used_bytes(&c), 2 * 6 * 8 * 4);
    kv_cache_truncate(&c, 9);
    assert_int_equal(c.n_rows, 6);
    kv_cache_truncate(&c, 4);
    assert_int_equal(c.n_rows, 4);
    kv_cache_truncate(&c, -1);
    assert_int_equal(c.n_rows, 0);
    kv_cache_release(&c);
}

/* 64 GiB reserved, one page of each layer touched. */
static void an_empty_cache_commits_no_memory(void **state)
{
    struct kv_cache c;
    struct mk_error err;
    struct rusage before, after;

    (void)state;
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    assert_int_equal(kv_cache_init(&c, 64, 1024, 262144, MK_F32, &err), 0);
    assert_true(c.reserved_bytes == (uint64_t)64 << 30);
    for (int l = 0; l < 64; l++)
        *(char *)kv_cache_row(&c, l, 0) = 1;
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(after.ru_maxrss - before.ru_maxrss < 256 * 1024); /* KiB */
    kv_cache_release(&c);
}

static void absurd_sizes_are_refused_with_a_hint(void **state)
{
    struct kv_cache c;
    struct mk_error err;

    (void)state;
    assert_int_equal(kv_cache_init(&c, INT32_MAX, INT32_MAX, INT32_MAX, MK_F32, &err), MK_ELIMIT);
    assert_non_null(strstr(err.text, "smaller context"));
    assert_int_equal(kv_cache_init(&c, 1000, 1 << 20, 1 << 20, MK_F32, &err), MK_ELIMIT);
    kv_cache_release(&c); /* a refused one holds nothing */
    assert_int_equal(kv_cache_init(&c, 0, 8, 8, MK_F32, &err), MK_EINVAL);
    assert_int_equal(kv_cache_init(&c, 1, 8, 8, MK_Q4_0, &err), MK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_all_layers_keep_their_places),
        cmocka_unit_test(truncation_only_shortens),
        cmocka_unit_test(an_empty_cache_commits_no_memory),
        cmocka_unit_test(absurd_sizes_are_refused_with_a_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
