/* backward_avx2.c: the inner functions of the backward operations, eight lanes at a time, to the
 * bits of the reference. */
#include <math.h>

#include "kernels/cpu/x86/backward_x86.h"
#include "kernels/cpu/x86/lanes_avx2.h"

/* Sum over i of a[i] * w[i] * b[i], the product of the first two rounded; w may be NULL (ones). */
MK_INLINE float dot_weighted(const float *a, const float *w, const float *b, int32_t n)
{
    __m256 lanes[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                       _mm256_setzero_ps()};
    int32_t i;

    for (i = 0; i + MK_SUM_LANES <= n; i += MK_SUM_LANES)
        MK_UNROLL
    for (int j = 0; j < 4; j++) {
        __m256 x = _mm256_loadu_ps(a + i + 8 * j);

        if (w)
            x = _mm256_mul_ps(x, _mm256_loadu_ps(w + i + 8 * j));
        lanes[j] = _mm256_fmadd_ps(x, _mm256_loadu_ps(b + i + 8 * j), lanes[j]);
    }
    for (int j = 0; i < n; j++, i += 8) {
        __m256 x = load_first(a + i, n - i);

        if (w)
            x = _mm256_mul_ps(x, load_first(w + i, n - i));
        lanes[j] = _mm256_fmadd_ps(x, load_first(b + i, n - i), lanes[j]);
    }
    return sum32(lanes);
}

static float dot_avx2(const float *a, const float *b, int32_t n)
{
    return dot_weighted(a, NULL, b, n);
}

static void scale_avx2(float *out, const float *x, float a, int32_t n)
{
    for (int32_t i = 0; i < n; i += 8)
        store_first(out + i, _mm256_mul_ps(_mm256_set1_ps(a), load_first(x + i, n - i)), n - i);
}

static float rmsnorm_avx2(float *dx, const float *dout, const float *x, const float *w, int32_t n,
                          float eps)
{
    float s = 1.0f / sqrtf(dot_avx2(x, x, n) / (float)n + eps);
    float sum = w ? dot_weighted(dout, w, x, n) : dot_avx2(dout, x, n);
    float mean = sum * s / (float)n * s; /* of g * x, times s^2 */

    for (int32_t i = 0; i < n; i += 8) {
        __m256 g = load_first(dout + i, n - i), v;

        if (w)
            g = _mm256_mul_ps(g, load_first(w + i, n - i));
        v = _mm256_fnmadd_ps(_mm256_set1_ps(mean), load_first(x + i, n - i), g);
        v = _mm256_fmadd_ps(_mm256_set1_ps(s), v, load_first(dx + i, n - i));
        store_first(dx + i, v, n - i);
    }
    return s;
}

static void rmsnorm_weight_avx2(float *dw, const float *dout, const float *x, float s, int32_t n)
{
    for (int32_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(load_first(x + i, n - i), _mm256_set1_ps(s));

        v = _mm256_fmadd_ps(load_first(dout + i, n - i), v, load_first(dw + i, n - i));
        store_first(dw + i, v, n - i);
    }
}

static void silu_mul_avx2(float *dgate, float *dup, const float *gate, const float *up,
                          const float *dout, int32_t n)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);

    for (int32_t i = 0; i < n; i += 8) {
        __m256 g = load_first(gate + i, n - i), u = load_first(up + i, n - i);
        __m256 d = load_first(dout + i, n - i), slope;
        __m256 s = _mm256_div_ps(one, _mm256_add_ps(one, exp8(_mm256_xor_ps(g, sign))));

        slope = _mm256_mul_ps(s, _mm256_fmadd_ps(g, _mm256_sub_ps(one, s), one));
        store_first(dgate + i, _mm256_mul_ps(_mm256_mul_ps(d, u), slope), n - i);
        store_first(dup + i, _mm256_mul_ps(d, _mm256_mul_ps(g, s)), n - i);
    }
}

static float max_of(const float *x, int32_t n)
{
    __m256 max = _mm256_set1_ps(-INFINITY);

    for (int32_t i = 0; i < n; i += 8) {
        __m256 lanes = _mm256_castsi256_ps(first_lanes(n - i < 8 ? n - i : 8));

        max = _mm256_max_ps(max, _mm256_blendv_ps(max, load_first(x + i, n - i), lanes));
    }
    return max8(max);
}

/* x[i] = e^(x[i] - max); returns their sum. */
static float exp_sum(float *x, float max, int32_t n)
{
    __m256 lanes[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                       _mm256_setzero_ps()};
    int32_t i;

    for (i = 0; i + MK_SUM_LANES <= n; i += MK_SUM_LANES)
        MK_UNROLL
    for (int j = 0; j < 4; j++) {
        __m256 v = _mm256_loadu_ps(x + i + 8 * j);

        v = exp8(_mm256_sub_ps(v, _mm256_set1_ps(max)));
        lanes[j] = _mm256_add_ps(lanes[j], v);
        _mm256_storeu_ps(x + i + 8 * j, v);
    }
    for (int j = 0; i < n; j++, i += 8) {
        int32_t left = n - i < 8 ? n - i : 8;
        __m256 v = exp8(_mm256_sub_ps(load_first(x + i, left), _mm256_set1_ps(max)));

        v = _mm256_and_ps(v, _mm256_castsi256_ps(first_lanes(left)));
        lanes[j] = _mm256_add_ps(lanes[j], v);
        store_first(x + i, v, left);
    }
    return sum32(lanes);
}

