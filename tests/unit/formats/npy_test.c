/* npy_test.c: the bytes numpy writes for the same matrix, and nothing left of an unfinished one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/map_file.h"
#include "formats/npy.h"

static void make_path(char path[64])
{
    snprintf(path, 64, "/tmp/minke-npy-%ld", (long)getpid());
}

/* What numpy 2 saves of np.array([[1, 2, -0.5], [0, 4, 8]], np.float32). */
static void writes_the_bytes_that_numpy_writes(void **state)
{
    static const char header[] =
        "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    const float rows[6] = {1, 2, -0.5f, 0, 4, 8};
    unsigned char expected[128 + sizeof rows];
    struct npy_writer w;
    struct map_file m;
    struct mk_error err;
    char path[64];

    (void)state;
    memset(expected, ' ', 127);
    memcpy(expected, header, sizeof header - 1);
    expected[127] = '\n';
    memcpy(expected + 128, rows, sizeof rows);
    make_path(path);
    assert_int_equal(npy_open(&w, path, 2, 3, &err), 0);
    assert_int_equal(npy_append(&w, rows, 1, &err), 0);
    assert_int_equal(npy_append(&w, rows + 3, 1, &err), 0);
    assert_int_equal(npy_close(&w, &err), 0);
    assert_int_equal(map_file_open(&m, path, &err), 0);
    assert_int_equal(m.bytes, sizeof expected);
    assert_memory_equal(m.data, expected, sizeof expected);
    map_file_close(&m);
    unlink(path);
}

static void rows_must_be_as_many_as_declared(void **state)
{
    const float rows[4] = {0};
    struct npy_writer w;
    struct mk_error err;
    char path[64];

    (void)state;
    make_path(path);
    assert_int_equal(npy_open(&w, path, 2, 2, &err), 0);
    assert_int_equal(npy_append(&w, rows, 1, &err), 0);
    assert_int_equal(npy_append(&w, rows, 2, &err), MK_EINVAL);
    assert_int_equal(npy_close(&w, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "1 of 2"));
    npy_discard(&w);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void shapes_that_cannot_be_are_refused(void **state)
{
    struct npy_writer w;
    struct mk_error err;
    char path[64];

    (void)state;
    make_path(path);
    assert_int_equal(npy_open(&w, path, -1, 3, &err), MK_EINVAL);
    assert_int_equal(npy_open(&w, path, 1, 0, &err), MK_EINVAL);
    assert_int_equal(npy_open(&w, path, INT64_MAX, INT64_MAX, &err), MK_EINVAL);
    assert_int_equal(npy_open(&w, "/nonexistent/x.npy", 1, 1, &err), MK_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_bytes_that_numpy_writes),
        cmocka_unit_test(rows_must_be_as_many_as_declared),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
