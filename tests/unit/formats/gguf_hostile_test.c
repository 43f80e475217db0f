/* gguf_hostile_test.c: GGUF files made to break readers end in an error that names file and field.
 *
 * Each test is built from one known attack or accident (CVE numbers are of other readers). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "formats/gguf.h"
#include "support/memory_file.h"

/* ---- A file under construction ---- */

struct bytes { unsigned char d[4096]; size_t n; };

static void put(struct bytes *b, const void *data, size_t n)
{
    assert_true(n <= sizeof b->d - b->n);
    memcpy(b->d + b->n, data, n);
    b->n += n;
}

static void u64(struct bytes *b, uint64_t v)
{
    put(b, &v, 8);
}

static void u32(struct bytes *b, uint32_t v)
{
    put(b, &v, 4);
}

static void string(struct bytes *b, const char *s)
{
    u64(b, strlen(s));
    put(b, s, strlen(s));
}

static struct bytes head(uint64_t n_tensors, uint64_t n_values)
{
    struct bytes b = {.n = 0};

    put(&b, "GGUF", 4);
    u32(&b, 3);
    u64(&b, n_tensors);
    u64(&b, n_values);
    return b;
}

static void key(struct bytes *b, const char *name, uint32_t type)
{
    string(b, name);
    u32(b, type);
}

static void tensor(struct bytes *b, const char *name, uint32_t n_dims, const uint64_t *ne,
                   uint32_t type, uint64_t offset)
{
    string(b, name);
    u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        u64(b, ne[i]);
    u32(b, type);
    u64(b, offset);
}

static void pad_and_fill(struct bytes *b, size_t data_bytes)
{
    static const unsigned char zeros[1024];

    put(b, zeros, (32 - b->n % 32) % 32);
    put(b, zeros, data_bytes);
}

/* The file is refused with `code`, and the text names the file and holds `field`. */
static void refuse(const struct bytes *b, int code, const char *field)
{
    struct memory_file f;
    struct gguf g;
    struct mk_error err = {0};
    int rc;

    assert_int_equal(memory_file_open(&f, b->d, b->n), 0);
    rc = gguf_open(&g, f.path, &err);
    if (rc != code || !strstr(err.text, field) || strncmp(err.text, f.path, strlen(f.path)) != 0)
        fail_msg("expected %d with '%s', got %d: %s", code, field, rc, err.text);
    assert_null(g.values);
    assert_null(g.tensors.items);
    memory_file_close(&f);
}

static void accept(const struct bytes *b, struct gguf *g, struct memory_file *f)
{
    struct mk_error err;

    assert_int_equal(memory_file_open(f, b->d, b->n), 0);
    if (gguf_open(g, f->path, &err))
        fail_msg("%s", err.text);
}

/* One F32 tensor "x" of these dimensions at this offset, with 64 bytes of data. */
static struct bytes one_tensor(uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t offset)
{
    struct bytes b = head(1, 0);

    tensor(&b, "x", n_dims, ne, type, offset);
    pad_and_fill(&b, 64);
    return b;
}

static void refuse_tensor(uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t offset,
                          const char *field)
{
    struct bytes b = one_tensor(n_dims, ne, type, offset);

    refuse(&b, MK_EFORMAT, field);
}

/* ---- Header ---- */

/* A file of four bytes was read past its end in CVE-2024-39720. */
static void a_file_of_the_magic_alone_is_refused(void **state)
{
    struct bytes b = {.d = "GGUF", .n = 4};
    struct bytes empty = {.n = 0};

    (void)state;
    refuse(&b, MK_EFORMAT, "version");
    refuse(&empty, MK_EFORMAT, "magic");
}

static void other_magic_versions_and_byte_orders_are_refused_by_name(void **state)
{
    struct bytes b = head(0, 0);

    (void)state;
    b.d[0] = 'g';
    refuse(&b, MK_EFORMAT, "magic");
    b = head(0, 0);
    b.d[4] = 1;
    refuse(&b, MK_EUNSUPPORTED, "version: 1 is not read");
    b.d[4] = 4;
    refuse(&b, MK_EUNSUPPORTED, "version: 4");
    b.d[4] = 0;
    b.d[7] = 3;
    refuse(&b, MK_EUNSUPPORTED, "big-endian");
}

