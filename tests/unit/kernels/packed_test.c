/* packed_test.c: a packed matrix gives back the file's values, and refuses files that lie. */
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
#include "kernels/packed.h"

#define ROWS 4
#define INPUTS 512

static void *read_golden(const char *type, const char *suffix, size_t bytes)
{
    char path[128];
    void *data = malloc(bytes);
    FILE *f;

    snprintf(path, sizeof path, "tests/golden/quants/%s.%s", type, suffix);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(data, 1, bytes, f), bytes);
    fclose(f);
    return data;
}

/* Equal as numbers: the golden files may hold -0 where we hold 0. */
static void assert_same_values(const char *what, int64_t r, const float *got, const float *want,
                               int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        if (!(got[k] == want[k] || (isnan(got[k]) && isnan(want[k]))))
            fail_msg("%s: value (%d, %d) is %.9g, expected %.9g", what, (int)r, (int)k, got[k],
                     want[k]);
}

static void check_golden(const char *name, enum dtype type)
{
    uint64_t row_bytes;
    unsigned char *blocks;
    float *want, row[INPUTS];
    struct arena a;
    struct packed p;
    struct mk_error err;

    assert_true(dtype_bytes(type, INPUTS, &row_bytes));
    blocks = read_golden(name, "bin", ROWS * (size_t)row_bytes);
    want = read_golden(name, "f32", sizeof(float[ROWS][INPUTS]));
    arena_init(&a, 1 << 20);
    assert_int_equal(
        packed_init(&p, &(struct weight_src){.dtype = type, .n_out = ROWS, .n_in = INPUTS,
                                             .data = blocks}, &a, &err), 0);
    for (int r = 0; r < ROWS; r++) {
        packed_row(&p, r, row);
        assert_same_values(name, r, row, want + r * INPUTS, INPUTS);
    }
    arena_release(&a);
    free(blocks);
    free(want);
}

static void every_number_format_gives_back_the_values_that_gguf_py_reads(void **state)
{
    static const struct {
        const char *name;
        enum dtype type;
    } all[] = {{"F16", MK_F16},       {"BF16", MK_BF16}, {"Q8_0", MK_Q8_0}, {"Q4_0", MK_Q4_0},
               {"Q4_1", MK_Q4_1},     {"Q5_0", MK_Q5_0}, {"Q5_1", MK_Q5_1}, {"Q2_K", MK_Q2_K},
               {"Q3_K", MK_Q3_K},     {"Q4_K", MK_Q4_K}, {"Q5_K", MK_Q5_K}, {"Q6_K", MK_Q6_K},
               {"IQ4_NL", MK_IQ4_NL}, {"IQ4_XS", MK_IQ4_XS}};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        check_golden(all[i].name, all[i].type);
}

/* Rows may lie apart, as those of one expert or one head of a larger tensor do, and their number
 * need not be a multiple of a panel. */
static void rows_with_gaps_in_a_ragged_last_panel_are_found(void **state)
{
    enum { N = 37, K = 64, GAP = 7 };
    unsigned char *file = calloc(N, 2 * 18 + GAP);
    float row[K];
    struct arena a;
    struct packed p;
    struct mk_error err;

    (void)state;
    for (int r = 0; r < N; r++)
        for (int b = 0; b < 2; b++) {
            unsigned char *block = file + r * (2 * 18 + GAP) + b * 18;
            uint16_t one = f32_to_f16(1.0f);

            memcpy(block, &one, 2);
            memset(block + 2, (r + b) % 16 * 17, 16);
        }
    arena_init(&a, 1 << 20);
    assert_int_equal(packed_init(&p, &(struct weight_src){.dtype = MK_Q4_0, .n_out = N, .n_in = K,
                                                          .data = file,
                                                          .row_bytes = 2 * 18 + GAP}, &a, &err),
                     0);
    for (int r = 0; r < N; r++) {
        packed_row(&p, r, row);
        for (int k = 0; k < K; k++)
            assert_true(row[k] == (float)((r + k / 32) % 16 - 8));
    }
    arena_release(&a);
    free(file);
}

