/* writers_test.c: what the writers write, the readers read; what fails leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/gguf_writer.h"
#include "formats/safetensors.h"

/* ---- A folder of its own for each test ---- */

static int make_folder(void **state)
{
    char *dir = strdup("/tmp/minke-writers-XXXXXX");

    *state = dir;
    return dir && mkdtemp(dir) ? 0 : -1;
}

static int count_files(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int remove_folder(void **state)
{
    DIR *d = opendir(*state);

    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(*state);
    free(*state);
    return 0;
}

static void path_in(char *out, size_t size, const char *dir, const char *name)
{
    snprintf(out, size, "%s/%s", dir, name);
}

static void must(int rc, const struct mk_error *err)
{
    if (rc)
        fail_msg("%s", err->text);
}

static void assert_same_tensors(const struct tensors *a, const struct tensors *b)
{
    assert_int_equal(a->n_items, b->n_items);
    for (int64_t i = 0; i < a->n_items; i++) {
        const struct file_tensor *x = &a->items[i], *y = &b->items[i];

        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->n_dims, y->n_dims);
        assert_memory_equal(x->shape, y->shape, sizeof x->shape);
        assert_int_equal(x->bytes, y->bytes);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
}

/* ---- safetensors ---- */

/* Writes all of t, each tensor's bytes in pieces of 1000. */
static void write_safetensors(const struct tensors *t, const char *dir, uint64_t shard_bytes)
{
    struct safetensors_writer *w;
    struct mk_error err;

    must(safetensors_create(&w, dir, shard_bytes, &err), &err);
    for (int64_t i = 0; i < t->n_items; i++) {
        const struct file_tensor *e = &t->items[i];

        must(safetensors_declare(w, e->name, e->dtype, e->n_dims, e->shape, &err), &err);
    }
    must(safetensors_begin(w, &err), &err);
    for (int64_t i = 0; i < t->n_items; i++)
        for (uint64_t at = 0; at < t->items[i].bytes; at += 1000) {
            uint64_t n = t->items[i].bytes - at;

            must(safetensors_write(w, t->items[i].data + at, n < 1000 ? n : 1000, &err), &err);
        }
    must(safetensors_finish(w, &err), &err);
    safetensors_free(w);
}

static void a_checkpoint_written_again_in_shards_is_the_same(void **state)
{
    struct tensors a, b;
    struct mk_error err;

    must(safetensors_open(&a, "tests/golden/models/v3-fp8", &err), &err);
    write_safetensors(&a, *state, 300000);
    assert_int_equal(count_files(*state), 5); /* 954 kB in shards of at most 300 kB, the index */
    must(safetensors_open(&b, *state, &err), &err);
    assert_int_equal(b.n_files, 4);
    assert_same_tensors(&a, &b);
    for (int32_t i = 0; i < b.n_files; i++)
        assert_true(b.files[i].bytes < 300000 + 20000);
    tensors_release(&b);
    write_safetensors(&a, *state, 0); /* one file now; the stale index must not hide it */
    must(safetensors_open(&b, *state, &err), &err);
    assert_int_equal(b.n_files, 1);
    assert_same_tensors(&a, &b);
    tensors_release(&a);
    tensors_release(&b);
}

static void a_safetensors_header_is_aligned_and_marked_for_transformers(void **state)
{
    static const int64_t shape[] = {3};
    struct safetensors_writer *w;
    struct tensors t;
    struct mk_error err;
    float values[3] = {1, 2, 3};

    must(safetensors_create(&w, *state, 0, &err), &err);
    must(safetensors_declare(w, "x", MK_F32, 1, shape, &err), &err);
    must(safetensors_declare(w, "scalar", MK_F32, 0, NULL, &err), &err);
    must(safetensors_begin(w, &err), &err);
    must(safetensors_write(w, values, sizeof values, &err), &err);
    must(safetensors_write(w, values, sizeof values[0], &err), &err);
    must(safetensors_finish(w, &err), &err);
    safetensors_free(w);
    must(safetensors_open(&t, *state, &err), &err);
    assert_int_equal((tensors_find(&t, "x")->data - t.files[0].data) % 8, 0);
    assert_memory_equal(t.files[0].data + 8, "{\"__metadata__\":{\"format\":\"pt\"}", 31);
    assert_int_equal(tensors_find(&t, "scalar")->n_dims, 0);
    tensors_release(&t);
}

static void an_unfinished_safetensors_file_leaves_nothing_behind(void **state)
{
    static const int64_t shape[] = {64};
    struct safetensors_writer *w;
    struct mk_error err;
    float values[64] = {0};

    must(safetensors_create(&w, *state, 300, &err), &err);
    must(safetensors_declare(w, "a", MK_F32, 1, shape, &err), &err);
    must(safetensors_declare(w, "b", MK_F32, 1, shape, &err), &err);
    must(safetensors_begin(w, &err), &err);
    must(safetensors_write(w, values, sizeof values, &err), &err);
    must(safetensors_write(w, values, 12, &err), &err);
    assert_int_equal(count_files(*state), 2);
    assert_int_equal(safetensors_finish(w, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "tensor 'b': 12 of its 256 bytes came"));
    safetensors_free(w);
    assert_int_equal(count_files(*state), 0);
}

static void writers_refuse_duplicates_and_impossible_tensors(void **state)
{
    static const int64_t shape[] = {64}, zero[] = {0}, huge[] = {INT64_MAX, 4};
    struct safetensors_writer *w;
    struct gguf_writer *g;
    struct mk_error err;
    char path[4096];

    must(safetensors_create(&w, *state, 0, &err), &err);
    assert_int_equal(safetensors_declare(w, "q", MK_Q4_K, 1, shape, &err), MK_EINVAL);
    assert_int_equal(safetensors_declare(w, "z", MK_F32, 1, zero, &err), MK_EINVAL);
    assert_int_equal(safetensors_declare(w, "h", MK_F32, 2, huge, &err), MK_EINVAL);
    assert_int_equal(safetensors_declare(w, "a\"b", MK_F32, 1, shape, &err), MK_EINVAL);
    assert_int_equal(safetensors_declare(w, "a\xff", MK_F32, 1, shape, &err), MK_EINVAL);
    must(safetensors_declare(w, "a", MK_F32, 1, shape, &err), &err);
    must(safetensors_declare(w, "a", MK_F16, 1, shape, &err), &err);
    assert_int_equal(safetensors_begin(w, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "'a'"));
    safetensors_free(w);
    path_in(path, sizeof path, *state, "x.gguf");
    must(gguf_writer_create(&g, path, &err), &err);
    assert_int_equal(gguf_writer_declare(g, "q", MK_Q4_K, 1, shape, &err), MK_EINVAL);
    assert_int_equal(gguf_writer_declare(g, "q", MK_F8_E4M3, 1, shape, &err), MK_EINVAL);
    assert_int_equal(gguf_writer_int(g, "k", GGUF_U8, 256, &err), MK_EINVAL);
    must(gguf_writer_bool(g, "k", true, &err), &err);
    must(gguf_writer_bool(g, "k", true, &err), &err);
    assert_int_equal(gguf_writer_begin(g, &err), MK_EINVAL);
    gguf_writer_free(g);
    assert_int_equal(count_files(*state), 0);
}

static void a_folder_that_is_not_there_is_an_error_that_names_it(void **state)
{
    static const int64_t shape[] = {1};
    struct safetensors_writer *w;
    struct gguf_writer *g;
    struct mk_error err;

    (void)state;
    must(safetensors_create(&w, "/nonexistent/dir", 0, &err), &err);
    must(safetensors_declare(w, "a", MK_F32, 1, shape, &err), &err);
    assert_int_equal(safetensors_begin(w, &err), MK_EIO);
    assert_non_null(strstr(err.text, "/nonexistent/dir/model.safetensors"));
    safetensors_free(w);
    must(gguf_writer_create(&g, "/nonexistent/dir/a.gguf", &err), &err);
    assert_int_equal(gguf_writer_begin(g, &err), MK_EIO);
    gguf_writer_free(g);
}

/* ---- GGUF ---- */

static void a_gguf_file_copied_by_the_writer_is_the_same(void **state)
{
    struct gguf a, b;
    struct gguf_writer *w;
    struct mk_error err;
    char path[4096];

    path_in(path, sizeof path, *state, "copy.gguf");
    must(gguf_open(&a, "tests/golden/gguf/v3-mla.gguf", &err), &err);
    must(gguf_writer_create(&w, path, &err), &err);
    for (int64_t i = 0; i < a.n_values; i++)
        must(gguf_writer_copy(w, &a.values[i], &err), &err);
    for (int64_t i = 0; i < a.tensors.n_items; i++) {
        const struct file_tensor *e = &a.tensors.items[i];

        must(gguf_writer_declare(w, e->name, e->dtype, e->n_dims, e->shape, &err), &err);
    }
    must(gguf_writer_begin(w, &err), &err);
    for (int64_t i = 0; i < a.tensors.n_items; i++)
        must(gguf_writer_write(w, a.tensors.items[i].data, a.tensors.items[i].bytes, &err), &err);
    must(gguf_writer_finish(w, &err), &err);
    gguf_writer_free(w);
    must(gguf_open(&b, path, &err), &err);
    assert_same_tensors(&a.tensors, &b.tensors);
    assert_int_equal(a.n_values, b.n_values);
    for (int64_t i = 0; i < a.n_values; i++) {
        assert_int_equal(a.values[i].key.n, b.values[i].key.n);
        assert_memory_equal(a.values[i].key.data, b.values[i].key.data, a.values[i].key.n);
        assert_int_equal(a.values[i].type, b.values[i].type);
        assert_int_equal(a.values[i].bytes, b.values[i].bytes);
        assert_memory_equal(a.values[i].data, b.values[i].data, a.values[i].bytes);
    }
    assert_int_equal(count_files(*state), 1);
    gguf_release(&a);
    gguf_release(&b);
}

static void put_one_of_each(struct gguf_writer *w)
{
    static const struct gguf_string words[] = {{"one", 3}, {"", 0}, {"th\0ee", 5}};
    static const int32_t ints[] = {-1, 2147483647};
    static const float floats[] = {0.5f, -3.0f, 1e-30f};
    struct mk_error err;

    must(gguf_writer_int(w, "u8", GGUF_U8, 255, &err), &err);
    must(gguf_writer_int(w, "i16", GGUF_I16, -2, &err), &err);
    must(gguf_writer_int(w, "u32", GGUF_U32, 4294967295, &err), &err);
    must(gguf_writer_int(w, "i64", GGUF_I64, INT64_MIN, &err), &err);
    must(gguf_writer_float(w, "f32", 1.25f, &err), &err);
    must(gguf_writer_bool(w, "bool", true, &err), &err);
    must(gguf_writer_text(w, "text", "h\xc3\xa9", 3, &err), &err);
    must(gguf_writer_ints(w, "ints", ints, 2, &err), &err);
    must(gguf_writer_floats(w, "floats", floats, 3, &err), &err);
    must(gguf_writer_texts(w, "texts", words, 3, &err), &err);
    must(gguf_writer_ints(w, "empty", NULL, 0, &err), &err);
}

static void check_one_of_each(const struct gguf *g)
{
    const struct gguf_value *texts = gguf_find(g, "texts");
    const unsigned char *cursor = texts->data;
    struct gguf_string s;
    int64_t n;
    double x;
    bool b;

    assert_true(gguf_int(g, "u8", &n) && n == 255);
    assert_true(gguf_int(g, "i16", &n) && n == -2);
    assert_true(gguf_int(g, "u32", &n) && n == 4294967295);
    assert_true(gguf_int(g, "i64", &n) && n == INT64_MIN);
    assert_true(gguf_float(g, "f32", &x) && x == 1.25);
    assert_true(gguf_bool(g, "bool", &b) && b);
    assert_true(gguf_text(g, "text", &s) && s.n == 3);
    assert_true(gguf_int_at(gguf_find(g, "ints"), 0, &n) && n == -1);
    assert_true(gguf_int_at(gguf_find(g, "ints"), 1, &n) && n == INT32_MAX);
    assert_true(gguf_float_at(gguf_find(g, "floats"), 2, &x) && (float)x == 1e-30f);
    assert_true(gguf_next_string(texts, &cursor, &s) && s.n == 3);
    assert_true(gguf_next_string(texts, &cursor, &s) && s.n == 0);
    assert_true(gguf_next_string(texts, &cursor, &s) && s.n == 5);
    assert_memory_equal(s.data, "th\0ee", 5);
    assert_false(gguf_next_string(texts, &cursor, &s));
    assert_int_equal(gguf_find(g, "empty")->n, 0);
}

static void every_kind_of_metadata_comes_back(void **state)
{
    static const int64_t shape[] = {2, 3};
    struct gguf_writer *w;
    struct gguf g;
    struct mk_error err;
    unsigned char bytes[24] = {1, 2, 3};
    char path[4096];

    path_in(path, sizeof path, *state, "kinds.gguf");
    must(gguf_writer_create(&w, path, &err), &err);
    put_one_of_each(w);
    must(gguf_writer_declare(w, "scalar", MK_F32, 0, NULL, &err), &err);
    must(gguf_writer_declare(w, "matrix", MK_F32, 2, shape, &err), &err);
    must(gguf_writer_begin(w, &err), &err);
    must(gguf_writer_write(w, bytes, 4, &err), &err);
    must(gguf_writer_write(w, bytes, 24, &err), &err);
    assert_int_equal(gguf_writer_write(w, bytes, 1, &err), MK_EINVAL);
    must(gguf_writer_finish(w, &err), &err);
    gguf_writer_free(w);
    must(gguf_open(&g, path, &err), &err);
    check_one_of_each(&g);
    assert_int_equal(g.tensors.n_items, 2);
    assert_int_equal((tensors_find(&g.tensors, "matrix")->data - g.tensors.files[0].data) % 32, 0);
    assert_int_equal(tensors_find(&g.tensors, "matrix")->shape[0], 2);
    assert_memory_equal(tensors_find(&g.tensors, "matrix")->data, bytes, 24);
    gguf_release(&g);
}

static void an_unfinished_gguf_file_leaves_nothing_behind(void **state)
{
    static const int64_t shape[] = {64};
    struct gguf_writer *w;
    struct mk_error err;
    char path[4096];

    path_in(path, sizeof path, *state, "part.gguf");
    must(gguf_writer_create(&w, path, &err), &err);
    must(gguf_writer_declare(w, "a", MK_F32, 1, shape, &err), &err);
    must(gguf_writer_begin(w, &err), &err);
    assert_int_equal(count_files(*state), 1);
    assert_int_equal(gguf_writer_finish(w, &err), MK_EINVAL);
    gguf_writer_free(w);
    assert_int_equal(count_files(*state), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_checkpoint_written_again_in_shards_is_the_same),
        IN_FOLDER(a_safetensors_header_is_aligned_and_marked_for_transformers),
        IN_FOLDER(an_unfinished_safetensors_file_leaves_nothing_behind),
        IN_FOLDER(writers_refuse_duplicates_and_impossible_tensors),
        IN_FOLDER(a_folder_that_is_not_there_is_an_error_that_names_it),
        IN_FOLDER(a_gguf_file_copied_by_the_writer_is_the_same),
        IN_FOLDER(every_kind_of_metadata_comes_back),
        IN_FOLDER(an_unfinished_gguf_file_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