static void version_2_and_a_file_without_tensors_are_read(void **state)
{
    struct bytes b = head(0, 1);
    struct memory_file f;
    struct gguf g;

    (void)state;
    b.d[4] = 2;
    key(&b, "k", GGUF_U32);
    u32(&b, 9);
    accept(&b, &g, &f);
    assert_int_equal(g.version, 2);
    assert_int_equal(g.tensors.n_items, 0);
    gguf_release(&g);
    memory_file_close(&f);
}

/* Count times struct size overflowed in CVE-2025-53630 and CVE-2026-27940. */
static void counts_that_overflow_or_cannot_be_in_the_file_are_refused(void **state)
{
    static const uint64_t counts[] = {
        UINT64_MAX, UINT64_MAX / 72 + 1, (uint64_t)1 << 63, (uint64_t)1 << 32, 500001, 2,
    };

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct bytes tensors = head(counts[i], 0), values = head(0, counts[i]);

        refuse(&tensors, MK_EFORMAT, "tensor count: ");
        refuse(&values, MK_EFORMAT, "metadata count: ");
    }
}

/* ---- Metadata ---- */

static struct bytes with_alignment(uint32_t type, uint64_t value, size_t bytes)
{
    struct bytes b = head(0, 1);

    key(&b, "general.alignment", type);
    put(&b, &value, bytes);
    return b;
}

static void an_alignment_of_wrong_type_or_size_is_refused(void **state)
{
    static const uint32_t sizes[] = {0, 1, 3, 48, 1u << 17, 1u << 31, UINT32_MAX};
    struct bytes b = with_alignment(GGUF_U64, 32, 8);

    (void)state;
    refuse(&b, MK_EFORMAT, "'general.alignment': is of type u64");
    b = with_alignment(GGUF_BOOL, 1, 1);
    refuse(&b, MK_EFORMAT, "'general.alignment': is of type bool");
    b = with_alignment(GGUF_F32, 0, 4);
    refuse(&b, MK_EFORMAT, "'general.alignment': is of type f32");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        b = with_alignment(GGUF_U32, sizes[i], 4);
        refuse(&b, MK_EFORMAT, "'general.alignment'");
    }
}

/* Lengths without bytes behind them: CVE-2024-21802, 21825, 21836, 23496, 23605. */
static void lengths_past_the_end_of_the_file_are_refused(void **state)
{
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 61, 1 << 20, 40};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct bytes k = head(0, 1), s = head(0, 1), a = head(0, 1), w = head(0, 1);

        u64(&k, lengths[i]);
        pad_and_fill(&k, 32);
        refuse(&k, MK_EFORMAT, "metadata 0: key");
        key(&s, "text", GGUF_STRING);
        u64(&s, lengths[i]);
        refuse(&s, MK_EFORMAT, "metadata 'text': value");
        key(&a, "numbers", GGUF_ARRAY);
        u32(&a, GGUF_U64);
        u64(&a, lengths[i]);
        refuse(&a, MK_EFORMAT, "metadata 'numbers': value");
        key(&w, "words", GGUF_ARRAY);
        u32(&w, GGUF_STRING);
        u64(&w, lengths[i]);
        string(&w, "first");
        refuse(&w, MK_EFORMAT, "metadata 'words': value");
    }
}

static void unknown_types_and_nested_arrays_are_refused(void **state)
{
    struct bytes b = head(0, 1);

    (void)state;
    key(&b, "k", 13);
    u64(&b, 0);
    refuse(&b, MK_EFORMAT, "metadata 'k': type: there is no type 13");
    b = head(0, 1);
    key(&b, "k", GGUF_ARRAY);
    u32(&b, GGUF_ARRAY);
    u64(&b, 1);
    refuse(&b, MK_EUNSUPPORTED, "metadata 'k': an array of arrays");
    b = head(0, 1);
    key(&b, "k", GGUF_BOOL);
    put(&b, "\2\0", 2);
    refuse(&b, MK_EFORMAT, "metadata 'k': value: 2 is no bool");
}

static void keys_that_are_empty_or_given_twice_are_refused(void **state)
{
    struct bytes b = head(0, 2);

    (void)state;
    key(&b, "same", GGUF_U32);
    u32(&b, 1);
    key(&b, "same", GGUF_BOOL);
    put(&b, "\1", 1);
    refuse(&b, MK_EFORMAT, "metadata 'same': given twice");
    b = head(0, 1);
    key(&b, "", GGUF_U64);
    u64(&b, 1);
    refuse(&b, MK_EFORMAT, "metadata 0: key: is empty");
}