static void a_transposed_view_is_the_transposed_matrix(void **state)
{
    enum { N = 21, K = 13, WIDE = 30 };
    static const enum dtype types[] = {MK_F32, MK_F16, MK_BF16};
    unsigned char file[K * WIDE * 4];
    float row[K];
    struct arena a;
    struct packed p;
    struct mk_error err;

    (void)state;
    arena_init(&a, 1 << 20);
    for (int t = 0; t < 3; t++) {
        size_t bytes = (size_t)dtype_info(types[t])->bytes;

        memset(file, 0xff, sizeof file);
        for (int k = 0; k < K; k++)
            for (int r = 0; r < N; r++) {
                float f = (float)(k * 8 + r % 8);
                uint16_t h = types[t] == MK_F16 ? f32_to_f16(f) : f32_to_bf16(f);

                memcpy(file + ((size_t)k * WIDE + (size_t)r) * bytes,
                       types[t] == MK_F32 ? (void *)&f : (void *)&h, bytes);
            }
        assert_int_equal(packed_init(&p, &(struct weight_src){.dtype = types[t], .n_out = N,
                                                              .n_in = K, .data = file,
                                                              .row_bytes = (int64_t)(WIDE * bytes),
                                                              .transposed = true}, &a, &err), 0);
        for (int r = 0; r < N; r++) {
            packed_row(&p, r, row);
            for (int k = 0; k < K; k++)
                assert_true(row[k] == (float)(k * 8 + r % 8));
        }
    }
    arena_release(&a);
}

/* Blocks of 6 x 5 over a view that starts at row 4 of the scaled tensor: panels, scale rows and
 * the matrix all end in different places. */
static void fp8_scales_belong_to_the_row_and_input_of_the_whole_tensor(void **state)
{
    enum { N = 35, K = 23, ROW0 = 4, COLS = 5, SCALE_ROWS = 7 };
    unsigned char file[N * K];
    float scales[SCALE_ROWS * COLS], row[K];
    struct arena a;
    struct packed p;
    struct mk_error err;

    (void)state;
    for (int i = 0; i < N * K; i++)
        file[i] = (unsigned char)(i * 89 + i / 256);
    for (int i = 0; i < SCALE_ROWS * COLS; i++)
        scales[i] = 0.37f + 0.11f * (float)i;
    arena_init(&a, 1 << 20);
    assert_int_equal(packed_init(&p, &(struct weight_src){.dtype = MK_F8_E4M3, .n_out = N,
                                                          .n_in = K, .data = file, .scales = scales,
                                                          .n_scale_cols = COLS, .row0 = ROW0,
                                                          .block_out = 6, .block_in = 5}, &a,
                                 &err), 0);
    for (int r = 0; r < N; r++) {
        float want[K];

        for (int k = 0; k < K; k++)
            want[k] = e4m3_to_f32(file[r * K + k]) * scales[(ROW0 + r) / 6 * COLS + k / 5];
        packed_row(&p, r, row);
        assert_same_values("fp8", r, row, want, K);
    }
    arena_release(&a);
}

static void fp8_without_scales_is_plain_values(void **state)
{
    unsigned char file[256];
    float row[256], want[256];
    struct arena a;
    struct packed p;
    struct mk_error err;

    (void)state;
    for (int i = 0; i < 256; i++) {
        file[i] = (unsigned char)i;
        want[i] = e4m3_to_f32((uint8_t)i);
    }
    arena_init(&a, 1 << 20);
    assert_int_equal(packed_init(&p, &(struct weight_src){.dtype = MK_F8_E4M3, .n_out = 1,
                                                          .n_in = 256, .data = file}, &a, &err), 0);
    packed_row(&p, 0, row);
    assert_same_values("fp8", 0, row, want, 256);
    arena_release(&a);
}

