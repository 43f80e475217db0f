/* rows_file_test.c: rows come back as they went in, whatever happened to the file in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/rows_file.h"

enum { K = 3, N_TEXTS = 3000 }; /* more than the table's first room */
static const struct rows_file_key key = {"teachers", K};

struct storage {
    int32_t ids[8 * K];
    float logp[8 * K], rest[8];
};

static struct rows rows_of(struct storage *s, int32_t n)
{
    return (struct rows){n, s->ids, s->logp, s->rest};
}

static void name_of(int i, unsigned char text[ROWS_TEXT_BYTES])
{
    memset(text, 0, ROWS_TEXT_BYTES);
    memcpy(text, &i, sizeof i);
}

/* What text i holds: 1 to 8 positions. */
static struct rows fill(struct storage *s, int i)
{
    struct rows r = rows_of(s, 1 + i % 8);

    for (int32_t j = 0; j < r.n * K; j++) {
        r.ids[j] = i * 10 + j;
        r.logp[j] = -0.25F * (float)j - (float)i;
    }
    for (int32_t j = 0; j < r.n; j++)
        r.rest[j] = -1.5F * (float)(i + j);
    return r;
}

static struct rows_file *open_file(const char *path)
{
    struct rows_file *f;
    struct mk_error err;

    if (rows_file_open(&f, path, &key, &err))
        fail_msg("%s", err.text);
    return f;
}

static void add(struct rows_file *f, int i)
{
    unsigned char text[ROWS_TEXT_BYTES];
    struct storage s;
    struct rows r = fill(&s, i);
    struct mk_error err;

    name_of(i, text);
    if (rows_file_add(f, text, &r, &err))
        fail_msg("%s", err.text);
}

/* Whether it is there; what is there must be right. */
static bool has(struct rows_file *f, int i)
{
    unsigned char text[ROWS_TEXT_BYTES];
    struct storage want, got = {{0}, {0}, {0}};
    struct rows a = fill(&want, i), b = rows_of(&got, a.n);
    struct mk_error err;
    bool found;

    name_of(i, text);
    if (rows_file_find(f, text, &b, &found, &err))
        fail_msg("%s", err.text);
    if (found) {
        assert_memory_equal(a.ids, b.ids, (size_t)(a.n * K) * 4);
        assert_memory_equal(a.logp, b.logp, (size_t)(a.n * K) * 4);
        assert_memory_equal(a.rest, b.rest, (size_t)a.n * 4);
    }
    return found;
}

static int make_folder(void **state)
{
    char *path = strdup("/tmp/minke-rows-XXXXXX");

    *state = path;
    return mkdtemp(path) && !chdir(path) ? 0 : -1;
}

static int remove_folder(void **state)
{
    unlink("rows");
    rmdir(*state);
    free(*state);
    return chdir("/");
}

static void what_was_added_is_found_by_the_next_who_opens(void **state)
{
    struct rows_file *f = open_file("rows");

    (void)state;
    for (int i = 0; i < N_TEXTS; i++) {
        assert_false(has(f, i));
        add(f, i);
        assert_true(has(f, i));
    }
    rows_file_close(f);
    f = open_file("rows");
    assert_int_equal(rows_file_count(f), N_TEXTS);
    for (int i = 0; i < N_TEXTS; i++)
        assert_true(has(f, i));
    assert_false(has(f, N_TEXTS));
    rows_file_close(f);
}

/* At every byte: as many records as are whole, and those that are added then are found. */
static void a_file_cut_off_anywhere_keeps_its_whole_records(void **state)
{
    struct rows_file *f = open_file("rows");
    unsigned char all[4096];
    struct stat st;
    FILE *file;

    (void)state;
    for (int i = 0; i < 5; i++)
        add(f, i);
    rows_file_close(f);
    assert_int_equal(stat("rows", &st), 0);
    assert_true((size_t)st.st_size < sizeof all);
    file = fopen("rows", "rb");
    assert_int_equal(fread(all, 1, (size_t)st.st_size, file), st.st_size);
    fclose(file);
    for (off_t n = 0; n < st.st_size; n++) {
        file = fopen("rows", "wb");
        assert_int_equal(fwrite(all, 1, (size_t)n, file), n);
        fclose(file);
        f = open_file("rows");
        assert_true(rows_file_count(f) < 5);
        for (int i = 0; i < 5; i++)
            assert_true(has(f, i) == (i < rows_file_count(f)));
        add(f, 7);
        assert_true(has(f, 7));
        rows_file_close(f);
    }
}

static void a_damaged_record_is_not_there_until_it_is_added_again(void **state)
{
    struct rows_file *f = open_file("rows");
    FILE *file;

    (void)state;
    for (int i = 0; i < 3; i++)
        add(f, i);
    rows_file_close(f);
    file = fopen("rows", "r+b");
    fseek(file, 48 + 24 + 5, SEEK_SET); /* an id of the first record */
    fputc(0x55, file);
    fclose(file);
    f = open_file("rows");
    assert_false(has(f, 0));
    assert_true(has(f, 1) && has(f, 2));
    add(f, 0);
    assert_true(has(f, 0));
    rows_file_close(f);
    f = open_file("rows");
    assert_true(has(f, 0) && has(f, 1) && has(f, 2));
    rows_file_close(f);
}

static void others_are_refused(void **state)
{
    struct rows_file_key other = key;
    struct rows_file *f = open_file("rows"), *second;
    struct mk_error err;
    FILE *file;

    (void)state;
    assert_int_equal(rows_file_open(&second, "rows", &key, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "another run"));
    rows_file_close(f);
    other.k++;
    assert_int_equal(rows_file_open(&second, "rows", &other, &err), MK_EINVAL);
    other = key;
    other.teachers[31] = 1;
    assert_int_equal(rows_file_open(&second, "rows", &other, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "other teachers"));
    file = fopen("rows", "wb");
    fprintf(file, "%0100d", 0);
    fclose(file);
    assert_int_equal(rows_file_open(&second, "rows", &key, &err), MK_EFORMAT);
    assert_null(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_added_is_found_by_the_next_who_opens, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_file_cut_off_anywhere_keeps_its_whole_records,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_damaged_record_is_not_there_until_it_is_added_again,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(others_are_refused, make_folder, remove_folder)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