/* An array of bytes read as one of words passed its end in llama.cpp PR 26690. */
static void an_array_of_narrow_elements_is_never_read_past_its_end(void **state)
{
    struct bytes b = head(0, 2);
    struct memory_file f;
    struct gguf g;
    const struct gguf_value *v;
    int64_t n;
    double x;

    (void)state;
    key(&b, "narrow", GGUF_ARRAY);
    u32(&b, GGUF_I8);
    u64(&b, 3);
    put(&b, "\xff\1\2", 3);
    key(&b, "big", GGUF_U64);
    u64(&b, UINT64_MAX);
    accept(&b, &g, &f);
    v = gguf_find(&g, "narrow");
    assert_true(gguf_int_at(v, 0, &n) && n == -1);
    assert_true(gguf_float_at(v, 2, &x) && x == 2);
    assert_false(gguf_int_at(v, 3, &n));
    assert_false(gguf_float_at(v, UINT64_MAX, &x));
    assert_false(gguf_int(&g, "big", &n)); /* does not fit */
    gguf_release(&g);
    memory_file_close(&f);
}

/* ---- Tensors ---- */

static void dimensions_whose_product_wraps_are_refused(void **state)
{
    static const uint64_t wraps[] = {INT64_MAX, 2, 1, 1}, cube[] = {1 << 22, 1 << 22, 1 << 22, 1},
                          negative[] = {UINT64_MAX, 1, 1, 1}, bytes[] = {(uint64_t)1 << 62};

    (void)state;
    refuse_tensor(4, cube, 0, 0, "tensor 'x': dimension 2: 4194304 is 0 or too large");
    refuse_tensor(4, negative, 0, 0, "tensor 'x': dimension 0");
    refuse_tensor(1, bytes, 0, 0, "tensor 'x': dimensions: the size in bytes");
    refuse_tensor(2, wraps, 0, 0, "tensor 'x': dimensions: the size in bytes");
}

/* 2^64 - 4 bytes: adding an offset or aligning up would wrap to a small number. */
static void a_size_near_the_end_of_64_bits_does_not_wrap(void **state)
{
    static const uint64_t ne[] = {((uint64_t)1 << 62) - 1};

    (void)state;
    refuse_tensor(1, ne, 0, 0, "tensor 'x': offset");
    refuse_tensor(1, ne, 0, 64, "tensor 'x': offset");
}

/* Bytes of the heap left the server through such tensors in CVE-2026-7482. */
static void tensors_outside_the_file_are_refused(void **state)
{
    static const uint64_t sixteen[] = {16}, more[] = {17};

    (void)state;
    refuse_tensor(1, more, 0, 0, "tensor 'x': offset: 68 bytes at 0 pass the end");
    refuse_tensor(1, sixteen, 0, 32, "tensor 'x': offset: 64 bytes at 32");
    refuse_tensor(1, sixteen, 0, UINT64_MAX - 31, "tensor 'x': offset");
    refuse_tensor(1, sixteen, 0, 4, "tensor 'x': offset: 4 is not a multiple of 32");
}

static void overlapping_tensors_and_equal_names_are_refused(void **state)
{
    static const uint64_t sixteen[] = {16}, eight[] = {8};
    struct bytes b = head(2, 0);

    (void)state;
    tensor(&b, "b", 1, eight, 0, 32);
    tensor(&b, "a", 1, sixteen, 0, 0);
    pad_and_fill(&b, 64);
    refuse(&b, MK_EFORMAT, "'a' and 'b' overlap");
    b = head(2, 0);
    tensor(&b, "same", 1, eight, 0, 0);
    tensor(&b, "same", 1, eight, 0, 32);
    pad_and_fill(&b, 64);
    refuse(&b, MK_EFORMAT, "two tensors are named 'same'");
}

/* Zero blocks divided by zero in CVE-2025-0317 and CVE-2024-8063. */
static void zero_sizes_and_broken_blocks_are_refused(void **state)
{
    static const uint64_t zero[] = {0}, ragged[] = {33}, five[] = {1, 1, 1, 1, 1};
    struct bytes b = one_tensor(1, five, 16, 0);

    (void)state;
    refuse_tensor(1, zero, 0, 0, "tensor 'x': dimension 0: 0");
    refuse_tensor(0, zero, 0, 0, "tensor 'x': dimension count: 0");
    refuse_tensor(5, five, 0, 0, "tensor 'x': dimension count: 5");
    refuse_tensor(1, ragged, 8, 0, "tensor 'x': dimension 0: 33 is not a multiple of the 32");
    refuse(&b, MK_EUNSUPPORTED, "tensor 'x': type: number 16");
    b = one_tensor(1, five, UINT32_MAX, 0);
    refuse(&b, MK_EUNSUPPORTED, "tensor 'x': type: number 4294967295");
}

