/* dequant_test.c: every block format is read to the bits that gguf-py reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/map_file.h"
#include "tensor/dequant.h"

#define ROWS 4
#define COLS 512

static struct map_file open_golden(const char *type, const char *suffix)
{
    struct map_file m;
    struct mk_error err;
    char path[128];

    snprintf(path, sizeof path, "tests/golden/quants/%s.%s", type, suffix);
    if (map_file_open(&m, path, &err))
        fail_msg("%s", err.text);
    return m;
}

static void check_type(const char *name, enum dtype type)
{
    struct map_file blocks = open_golden(name, "bin"), want = open_golden(name, "f32");
    float got[COLS];
    uint64_t row_bytes;

    assert_true(dtype_bytes(type, COLS, &row_bytes));
    assert_int_equal(blocks.bytes, ROWS * row_bytes);
    assert_int_equal(want.bytes, ROWS * COLS * sizeof(float));
    for (int r = 0; r < ROWS; r++) {
        assert_int_equal(dequantise_row(type, blocks.data + r * row_bytes, COLS, got), 0);
        for (int c = 0; c < COLS; c++) {
            const unsigned char *w = want.data + sizeof(float) * (size_t)(r * COLS + c);

            if (memcmp(&got[c], w, sizeof(float))) {
                float expected;

                memcpy(&expected, w, sizeof expected);
                fail_msg("%s row %d value %d: %.9g, gguf-py has %.9g", name, r, c, (double)got[c],
                         (double)expected);
            }
        }
    }
    map_file_close(&blocks);
    map_file_close(&want);
}

static void every_gguf_format_equals_gguf_py_bit_by_bit(void **state)
{
    static const struct { const char *name; enum dtype type; } types[] = {
        {"F16", MK_F16},       {"BF16", MK_BF16},     {"Q8_0", MK_Q8_0}, {"Q4_0", MK_Q4_0},
        {"Q4_1", MK_Q4_1},     {"Q5_0", MK_Q5_0},     {"Q5_1", MK_Q5_1}, {"Q2_K", MK_Q2_K},
        {"Q3_K", MK_Q3_K},     {"Q4_K", MK_Q4_K},     {"Q5_K", MK_Q5_K}, {"Q6_K", MK_Q6_K},
        {"IQ4_NL", MK_IQ4_NL}, {"IQ4_XS", MK_IQ4_XS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        check_type(types[i].name, types[i].type);
}

static void f32_is_copied_from_any_alignment(void **state)
{
    const float values[3] = {1.5f, -0.0f, 3e-42f};
    unsigned char bytes[1 + sizeof values];
    float got[3];

    (void)state;
    memcpy(bytes + 1, values, sizeof values);
    assert_int_equal(dequantise_row(MK_F32, bytes + 1, 3, got), 0);
    assert_memory_equal(got, values, sizeof values);
}

/* OCP 8-bit floating point, E4M3: bias 7, subnormals are multiples of 2^-9, no infinity. */
static void e4m3_bytes_have_the_values_of_the_ocp_standard(void **state)
{
    const unsigned char bytes[] = {0x00, 0x01, 0x07, 0x08, 0x38, 0x7e, 0xfe, 0x80};
    const float want[] = {0.0f, 0x1p-9f, 7 * 0x1p-9f, 0x1p-6f, 1.0f, 448.0f, -448.0f, -0.0f};
    const unsigned char nan_byte = 0xff;
    float got[8];

    (void)state;
    assert_int_equal(dequantise_row(MK_F8_E4M3, bytes, 8, got), 0);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(dequantise_row(MK_F8_E4M3, &nan_byte, 1, got), 0);
    assert_true(isnan(got[0]));
}

static void half_a_block_and_integer_types_are_refused(void **state)
{
    unsigned char bytes[256] = {0};
    float out[256] = {7};

    (void)state;
    assert_int_equal(dequantise_row(MK_Q4_K, bytes, 128, out), MK_EINVAL);
    assert_int_equal(dequantise_row(MK_Q8_0, bytes, 33, out), MK_EINVAL);
    assert_int_equal(dequantise_row(MK_I32, bytes, 4, out), MK_EINVAL);
    assert_int_equal(dequantise_row(MK_F32, bytes, -1, out), MK_EINVAL);
    assert_true(out[0] == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gguf_format_equals_gguf_py_bit_by_bit),
        cmocka_unit_test(f32_is_copied_from_any_alignment),
        cmocka_unit_test(e4m3_bytes_have_the_values_of_the_ocp_standard),
        cmocka_unit_test(half_a_block_and_integer_types_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
