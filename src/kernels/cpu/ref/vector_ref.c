/* vector_ref.c: the row operations in plain C. They say what the variants must compute; sums keep
 * the lane order of vector_rows.h, so that the variants usually agree to the bit. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/exp_poly.h"
#include "kernels/cpu/vector_rows.h"

static float sum_lanes(float lanes[MK_SUM_LANES])
{
    for (int half = MK_SUM_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return lanes[0];
}

static void rmsnorm_ref(float *out, const float *x, const float *w, int32_t n, float eps)
{
    float lanes[MK_SUM_LANES] = {0}, inverse;

    for (int32_t i = 0; i < n; i++)
        lanes[i % MK_SUM_LANES] = fmaf(x[i], x[i], lanes[i % MK_SUM_LANES]);
    inverse = 1.0f / sqrtf(sum_lanes(lanes) / (float)n + eps);
    for (int32_t i = 0; i < n; i++)
        out[i] = w ? x[i] * inverse * w[i] : x[i] * inverse;
}

static void rope_ref(float *x, const float *table, int32_t d, enum rope_pairs pairs)
{
    int32_t step = pairs == ROPE_HALF ? 1 : 2, other = pairs == ROPE_HALF ? d / 2 : 1;

    for (int32_t i = 0; i < d / 2; i++) {
        float *a = &x[i * step], *b = a + other;
        float cosine = table[2 * i], sine = table[2 * i + 1], old = *a;

        *a = fmaf(old, cosine, -(*b * sine));
        *b = fmaf(*b, cosine, old * sine);
    }
}

static void silu_mul_ref(float *out, const float *gate, const float *up, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        out[i] = gate[i] / (1.0f + exp_poly(-gate[i])) * up[i];
}

static void add_scaled_ref(float *out, const float *x, float a, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        out[i] = fmaf(a, x[i], out[i]);
}

static float max_of(const float *x, int32_t n)
{
    float max = -INFINITY;

    for (int32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static void softmax_ref(float *x, int32_t n)
{
    float lanes[MK_SUM_LANES] = {0}, max = max_of(x, n), inverse;

    for (int32_t i = 0; i < n; i++) {
        x[i] = exp_poly(x[i] - max);
        lanes[i % MK_SUM_LANES] += x[i];
    }
    inverse = 1.0f / sum_lanes(lanes);
    for (int32_t i = 0; i < n; i++)
        x[i] *= inverse;
}

static float log_sum_exp_ref(const float *x, int32_t n)
{
    float lanes[MK_SUM_LANES] = {0}, max = max_of(x, n);

    for (int32_t i = 0; i < n; i++)
        lanes[i % MK_SUM_LANES] += exp_poly(x[i] - max);
    return max + logf(sum_lanes(lanes));
}

/* n <= MK_I8_BLOCK values and their scale; the block's remaining bytes become zero. */
static void store_i8_block(int8_t *q, float *scale, const float *x, int32_t n)
{
    float largest = 0.0f, inverse;

    for (int32_t i = 0; i < n; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    if (largest < 0x1p-100f) /* keeps the inverse finite */
        largest = 0.0f;
    *scale = largest / 127.0f;
    inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
    memset(q, 0, MK_I8_BLOCK);
    for (int32_t i = 0; i < n; i++)
        q[i] = (int8_t)lrintf(x[i] * inverse);
}

static void store_ref(enum dtype type, void *row, const float *x, int32_t row_dim)
{
    unsigned char *bytes = row;

    if (type == MK_F32) {
        memcpy(row, x, (size_t)row_dim * sizeof *x);
    } else if (type == MK_BF16) {
        uint16_t *out = row;

        for (int32_t i = 0; i < row_dim; i++)
            out[i] = f32_to_bf16(x[i]);
        if (row_dim % 2)
            out[row_dim] = 0;
    } else {
        float *scales = (float *)(void *)(bytes + i8_scales_at(row_dim));

        for (int32_t b = 0; b < i8_blocks(row_dim); b++) {
            int32_t first = b * MK_I8_BLOCK, left = row_dim - first;

            store_i8_block((int8_t *)bytes + first, &scales[b], x + first,
                           left < MK_I8_BLOCK ? left : MK_I8_BLOCK);
        }
    }
}

static void load_ref(enum dtype type, float *out, const void *row, int32_t row_dim, int32_t first,
                     int32_t n)
{
    if (type == MK_F32) {
        memcpy(out, (const float *)row + first, (size_t)n * sizeof *out);
    } else if (type == MK_BF16) {
        const uint16_t *x = (const uint16_t *)row + first;

        for (int32_t i = 0; i < n; i++)
            out[i] = bf16_to_f32(x[i]);
    } else {
        const unsigned char *bytes = row;
        const int8_t *q = (const int8_t *)bytes + first;
        const float *scales = (const float *)(const void *)(bytes + i8_scales_at(row_dim));

        for (int32_t i = 0; i < n; i++)
            out[i] = (float)q[i] * scales[(first + i) / MK_I8_BLOCK];
    }
}

static const struct vector_rows table = {
    .rmsnorm = rmsnorm_ref,
    .rope = rope_ref,
    .silu_mul = silu_mul_ref,
    .add_scaled = add_scaled_ref,
    .softmax = softmax_ref,
    .log_sum_exp = log_sum_exp_ref,
    .store = store_ref,
    .load = load_ref,
};

void vector_fill_ref(struct kernels *k)
{
    k->vector_rows = &table;
}