static void tensor_names_that_are_empty_long_or_cut_by_nul_are_refused(void **state)
{
    static const uint64_t one[] = {1};
    struct bytes b = head(1, 0);
    char longest[1002];

    (void)state;
    tensor(&b, "", 1, one, 0, 0);
    pad_and_fill(&b, 32);
    refuse(&b, MK_EFORMAT, "tensor 0: name");
    memset(longest, 'n', 1001);
    longest[1001] = 0;
    b = head(1, 0);
    tensor(&b, longest, 1, one, 0, 0);
    pad_and_fill(&b, 32);
    refuse(&b, MK_EFORMAT, "tensor 0: name");
    b = head(1, 0);
    tensor(&b, "ab", 1, one, 0, 0);
    b.d[24 + 8 + 1] = 0;
    pad_and_fill(&b, 32);
    refuse(&b, MK_EFORMAT, "tensor 0: name");
}

static void an_infinite_scale_is_found_by_the_optional_check(void **state)
{
    static const uint64_t ne[] = {32};
    struct bytes b = one_tensor(1, ne, 8, 0); /* Q8_0 */
    struct memory_file f;
    struct gguf g;
    struct mk_error err;

    (void)state;
    b.d[b.n - 64 + 1] = 0x7c; /* float16 infinity */
    b.d[b.n - 64 + 2] = 1;
    accept(&b, &g, &f);
    assert_int_equal(tensors_check_finite(&g.tensors, &g.tensors.items[0], &err), MK_EFORMAT);
    assert_non_null(strstr(err.text, f.path));
    assert_non_null(strstr(err.text, "tensor 'x': value 0 is infinite"));
    gguf_release(&g);
    memory_file_close(&f);
}

/* ---- Split files ---- */

static void a_split_file_that_lies_about_its_parts_is_refused(void **state)
{
    struct bytes b = head(0, 2);
    uint16_t number = 0, count = 3;

    (void)state;
    key(&b, "split.no", GGUF_U16);
    put(&b, &number, 2);
    key(&b, "split.count", GGUF_U16);
    put(&b, &count, 2);
    refuse(&b, MK_EFORMAT, "'split.count': it is part 1 of 3, but its name does not end in "
           "-00001-of-00003.gguf");
    count = 65535;
    memcpy(b.d + b.n - 2, &count, 2);
    refuse(&b, MK_EFORMAT, "'split.count': part number 0 (from 0) of 65535 is not possible");
}

static void the_second_part_of_a_split_file_sends_the_user_to_the_first(void **state)
{
    struct gguf g;
    struct mk_error err;

    (void)state;
    assert_int_equal(gguf_open(&g, "tests/golden/gguf/qwen2-split-00002-of-00002.gguf", &err),
                     MK_EINVAL);
    assert_non_null(strstr(err.text, "give the name of the first part"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_the_magic_alone_is_refused),
        cmocka_unit_test(other_magic_versions_and_byte_orders_are_refused_by_name),
        cmocka_unit_test(version_2_and_a_file_without_tensors_are_read),
        cmocka_unit_test(counts_that_overflow_or_cannot_be_in_the_file_are_refused),
        cmocka_unit_test(an_alignment_of_wrong_type_or_size_is_refused),
        cmocka_unit_test(lengths_past_the_end_of_the_file_are_refused),
        cmocka_unit_test(unknown_types_and_nested_arrays_are_refused),
        cmocka_unit_test(keys_that_are_empty_or_given_twice_are_refused),
        cmocka_unit_test(an_array_of_narrow_elements_is_never_read_past_its_end),
        cmocka_unit_test(dimensions_whose_product_wraps_are_refused),
        cmocka_unit_test(a_size_near_the_end_of_64_bits_does_not_wrap),
        cmocka_unit_test(tensors_outside_the_file_are_refused),
        cmocka_unit_test(overlapping_tensors_and_equal_names_are_refused),
        cmocka_unit_test(zero_sizes_and_broken_blocks_are_refused),
        cmocka_unit_test(tensor_names_that_are_empty_long_or_cut_by_nul_are_refused),
        cmocka_unit_test(an_infinite_scale_is_found_by_the_optional_check),
        cmocka_unit_test(a_split_file_that_lies_about_its_parts_is_refused),
        cmocka_unit_test(the_second_part_of_a_split_file_sends_the_user_to_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
