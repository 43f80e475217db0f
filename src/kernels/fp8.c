/* fp8.c: areas of 128 x 128 values that threads take: scales first, then every value. */
#include "kernels/fp8.h"

#include <math.h>
#include <string.h>

#define SMALLEST_LARGEST 1e-4f /* a tile of zeros still has a scale */
#define SMALLEST_GRADIENT 1e-30f
#define BF16_CHUNK 16384       /* values that a thread takes at a time */

const struct fp8_rule fp8_activation = {FP8_ROWS, FP8_E4M3, false, false};
const struct fp8_rule fp8_activation_turned = {FP8_COLUMNS, FP8_E4M3, false, false};
const struct fp8_rule fp8_gradient = {FP8_ROWS, FP8_E4M3, false, true};
const struct fp8_rule fp8_gradient_turned = {FP8_COLUMNS, FP8_E4M3, false, true};
const struct fp8_rule fp8_weight = {FP8_BLOCKS, FP8_E4M3, false, false};
const struct fp8_rule fp8_attention_out = {FP8_ROWS, FP8_E5M6, true, false};
const struct fp8_rule fp8_sent = {FP8_ROWS, FP8_E4M3, true, false};
const struct fp8_rule fp8_sent_turned = {FP8_COLUMNS, FP8_E4M3, true, false};
const struct fp8_rule fp8_sent_gradient = {FP8_ROWS, FP8_E4M3, true, true};
const struct fp8_rule fp8_sent_gradient_turned = {FP8_COLUMNS, FP8_E4M3, true, true};

/* The values of a format: multiples of 2^(e - mantissa bits) between 2^e and 2^(e + 1), and below
 * the smallest normal number multiples of its step. */
struct grid {
    float largest;
    float normal; /* the smallest normal number */
    float lift;   /* 2^(23 - mantissa bits) */
};

static const struct grid grids[] = {
    [FP8_E4M3] = {448, 0x1p-6f, 0x1p20f},
    [FP8_E5M6] = {65024, 0x1p-14f, 0x1p17f},
};

