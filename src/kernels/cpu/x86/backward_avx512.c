/* backward_avx512.c: the inner functions of the backward operations, sixteen lanes at a time, to
 * the bits of the reference. What only waits for memory stays AVX2's. */
#include <math.h>

#include "kernels/cpu/x86/backward_x86.h"
#include "kernels/cpu/x86/lanes_avx512.h"

MK_INLINE __m512 load(const float *x, int32_t n)
{
    return n >= 16 ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps(first_mask(n), x);
}

MK_INLINE void store(float *x, __m512 v, int32_t n)
{
    if (n >= 16)
        _mm512_storeu_ps(x, v);
    else
        _mm512_mask_storeu_ps(x, first_mask(n), v);
}

/* Sum over i of a[i] * w[i] * b[i], the product of the first two rounded; w may be NULL (ones). */
MK_INLINE float dot_weighted(const float *a, const float *w, const float *b, int32_t n)
{
    __m512 lanes[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};

    for (int32_t i = 0; i < n; i += MK_SUM_LANES)
        MK_UNROLL
    for (int j = 0; j < 2; j++) {
        int32_t left = n - i - 16 * j;
        __mmask16 mask = first_mask(left > 0 ? left : 0);
        __m512 x = _mm512_maskz_loadu_ps(mask, a + i + 16 * j);
        __m512 y = _mm512_maskz_loadu_ps(mask, b + i + 16 * j);

        if (w)
            x = _mm512_mul_ps(x, _mm512_maskz_loadu_ps(mask, w + i + 16 * j));
        lanes[j] = _mm512_mask_mov_ps(lanes[j], mask, _mm512_fmadd_ps(x, y, lanes[j]));
    }
    return sum32_of_two(lanes[0], lanes[1]);
}

static float dot_avx512(const float *a, const float *b, int32_t n)
{
    return dot_weighted(a, NULL, b, n);
}

static void scale_avx512(float *out, const float *x, float a, int32_t n)
{
    for (int32_t i = 0; i < n; i += 16)
        store(out + i, _mm512_mul_ps(_mm512_set1_ps(a), load(x + i, n - i)), n - i);
}

static float rmsnorm_avx512(float *dx, const float *dout, const float *x, const float *w, int32_t n,
                            float eps)
{
    float s = 1.0f / sqrtf(dot_avx512(x, x, n) / (float)n + eps);
    float sum = w ? dot_weighted(dout, w, x, n) : dot_avx512(dout, x, n);
    float mean = sum * s / (float)n * s; /* of g * x, times s^2 */

    for (int32_t i = 0; i < n; i += 16) {
        __m512 g = load(dout + i, n - i), v;

        if (w)
            g = _mm512_mul_ps(g, load(w + i, n - i));
        v = _mm512_fnmadd_ps(_mm512_set1_ps(mean), load(x + i, n - i), g);
        v = _mm512_fmadd_ps(_mm512_set1_ps(s), v, load(dx + i, n - i));
        store(dx + i, v, n - i);
    }
    return s;
}

static void rmsnorm_weight_avx512(float *dw, const float *dout, const float *x, float s, int32_t n)
{
    for (int32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_mul_ps(load(x + i, n - i), _mm512_set1_ps(s));

        v = _mm512_fmadd_ps(load(dout + i, n - i), v, load(dw + i, n - i));
        store(dw + i, v, n - i);
    }
}

static void silu_mul_avx512(float *dgate, float *dup, const float *gate, const float *up,
                            const float *dout, int32_t n)
{
    const __m512 one = _mm512_set1_ps(1.0f), zero = _mm512_setzero_ps();

    for (int32_t i = 0; i < n; i += 16) {
        __m512 g = load(gate + i, n - i), u = load(up + i, n - i);
        __m512 d = load(dout + i, n - i), slope;
        __m512 s = _mm512_div_ps(one, _mm512_add_ps(one, exp16(_mm512_sub_ps(zero, g))));

        slope = _mm512_mul_ps(s, _mm512_fmadd_ps(g, _mm512_sub_ps(one, s), one));
        store(dgate + i, _mm512_mul_ps(_mm512_mul_ps(d, u), slope), n - i);
        store(dup + i, _mm512_mul_ps(d, _mm512_mul_ps(g, s)), n - i);
    }
}