/* Packing must not cost more than the file: 1.15 of it bounds the whole process. */
static void packed_bytes_are_the_file_s_bytes_and_what_init_takes(void **state)
{
    struct mk_error err;
    uint64_t bytes, file;

    (void)state;
    for (enum dtype t = MK_F32; t <= MK_IQ4_XS; t++) {
        struct weight_src src = {.dtype = t, .n_out = 1408, .n_in = 2048};

        assert_int_equal(packed_bytes(&src, &bytes, &err), 0);
        assert_true(dtype_bytes(t, 1408 * 2048, &file));
        if (bytes < file || bytes > file + file / 20)
            fail_msg("%s: %llu bytes in the file, %llu packed", dtype_info(t)->name,
                     (unsigned long long)file, (unsigned long long)bytes);
    }
}

static void sizes_that_lie_are_refused(void **state)
{
    static const float scale[4];
    static const struct {
        struct weight_src src;
        int code;
    } cases[] = {
        {{.dtype = MK_F32, .n_out = 0, .n_in = 4}, MK_EFORMAT},
        {{.dtype = MK_F32, .n_out = 4, .n_in = -1}, MK_EFORMAT},
        {{.dtype = MK_F32, .n_out = INT64_MAX, .n_in = INT64_MAX}, MK_EFORMAT},
        {{.dtype = MK_F32, .n_out = (int64_t)1 << 32, .n_in = 1}, MK_EFORMAT},
        {{.dtype = MK_F32, .n_out = INT32_MAX - 16, .n_in = INT32_MAX - 256}, MK_EFORMAT},
        {{.dtype = MK_F32, .n_out = 1 << 20, .n_in = 1 << 10}, MK_EMEMORY},
        {{.dtype = MK_Q4_0, .n_out = 4, .n_in = 48}, MK_EUNSUPPORTED},
        {{.dtype = MK_Q4_K, .n_out = 4, .n_in = 1408}, MK_EUNSUPPORTED},
        {{.dtype = MK_I32, .n_out = 4, .n_in = 32}, MK_EUNSUPPORTED},
        {{.dtype = (enum dtype)99, .n_out = 4, .n_in = 32}, MK_EINVAL},
        {{.dtype = MK_Q8_0, .n_out = 4, .n_in = 32, .transposed = true}, MK_EUNSUPPORTED},
        {{.dtype = MK_F8_E4M3, .n_out = 4, .n_in = 32, .transposed = true}, MK_EUNSUPPORTED},
        {{.dtype = MK_BF16, .n_out = 4, .n_in = 32, .scales = scale, .n_scale_cols = 4,
          .block_in = 8, .block_out = 8}, MK_EUNSUPPORTED},
        {{.dtype = MK_F8_E4M3, .n_out = 4, .n_in = 33, .scales = scale, .n_scale_cols = 4,
          .block_in = 8, .block_out = 8}, MK_EFORMAT},
        {{.dtype = MK_F8_E4M3, .n_out = 4, .n_in = 32, .scales = scale, .n_scale_cols = 4,
          .block_in = 0, .block_out = 8}, MK_EFORMAT},
        {{.dtype = MK_F8_E4M3, .n_out = 4, .n_in = 32, .scales = scale, .n_scale_cols = 4,
          .block_in = 8, .block_out = 8, .row0 = -1}, MK_EFORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena a;
        struct packed p;
        struct mk_error err;

        arena_init(&a, 1 << 20);
        if (packed_init(&p, &cases[i].src, &a, &err) != cases[i].code)
            fail_msg("case %d: %s", (int)i, err.text);
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_format_gives_back_the_values_that_gguf_py_reads),
        cmocka_unit_test(rows_with_gaps_in_a_ragged_last_panel_are_found),
        cmocka_unit_test(a_transposed_view_is_the_transposed_matrix),
        cmocka_unit_test(fp8_scales_belong_to_the_row_and_input_of_the_whole_tensor),
        cmocka_unit_test(fp8_without_scales_is_plain_values),
        cmocka_unit_test(packed_bytes_are_the_file_s_bytes_and_what_init_takes),
        cmocka_unit_test(sizes_that_lie_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
