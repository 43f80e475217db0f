/* damaged_files_test.c: sound files cut off at every byte of their header, and with random bytes
 * changed: every one is refused with a text or read without passing the end of anything.
 *
 * 300 changed files of each kind in a plain build, 10,000 under sanitizers or MINKE_TEST_LONG. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "support/memory_file.h"

#define SEED 20251123u
#define MODELS "tests/golden/models/"
#define GGUFS "tests/golden/gguf/"

static const char *const gguf_files[] = {GGUFS "v3-mla.gguf", GGUFS "llama3.gguf"};
static const char *const safetensors_files[] = {
    MODELS "v3-fp8/model.safetensors", MODELS "v3/model-00001-of-00003.safetensors",
};

typedef int open_fn(const char *path, struct mk_error *err);

/* Whatever a reader let through lies inside the file. */
static void check_tensors(const struct tensors *t)
{
    for (int64_t i = 0; i < t->n_items; i++) {
        const struct file_tensor *e = &t->items[i];
        const struct map_file *m = &t->files[e->file];

        assert_true(e->data >= m->data && e->data <= m->data + m->bytes);
        assert_true(e->bytes <= (uint64_t)(m->data + m->bytes - e->data));
        assert_ptr_equal(tensors_find(t, e->name), e);
    }
}

static int open_safetensors(const char *path, struct mk_error *err)
{
    struct tensors t;
    int rc = safetensors_open(&t, path, err);

    if (!rc)
        check_tensors(&t);
    tensors_release(&t);
    return rc;
}

static void check_value(const struct gguf *g, const struct gguf_value *v)
{
    const struct map_file *m = &g->tensors.files[0];
    const unsigned char *cursor = v->data;
    struct gguf_string s;
    uint64_t n = 0;
    int64_t whole;
    double x;

    assert_true(v->data >= m->data && v->bytes <= (uint64_t)(m->data + m->bytes - v->data));
    while (gguf_next_string(v, &cursor, &s)) {
        assert_true((const unsigned char *)s.data + s.n <= m->data + m->bytes);
        n++;
    }
    assert_true(v->element != GGUF_STRING || n == v->n);
    if (v->n > 0) {
        gguf_int_at(v, v->n - 1, &whole);
        gguf_float_at(v, v->n - 1, &x);
    }
}

static int open_gguf(const char *path, struct mk_error *err)
{
    struct gguf g;
    int rc = gguf_open(&g, path, err);

    if (!rc) {
        check_tensors(&g.tensors);
        for (int64_t i = 0; i < g.n_values; i++)
            check_value(&g, &g.values[i]);
    }
    gguf_release(&g);
    return rc;
}

/* ---- Cut off ---- */

static struct map_file map(const char *path)
{
    struct map_file m;
    struct mk_error err;

    if (map_file_open(&m, path, &err))
        fail_msg("%s", err.text);
    return m;
}

/* Cuts from `from` bytes down to none; every file is shorter than its tensors need. */
static void cut_at_every_byte(const char *path, size_t from, open_fn *open_it)
{
    struct map_file m = map(path);
    struct memory_file f;

    assert_true(from < m.bytes);
    assert_int_equal(memory_file_open(&f, m.data, from), 0);
    for (size_t n = from + 1; n-- > 0;) {
        struct mk_error err = {0};
        int rc;

        assert_int_equal(memory_file_cut(&f, n), 0);
        rc = open_it(f.path, &err);
        if (rc != MK_EFORMAT || strncmp(err.text, f.path, strlen(f.path)) != 0)
            fail_msg("%s cut to %zu bytes: %d: %s", path, n, rc, err.text);
    }
    memory_file_close(&f);
    map_file_close(&m);
}

static size_t safetensors_header(const char *path)
{
    struct map_file m = map(path);
    uint64_t n;

    memcpy(&n, m.data, sizeof n);
    map_file_close(&m);
    return (size_t)n + 8;
}

/* The header ends where the first tensor begins. */
static size_t gguf_header(const char *path)
{
    struct gguf g;
    struct mk_error err;
    size_t first;

    if (gguf_open(&g, path, &err))
        fail_msg("%s", err.text);
    first = g.tensors.files[0].bytes;
    for (int64_t i = 0; i < g.tensors.n_items; i++) {
        size_t at = (size_t)(g.tensors.items[i].data - g.tensors.files[0].data);

        first = at < first ? at : first;
    }
    gguf_release(&g);
    return first;
}