static float max_of(const float *x, int32_t n)
{
    __m512 max = _mm512_set1_ps(-INFINITY);

    for (int32_t i = 0; i < n; i += 16)
        max = _mm512_mask_mov_ps(max, first_mask(n - i), _mm512_max_ps(max, load(x + i, n - i)));
    return max16(max);
}

/* x[i] = e^(x[i] - max); returns their sum. */
static float exp_sum(float *x, float max, int32_t n)
{
    __m512 lanes[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};

    for (int32_t i = 0; i < n; i += MK_SUM_LANES)
        MK_UNROLL
    for (int j = 0; j < 2; j++) {
        int32_t left = n - i - 16 * j;
        __mmask16 mask = first_mask(left > 0 ? left : 0);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i + 16 * j);

        v = exp16(_mm512_sub_ps(v, _mm512_set1_ps(max)));
        lanes[j] = _mm512_mask_mov_ps(lanes[j], mask, _mm512_add_ps(lanes[j], v));
        _mm512_mask_storeu_ps(x + i + 16 * j, mask, v);
    }
    return sum32_of_two(lanes[0], lanes[1]);
}

static float softmax_xent_avx512(float *x, int32_t n, int32_t target, float scale)
{
    float max = max_of(x, n), right = x[target], sum = exp_sum(x, max, n);
    __m512 inverse = _mm512_set1_ps(1.0f / sum);

    x[target] -= sum; /* (p - 1) * sum */
    for (int32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_mul_ps(load(x + i, n - i), inverse);

        store(x + i, _mm512_mul_ps(v, _mm512_set1_ps(scale)), n - i);
    }
    return max + logf(sum) - right;
}

static void softmax_avx512(float *dx, const float *p, const float *dp, int32_t n)
{
    __m512 sum = _mm512_set1_ps(dot_avx512(p, dp, n));

    for (int32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_sub_ps(load(dp + i, n - i), sum);

        store(dx + i, _mm512_mul_ps(load(p + i, n - i), v), n - i);
    }
}

/* Lanes lo .. hi - 1 of the sixteen that begin at i. */
MK_INLINE __mmask16 seen_mask(int32_t i, int32_t lo, int32_t hi)
{
    __mmask16 below_hi = first_mask(hi > i ? hi - i : 0);
    __mmask16 below_lo = first_mask(lo > i ? lo - i : 0);

    return (__mmask16)(below_hi & (__mmask16)~below_lo);
}

static void attend_step_avx512(float *s, float *ds, float scale, float lse, float delta, int32_t lo,
                               int32_t hi)
{
    const __m512 zero = _mm512_setzero_ps(), factor = _mm512_set1_ps(scale);

    for (int32_t i = 0; i < MK_KEY_BLOCK; i += 16) {
        __mmask16 seen = seen_mask(i, lo, hi);
        __m512 z = _mm512_fmadd_ps(_mm512_load_ps(s + i), factor, _mm512_set1_ps(-lse));
        __m512 p = exp16(z), d = _mm512_sub_ps(_mm512_load_ps(ds + i), _mm512_set1_ps(delta));

        d = _mm512_mul_ps(_mm512_mul_ps(d, p), factor);
        _mm512_store_ps(s + i, _mm512_mask_mov_ps(zero, seen, p));
        _mm512_store_ps(ds + i, _mm512_mask_mov_ps(zero, seen, d));
    }
}

static const struct backward_rows table = {
    .dot = dot_avx512,
    .scale = scale_avx512,
    .rmsnorm = rmsnorm_avx512,
    .rmsnorm_weight = rmsnorm_weight_avx512,
    .silu_mul = silu_mul_avx512,
    .softmax_xent = softmax_xent_avx512,
    .softmax = softmax_avx512,
    .turn = backward_turn_avx2,
    .adamw = backward_adamw_avx2,
    .attend_step = attend_step_avx512,
};

void backward_fill_avx512(struct kernels *k)
{
    k->backward_rows = &table;
}