static inline int32_t bits_of(float f)
{
    int32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float float_of(int32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Nearest value of the grid, ties to even, without a branch: beside 2^e * lift an f32 has steps as
 * wide as the grid's between 2^e and 2^(e + 1), so that an addition rounds, and subtracting is
 * exact. The scale has seen to it that x is at most the largest value, or so near that it rounds to
 * it. */
static inline float round_value(const struct grid *g, float x)
{
    int32_t sign = bits_of(x) & INT32_MIN, power = bits_of(x) & 0x7f800000;
    int32_t normal = bits_of(g->normal);
    float lifted = float_of(power > normal ? power : normal) * g->lift;
    float r = (fabsf(x) + lifted) - lifted;

    return float_of(bits_of(r) | sign);
}

/* largest: bits of the largest magnitude. As integers NaN > infinity > any number. */
static float scale_of(const struct fp8_rule *rule, int32_t largest)
{
    float value = float_of(largest), least = rule->gradient ? SMALLEST_GRADIENT : SMALLEST_LARGEST;
    float s;

    if (!isfinite(value))
        return NAN;
    s = (value > least ? value : least) / grids[rule->format].largest;
    return rule->power_of_two ? float_of((bits_of(s) + 0x7fffff) & 0x7f800000) : s;
}

/* ---- Areas ---------------------------------------------------------------------------------- */

/* At most 128 x 128 values. Rows are worked on in arrays of fixed length, padded with zeros: such
 * loops a compiler turns into vector instructions. */
struct area {
    const struct fp8_rule *rule;
    const float *x;
    float *out;
    int64_t stride;
    int64_t n_rows, n_columns;
};

static void read_row(const struct area *a, int64_t r, float row[FP8_TILE])
{
    size_t bytes = (size_t)a->n_columns * sizeof *row;

    memcpy(row, a->x + r * a->stride, bytes);
    memset(row + a->n_columns, 0, FP8_TILE * sizeof *row - bytes);
}

static void write_row(const struct area *a, int64_t r, float *restrict row,
                      const float *restrict scale)
{
    const struct grid g = grids[a->rule->format];

    for (int c = 0; c < FP8_TILE; c++)
        row[c] = round_value(&g, row[c] / scale[c]) * scale[c];
    memcpy(a->out + r * a->stride, row, (size_t)a->n_columns * sizeof *row);
}

static void add_largest(int32_t *restrict largest, const float *restrict row)
{
    for (int c = 0; c < FP8_TILE; c++) {
        int32_t magnitude = bits_of(row[c]) & INT32_MAX;

        largest[c] = magnitude > largest[c] ? magnitude : largest[c];
    }
}

static void scale_together(const struct fp8_rule *rule, const int32_t largest[FP8_TILE],
                           float scale[FP8_TILE])
{
    int32_t all = 0;
    float s;

    for (int c = 0; c < FP8_TILE; c++)
        all = largest[c] > all ? largest[c] : all;
    s = scale_of(rule, all);
    for (int c = 0; c < FP8_TILE; c++)
        scale[c] = s;
}

/* A scale for each row. */
static void round_rows(const struct area *a)
{
    float row[FP8_TILE], scale[FP8_TILE];

    for (int64_t r = 0; r < a->n_rows; r++) {
        int32_t largest[FP8_TILE] = {0};

        read_row(a, r, row);
        add_largest(largest, row);
        scale_together(a->rule, largest, scale);
        write_row(a, r, row, scale);
    }
}

/* A scale for each column, or one for all. */
static void round_whole(const struct area *a)
{
    float row[FP8_TILE], scale[FP8_TILE];
    int32_t largest[FP8_TILE] = {0};

    for (int64_t r = 0; r < a->n_rows; r++) {
        read_row(a, r, row);
        add_largest(largest, row);
    }
    if (a->rule->shape == FP8_BLOCKS)
        scale_together(a->rule, largest, scale);
    else
        for (int c = 0; c < FP8_TILE; c++)
            scale[c] = scale_of(a->rule, largest[c]);
    for (int64_t r = 0; r < a->n_rows; r++) {
        read_row(a, r, row);
        write_row(a, r, row, scale);
    }
}

/* ---- Arrays --------------------------------------------------------------------------------- */

struct array {
    const struct fp8_rule *rule;
    const float *x;
    float *out;
    int64_t rows, columns; /* bf16: one row */
};

static int64_t at_most(int64_t n, int64_t limit)
{
    return n < limit ? n : limit;
}

static int64_t tiles(int64_t n)
{
    return (n + FP8_TILE - 1) / FP8_TILE;
}

static void fp8_task(void *context, int64_t task, int worker)
{
    const struct array *w = context;
    int64_t r = task / tiles(w->columns) * FP8_TILE, c = task % tiles(w->columns) * FP8_TILE;
    struct area a = {.rule = w->rule,
                     .x = w->x + r * w->columns + c,
                     .out = w->out + r * w->columns + c,
                     .stride = w->columns,
                     .n_rows = at_most(w->rows - r, FP8_TILE),
                     .n_columns = at_most(w->columns - c, FP8_TILE)};

    (void)worker;
    if (w->rule->shape == FP8_ROWS)
        round_rows(&a);
    else
        round_whole(&a);
}

void fp8_round(struct exec *ex, const struct fp8_rule *rule, float *out, const float *x,
               int64_t rows, int64_t columns)
{
    struct array w = {rule, x, out, rows, columns};

    exec_run(ex, tiles(rows) * tiles(columns), fp8_task, &w);
}

/* f32_to_bf16() of tensor/dtype.h, whose value stays f32. */
static inline float bf16_value(float x)
{
    uint32_t u = (uint32_t)bits_of(x), rounded = u + 0x7fff + (u >> 16 & 1);

    if ((u & 0x7fffffffu) > 0x7f800000u) /* NaN */
        rounded = u | 0x400000u;
    return float_of((int32_t)(rounded & 0xffff0000u));
}

static void bf16_task(void *context, int64_t task, int worker)
{
    const struct array *w = context;
    int64_t begin = task * BF16_CHUNK, end = begin + at_most(w->columns - begin, BF16_CHUNK);

    (void)worker;
    for (int64_t i = begin; i < end; i++)
        w->out[i] = bf16_value(w->x[i]);
}

void bf16_round(struct exec *ex, float *out, const float *x, int64_t n)
{
    struct array w = {NULL, x, out, 1, n};

    exec_run(ex, (n + BF16_CHUNK - 1) / BF16_CHUNK, bf16_task, &w);
}
