/* plant.c: a variant that is wrong in every operation, each in a small way of its own. A harness
 * that accepts it proves nothing; tests/harness/kernelcheck.sh sees to it that it does not. */
#include <math.h>

#include "kernelcheck/check.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/backward_rows.h"
#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/vector_rows.h"

static const struct vector_rows *vectors(void)
{
    struct kernels k;

    vector_fill_ref(&k);
    return k.vector_rows;
}

static const struct attention_rows *attentions(void)
{
    struct kernels k;

    attention_fill_ref(&k);
    return k.attention_rows;
}

/* The last weight is forgotten in part. */
static void rmsnorm(float *out, const float *x, const float *w, int32_t n, float eps)
{
    vectors()->rmsnorm(out, x, w, n, eps);
    out[n - 1] *= 1.01f;
}

/* The last pair stays where it was. */
static void rope(float *x, const float *table, int32_t d, enum rope_pairs pairs)
{
    float a = x[d - 1];

    vectors()->rope(x, table, d, pairs);
    x[d - 1] = a;
}

static void silu_mul(float *out, const float *gate, const float *up, int32_t n)
{
    vectors()->silu_mul(out, gate, up, n);
    out[n - 1] *= 1.00001f;
}

/* One unit in the last place: the class is EXACT. */
static void add_scaled(float *out, const float *x, float a, int32_t n)
{
    vectors()->add_scaled(out, x, a, n);
    out[n - 1] = nextafterf(out[n - 1], INFINITY);
}

/* Writes one value too many. */
static void softmax(float *x, int32_t n)
{
    vectors()->softmax(x, n);
    x[n] = 0.0f;
}

static float log_sum_exp(const float *x, int32_t n)
{
    return vectors()->log_sum_exp(x, n) + 0.001f;
}

static void store(enum dtype type, void *row, const float *x, int32_t row_dim)
{
    vectors()->store(type, row, x, row_dim);
    *(unsigned char *)row ^= 1;
}

static void load(enum dtype type, float *out, const void *row, int32_t row_dim, int32_t first,
                 int32_t n)
{
    vectors()->load(type, out, row, row_dim, first, n);
    out[n - 1] = nextafterf(out[n - 1], INFINITY);
}

/* The last key twice. */
static void pack_keys(float *panels, const float *keys, int64_t stride, int32_t n_keys, int32_t d)
{
    attentions()->pack_keys(panels, keys, stride, n_keys, d);
    panels[0] = panels[1] + 1.0f;
}

/* One channel too few. */
static void scores(float *out, const float *q, int64_t q_stride, int32_t n_q, const float *panels,
                   int32_t d, int32_t first, int32_t n_panels)
{
    attentions()->scores(out, q, q_stride, n_q, panels, d, first, n_panels);
    out[first * MK_KEY_PANEL] -= q[d - 1] * panels[d * MK_KEY_PANEL - 1] + 1.0f;
}

static float softmax_step(float *s, float scale, int32_t lo, int32_t hi, float *max, float *sum)
{
    return attentions()->softmax_step(s, scale, lo, hi, max, sum) * 1.0001f;
}

/* One key too few. */
static void values(float *acc, int64_t acc_stride, const float *p, const float *factor, int32_t n_q,
                   const float *v, int64_t v_stride, int32_t d, int32_t n_keys)
{
    attentions()->values(acc, acc_stride, p, factor, n_q, v, v_stride, d, n_keys - 1);
}

static const struct matmul_rows *products(void)
{
    struct kernels k;

    matmul_fill_ref(&k);
    return k.matmul_rows;
}

/* Every scale a little large: all block types are wrong. */
static void quantise(struct x_block *out, int64_t block_stride, const float *x, int32_t n_blocks)
{
    products()->quantise(out, block_stride, x, n_blocks);
    for (int32_t b = 0; b < n_blocks; b++)
        out[b * block_stride].d *= 1.000001f;
}