static void a_safetensors_file_cut_at_any_byte_of_its_header_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        cut_at_every_byte(safetensors_files[i], safetensors_header(safetensors_files[i]) + 8,
                          open_safetensors);
}

static void a_gguf_file_cut_at_any_byte_of_its_header_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        cut_at_every_byte(gguf_files[i], gguf_header(gguf_files[i]) + 8, open_gguf);
}

/* ---- Changed ---- */

static int n_mutations(void)
{
#ifdef __SANITIZE_ADDRESS__
    return 10000;
#else
    return getenv("MINKE_TEST_LONG") ? 10000 : 300;
#endif
}

/* Numbers that overflow, wrap or are just past something. */
static const uint64_t nasty[] = {
    0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
    0x100000000, 0x3fffffffffffffff, 0x4000000000000000, 0x7fffffffffffffff, 0x8000000000000000,
    0xfffffffffffffff8, 0xffffffffffffffff,
};

/* Change k of file i: a flipped bit, a byte, a 4- or 8-byte number, or a copy of a near place. */
static void mutate(struct memory_file *f, const unsigned char *data, size_t header,
                   const uint32_t r[4])
{
    size_t at = r[0] % (header - 8);
    unsigned char byte = data[at];
    uint64_t number = nasty[r[2] % (sizeof nasty / sizeof nasty[0])];
    int rc;

    switch (r[1] % 5) {
    case 0:
        byte ^= (unsigned char)(1 << r[2] % 8);
        rc = memory_file_patch(f, at, &byte, 1);
        break;
    case 1:
        byte = (unsigned char)r[2];
        rc = memory_file_patch(f, at, &byte, 1);
        break;
    case 2:
        rc = memory_file_patch(f, at, &number, 4);
        break;
    case 3:
        rc = memory_file_patch(f, at, &number, 8);
        break;
    default:
        rc = memory_file_patch(f, at, data + r[3] % (header - 8), 1 + r[2] % 8);
    }
    assert_int_equal(rc, 0);
}

static void mutate_file(const char *path, size_t header, uint64_t sequence, open_fn *open_it)
{
    struct map_file m = map(path);
    struct memory_file f;

    assert_int_equal(memory_file_open(&f, m.data, m.bytes), 0);
    for (int i = 0; i < n_mutations(); i++) {
        struct mk_error err = {0};
        uint32_t r[4];

        rng_words(SEED, sequence, (uint64_t)i * 8, r);
        for (int k = 0, n = 1 + (int)(r[3] % 4); k < n; k++) {
            rng_words(SEED, sequence, (uint64_t)i * 8 + 1 + (uint64_t)k, r);
            mutate(&f, m.data, header, r);
        }
        if (open_it(f.path, &err) && (err.code == MK_EINTERNAL || err.code == MK_EMEMORY ||
                                      !err.text[0]))
            fail_msg("%s, seed %u, change %d: %s", path, SEED, i, err.text);
        assert_int_equal(memory_file_patch(&f, 0, m.data, header), 0);
    }
    memory_file_close(&f);
    map_file_close(&m);
}

static void changed_safetensors_files_never_pass_the_end_of_anything(void **state)
{
    (void)state;
    print_message("seed %u, %d changed files of each\n", SEED, n_mutations());
    for (int i = 0; i < 2; i++)
        mutate_file(safetensors_files[i], safetensors_header(safetensors_files[i]), (uint64_t)i,
                    open_safetensors);
}

static void changed_gguf_files_never_pass_the_end_of_anything(void **state)
{
    (void)state;
    print_message("seed %u, %d changed files of each\n", SEED, n_mutations());
    for (int i = 0; i < 2; i++)
        mutate_file(gguf_files[i], gguf_header(gguf_files[i]), 100 + (uint64_t)i, open_gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_safetensors_file_cut_at_any_byte_of_its_header_is_refused),
        cmocka_unit_test(a_gguf_file_cut_at_any_byte_of_its_header_is_refused),
        cmocka_unit_test(changed_safetensors_files_never_pass_the_end_of_anything),
        cmocka_unit_test(changed_gguf_files_never_pass_the_end_of_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
