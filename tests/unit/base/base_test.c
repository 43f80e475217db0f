/* base_test.c: arenas, buffers, random numbers and the thread pool keep their promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/decimal.h"
#include "base/exec.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/map_file.h"
#include "base/rng.h"

static void arena_reuses_its_chunks_after_reset(void **state)
{
    struct arena a;
    size_t used;

    (void)state;
    arena_init(&a, 1 << 20);
    for (int i = 0; i < 50; i++)
        assert_non_null(arena_alloc(&a, 5000));
    used = a.used_bytes;
    arena_reset(&a);
    for (int i = 0; i < 50; i++)
        assert_non_null(arena_alloc(&a, 5000));
    assert_int_equal(a.used_bytes, used);
    assert_null(arena_alloc(&a, 2 << 20));
    arena_release(&a);
}

static void buf_refuses_to_pass_its_maximum_and_keeps_its_contents(void **state)
{
    struct buf b;
    struct mk_error err;

    (void)state;
    buf_init(&b, 10);
    assert_int_equal(buf_append_string(&b, "12345678", &err), 0);
    assert_int_equal(buf_append_string(&b, "901", &err), MK_ELIMIT);
    assert_string_equal(b.data, "12345678");
    assert_int_equal(buf_printf(&b, &err, "%d", 90), 0);
    assert_string_equal(b.data, "1234567890");
    buf_release(&b);
}

static void decimals_are_short_and_read_back(void **state)
{
    static const struct { double x; const char *text; } cases[] = {
        {0.1, "0.1"},       {-2.5, "-2.5"},
        {0, "0"},           {100000, "100000"},
        {1e-7, "1e-07"},    {1e16, "10000000000000000"},
        {1e300, "1e+300"},  {0.1 + 0.2, "0.30000000000000004"},
        {999999.5, "999999.5"}};
    char text[DECIMAL_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        decimal_shortest(cases[i].x, text);
        assert_string_equal(text, cases[i].text);
        assert_true(strtod(text, NULL) == cases[i].x);
    }
}

/* Known answers of Philox 4x32-10 from the Random123 distribution (kat_vectors): zeros, and all
 * ones. */
static void rng_matches_the_published_vectors(void **state)
{
    uint32_t w[4];
    const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};

    (void)state;
    rng_words(0, 0, 0, w);
    assert_memory_equal(w, zeros, sizeof w);
    rng_words(UINT64_MAX, UINT64_MAX, UINT64_MAX, w);
    assert_memory_equal(w, ones, sizeof w);
}

static void count_task(void *context, int64_t task, int worker)
{
    atomic_int *counts = context;

    (void)worker;
    atomic_fetch_add(&counts[task], 1);
}

static void exec_runs_every_task_once_on_any_number_of_threads(void **state)
{
    static atomic_int counts[1000];
    struct mk_error err;

    (void)state;
    for (int n = 1; n <= 5; n++) {
        struct exec *ex;

        memset(counts, 0, sizeof counts);
        assert_int_equal(exec_create(&ex, n, &err), 0);
        for (int round = 0; round < 20; round++)
            exec_run(ex, 1000, count_task, counts);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(counts[i], 20);
        exec_free(ex);
    }
}

/* A folder with a folder in it, and a link to what is outside. */
static void paths_begin_at_the_folder_that_names_them(void **state)
{
    char out[12];
    struct mk_error err;

    (void)state;
    assert_int_equal(folder_join(out, sizeof out, "a b", "c/d", &err), 0);
    assert_string_equal(out, "a b/c/d");
    assert_int_equal(folder_join(out, sizeof out, "a b", "/c", &err), 0);
    assert_string_equal(out, "/c");
    assert_int_equal(folder_join(out, sizeof out, "", "c", &err), 0);
    assert_string_equal(out, "c");
    assert_int_equal(folder_join(out, sizeof out, "folder", "12345", &err), MK_ELIMIT);
}

static void folders_go_with_all_in_them_but_not_what_they_point_to(void **state)
{
    static const char *const names[] = {"a", "in/b", "in/c.1.part"};
    char dir[] = "/tmp/minke-folder-XXXXXX", path[64], outside[64];
    struct mk_error err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(outside, sizeof outside, "%s.outside", dir);
    assert_int_equal(write_file(outside, "x", 1, &err), 0);
    snprintf(path, sizeof path, "%s/in", dir);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/link", dir);
    assert_int_equal(symlink(outside, path), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(write_file(path, "x", 1, &err), 0);
    }
    folder_remove(dir);
    assert_int_equal(access(dir, F_OK), -1);
    assert_int_equal(access(outside, F_OK), 0);
    folder_remove(dir);
    unlink(outside);
}

static bool is_there(const char *dir, const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void half_written_files_go_and_others_stay(void **state)
{
    static const char *const names[] = {"a.json", "a.json.77.part", "a.part", "7.part",
                                        "a.7x.part"};
    char top[] = "/tmp/minke-folder-XXXXXX", dir[64], path[128];
    struct mk_error err;

    (void)state;
    assert_non_null(mkdtemp(top));
    snprintf(dir, sizeof dir, "%s/one/two", top);
    assert_int_equal(folder_make(dir, &err), 0);
    assert_int_equal(folder_make(dir, &err), 0);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(write_file(path, "x", 1, &err), 0);
    }
    snprintf(path, sizeof path, "%s/step-000100.part", dir);
    assert_int_equal(folder_make(path, &err), 0);
    folder_remove_parts(dir);
    assert_false(is_there(dir, "a.json.77.part") || is_there(dir, "step-000100.part"));
    assert_true(is_there(dir, "a.json") && is_there(dir, "a.part") && is_there(dir, "7.part") &&
                is_there(dir, "a.7x.part"));
    snprintf(path, sizeof path, "%s/a.json/b", dir);
    assert_int_equal(folder_make(path, &err), MK_EIO);
    assert_non_null(strstr(err.text, "a.json"));
    folder_remove(top);
}

/* Values that FNV's and splitmix64's authors publish: they stand in files of ours. */
static void hashes_are_those_of_their_authors(void **state)
{
    (void)state;
    assert_true(hash_bytes("", 0) == 0xcbf29ce484222325u);
    assert_true(hash_bytes("a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(hash_bytes("foobar", 6) == 0x85944171f73967e8u);
    assert_true(hash_mix(0x9e3779b97f4a7c15u) == 0xe220a8397b1dcdafu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_their_authors),
        cmocka_unit_test(arena_reuses_its_chunks_after_reset),
        cmocka_unit_test(buf_refuses_to_pass_its_maximum_and_keeps_its_contents),
        cmocka_unit_test(decimals_are_short_and_read_back),
        cmocka_unit_test(rng_matches_the_published_vectors),
        cmocka_unit_test(exec_runs_every_task_once_on_any_number_of_threads),
        cmocka_unit_test(paths_begin_at_the_folder_that_names_them),
        cmocka_unit_test(folders_go_with_all_in_them_but_not_what_they_point_to),
        cmocka_unit_test(half_written_files_go_and_others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