/* One unit in the last place of one output: bits are compared. */
static void nudge(enum dtype type, float *out, int64_t out_stride, const unsigned char *panel,
                  int32_t n_in, int32_t block_in, const float *x, int64_t x_stride,
                  int32_t n_rows)
{
    products()->plain[type](out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
    out[0] = nextafterf(out[0], INFINITY);
}

static void f32(float *out, int64_t out_stride, const unsigned char *panel, int32_t n_in,
                int32_t block_in, const float *x, int64_t x_stride, int32_t n_rows)
{
    nudge(MK_F32, out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
}

static void f16(float *out, int64_t out_stride, const unsigned char *panel, int32_t n_in,
                int32_t block_in, const float *x, int64_t x_stride, int32_t n_rows)
{
    nudge(MK_F16, out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
}

static void bf16(float *out, int64_t out_stride, const unsigned char *panel, int32_t n_in,
                 int32_t block_in, const float *x, int64_t x_stride, int32_t n_rows)
{
    nudge(MK_BF16, out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
}

static void fp8(float *out, int64_t out_stride, const unsigned char *panel, int32_t n_in,
                int32_t block_in, const float *x, int64_t x_stride, int32_t n_rows)
{
    nudge(MK_F8_E4M3, out, out_stride, panel, n_in, block_in, x, x_stride, n_rows);
}

static void plant_products(struct kernels *k)
{
    static struct matmul_rows wrong;

    wrong = *products();
    wrong.quantise = quantise;
    wrong.plain[MK_F32] = f32;
    wrong.plain[MK_F16] = f16;
    wrong.plain[MK_BF16] = bf16;
    wrong.plain[MK_F8_E4M3] = fp8;
    k->matmul_rows = &wrong;
}

static const struct backward_rows *backwards(void)
{
    struct kernels k;

    backward_fill_ref(&k);
    return k.backward_rows;
}

static struct kernels reference(void)
{
    struct kernels k;

    gemm_fill_ref(&k);
    bf16_fill_ref(&k);
    return k;
}

/* The last term of the sum is forgotten. */
static void gemm_tile(float *out, int64_t out_stride, const uint32_t *a, const uint32_t *b,
                      int64_t n_terms, bool from_zero)
{
    reference().gemm_rows->tile(out, out_stride, a, b, n_terms - 1, from_zero);
}

static void bf16_tile(float *out, int64_t out_stride, const uint32_t *a, const uint32_t *b,
                      int64_t n_terms, bool from_zero)
{
    reference().bf16_rows->gemm.tile(out, out_stride, a, b, n_terms - 1, from_zero);
}

/* Every input is made odd. */
static void bf16_round_row(void *out, const float *x, int32_t n)
{
    reference().bf16_rows->round(out, x, n);
    for (int32_t i = 0; i < n; i++)
        ((float *)out)[i] = bf16_to_f32((uint16_t)(f32_to_bf16(x[i]) | 1));
}

static void plant_gemm(struct kernels *k)
{
    static struct gemm_rows wrong;
    static struct bf16_rows wrong_bf16;

    wrong = *reference().gemm_rows;
    wrong.tile = gemm_tile;
    wrong_bf16 = *reference().bf16_rows;
    wrong_bf16.gemm.tile = bf16_tile;
    wrong_bf16.round = bf16_round_row;
    k->gemm_rows = &wrong;
    k->bf16_rows = &wrong_bf16;
}

static void back_scale(float *out, const float *x, float a, int32_t n)
{
    backwards()->scale(out, x, a, n);
    out[n - 1] = nextafterf(out[n - 1], INFINITY);
}

/* Written instead of added. */
static void back_rmsnorm_weight(float *dw, const float *dout, const float *x, float s, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        dw[i] = dout[i] * (x[i] * s);
}

/* The last value of the other output. */
static void back_silu_mul(float *dgate, float *dup, const float *gate, const float *up,
                          const float *dout, int32_t n)
{
    backwards()->silu_mul(dgate, dup, gate, up, dout, n);
    dgate[n - 1] = nextafterf(dup[n - 1], INFINITY);
}

/* A loss a little large. */
static float back_xent(float *x, int32_t n, int32_t target, float scale)
{
    return backwards()->softmax_xent(x, n, target, scale) + 0.001f;
}

static void back_softmax(float *dx, const float *p, const float *dp, int32_t n)
{
    backwards()->softmax(dx, p, dp, n);
    dx[0] = nextafterf(dx[0], INFINITY);
}

/* One row too few. */
static void back_turn(float *out, const float *x, int32_t n)
{
    backwards()->turn(out, x, n - 1);
}

/* Decays what does not. */
static void back_adamw(const struct adamw_step *step, const struct adamw_piece *piece)
{
    struct adamw_piece all = *piece;

    all.decay = true;
    backwards()->adamw(step, &all);
}

/* One key too many. */
static void attend_step(float *s, float *ds, float scale, float lse, float delta, int32_t lo,
                        int32_t hi)
{
    backwards()->attend_step(s, ds, scale, lse, delta, lo, hi + 1);
}

static void plant_backward(struct kernels *k)
{
    static struct backward_rows wrong;

    wrong = *backwards();
    wrong.scale = back_scale;
    wrong.rmsnorm_weight = back_rmsnorm_weight;
    wrong.silu_mul = back_silu_mul;
    wrong.softmax_xent = back_xent;
    wrong.softmax = back_softmax;
    wrong.turn = back_turn;
    wrong.adamw = back_adamw;
    wrong.attend_step = attend_step;
    k->backward_rows = &wrong;
}

static void plant(struct kernels *k)
{
    static const struct vector_rows wrong_vectors = {
        rmsnorm, rope, silu_mul, add_scaled, softmax, log_sum_exp, store, load,
    };
    static const struct attention_rows wrong_attention = {pack_keys, scores, softmax_step, values};

    k->vector_rows = &wrong_vectors;
    k->attention_rows = &wrong_attention;
    plant_products(k);
    plant_backward(k);
    plant_gemm(k);
}

const struct check_variant planted_variant = {"planted", NULL, plant, true};