static float softmax_xent_avx2(float *x, int32_t n, int32_t target, float scale)
{
    float max = max_of(x, n), right = x[target], sum = exp_sum(x, max, n);
    __m256 inverse = _mm256_set1_ps(1.0f / sum);

    x[target] -= sum; /* (p - 1) * sum */
    for (int32_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(load_first(x + i, n - i), inverse);

        store_first(x + i, _mm256_mul_ps(v, _mm256_set1_ps(scale)), n - i);
    }
    return max + logf(sum) - right;
}

static void softmax_avx2(float *dx, const float *p, const float *dp, int32_t n)
{
    __m256 sum = _mm256_set1_ps(dot_avx2(p, dp, n));

    for (int32_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_sub_ps(load_first(dp + i, n - i), sum);

        store_first(dx + i, _mm256_mul_ps(load_first(p + i, n - i), v), n - i);
    }
}

void backward_turn_avx2(float *out, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i += 8)
        for (int32_t j = 0; j < MK_KEY_BLOCK; j += 8) {
            __m256 v[8];

            MK_UNROLL
            for (int k = 0; k < 8; k++) /* x has MK_KEY_BLOCK rows, whatever n is */
                v[k] = _mm256_load_ps(x + (i + k) * MK_KEY_BLOCK + j);
            transpose_8x8(v);
            MK_UNROLL
            for (int k = 0; k < 8; k++)
                _mm256_store_ps(out + (j + k) * MK_KEY_BLOCK + i, v[k]);
        }
}

void backward_adamw_avx2(const struct adamw_step *a, const struct adamw_piece *p)
{
    const __m256 shrink = _mm256_set1_ps(p->decay ? a->shrink : 1);

    for (int64_t i = 0; i < p->n; i += 8) {
        int32_t n = p->n - i < 8 ? (int32_t)(p->n - i) : 8;
        __m256 g = _mm256_mul_ps(_mm256_set1_ps(a->scale), load_first(p->grad + i, n));
        __m256 m = load_first(p->m + i, n), v = load_first(p->v + i, n), root, change;
        __m256 w = _mm256_mul_ps(load_first(p->w + i, n), shrink);

        m = _mm256_add_ps(m, _mm256_mul_ps(_mm256_set1_ps(a->rest1), _mm256_sub_ps(g, m)));
        v = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(a->beta2), v),
                          _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(a->rest2), g), g));
        root = _mm256_div_ps(_mm256_sqrt_ps(v), _mm256_set1_ps(a->root2));
        change = _mm256_div_ps(_mm256_mul_ps(_mm256_set1_ps(a->step), m),
                               _mm256_add_ps(root, _mm256_set1_ps(a->eps)));
        store_first(p->m + i, m, n);
        store_first(p->v + i, v, n);
        store_first(p->w + i, _mm256_sub_ps(w, change), n);
    }
}

static void attend_step_avx2(float *s, float *ds, float scale, float lse, float delta, int32_t lo,
                             int32_t hi)
{
    const __m256i ascending = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    for (int32_t i = 0; i < MK_KEY_BLOCK; i += 8) {
        __m256i at = _mm256_add_epi32(ascending, _mm256_set1_epi32(i));
        __m256i seen = _mm256_and_si256(_mm256_cmpgt_epi32(at, _mm256_set1_epi32(lo - 1)),
                                        _mm256_cmpgt_epi32(_mm256_set1_epi32(hi), at));
        __m256 mask = _mm256_castsi256_ps(seen);
        __m256 z = _mm256_fmadd_ps(_mm256_load_ps(s + i), _mm256_set1_ps(scale),
                                   _mm256_set1_ps(-lse));
        __m256 p = exp8(z), d = _mm256_sub_ps(_mm256_load_ps(ds + i), _mm256_set1_ps(delta));

        d = _mm256_mul_ps(_mm256_mul_ps(d, p), _mm256_set1_ps(scale));
        _mm256_store_ps(s + i, _mm256_and_ps(p, mask));
        _mm256_store_ps(ds + i, _mm256_and_ps(d, mask));
    }
}

static const struct backward_rows table = {
    .dot = dot_avx2,
    .scale = scale_avx2,
    .rmsnorm = rmsnorm_avx2,
    .rmsnorm_weight = rmsnorm_weight_avx2,
    .silu_mul = silu_mul_avx2,
    .softmax_xent = softmax_xent_avx2,
    .softmax = softmax_avx2,
    .turn = backward_turn_avx2,
    .adamw = backward_adamw_avx2,
    .attend_step = attend_step_avx2,
};

void backward_fill_avx2(struct kernels *k)
{
    k->backward_rows = &table;
}
