/* filters.c: selection by bins, see filters.h. */
#include "generate/filters.h"

#include <math.h>
#include <string.h>

#define WEIGH_BLOCK 16

/* Unsigned integers in the order of the floats. */
static uint32_t order_of(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u ^ (u >> 31 ? 0xffffffffu : 0x80000000u);
}

static void close_gap(struct candidates *c, int32_t to, int32_t from)
{
    c->ids[to] = c->ids[from];
    c->logits[to] = c->logits[from];
    c->weights[to] = c->weights[from];
}

/* The bin, walking down, in which the weight reaches `target`, or the lowest that holds any when
 * rounding keeps it from being reached. *above grows by the bins passed. */
static uint32_t find_bin(const double *bins, double target, double *above)
{
    double before = *above;
    uint32_t found = 0;

    for (uint32_t b = MK_FILTER_BINS; b-- > 0;) {
        if (bins[b] == 0)
            continue;
        *above = before;
        found = b;
        before += bins[b];
        if (before >= target)
            break;
    }
    return found;
}

/* One level of the search: weighs the candidates whose upper bits are those of `cut`, finds the bin
 * in which `target` is reached, and drops what lies below it. Returns cut with the bin's bits. */
static uint32_t narrow(struct candidates *c, const float *weights, double target, double *above,
                       uint32_t cut, uint32_t known, int shift)
{
    int32_t n = 0;

    memset(c->bins, 0, MK_FILTER_BINS * sizeof *c->bins);
    for (int32_t i = 0; i < c->n; i++) {
        uint32_t order = order_of(c->logits[i]);

        if ((order & known) == cut)
            c->bins[(order & ~known) >> shift] += weights ? (double)weights[i] : 1.0;
    }
    cut |= find_bin(c->bins, target, above) << shift;
    for (int32_t i = 0; i < c->n; i++)
        if (order_of(c->logits[i]) >= cut)
            close_gap(c, n++, i);
    c->n = n;
    return cut;
}

/* Keeps the fewest candidates, best first, that together hold `target`; at least one. weights [n],
 * or NULL: 1 each. */
static void keep_heaviest(struct candidates *c, const float *weights, double target)
{
    double held = 0; /* first by what lies above the cut */
    uint32_t cut = narrow(c, weights, target, &held, 0, 0, 21);
    int32_t n = 0, n_at_cut = 0;

    cut = narrow(c, weights, target, &held, cut, ~0u << 21, 10);
    cut = narrow(c, weights, target, &held, cut, ~0u << 10, 0);
    for (int32_t i = 0; i < c->n; i++) {
        if (order_of(c->logits[i]) == cut) {
            if (n_at_cut++ > 0 && held >= target)
                continue;
            held += weights ? (double)weights[i] : 1.0;
        }
        close_gap(c, n++, i);
    }
    c->n = n;
}

/* out = e^((x - max) * inverse): 2^n times a polynomial (Cephes' expf), relative error about 1e-7
 * for likely tokens and 1e-5 for the least; 0 below e^-87. Written out so that a draw is the same
 * on every machine, which libm does not promise; whole blocks, so that compilers use vectors. */
static void weigh_block(float *restrict out, const float *restrict x, float max, float inverse)
{
    for (int i = 0; i < WEIGH_BLOCK; i++) {
        float below = (x[i] - max) * inverse; /* NaN for the best when one of them is infinite */
        float given = x[i] == max ? 0.0f : below;
        float z = given > -87.0f ? given : -87.0f;
        float n = (z * 1.44269504f + 12582912.0f) - 12582912.0f; /* + 1.5 * 2^23 rounds */
        float r = z - n * 0.693359375f + n * 2.12194440e-4f;     /* ln 2 in two parts */
        float p = 1.9875691500e-4f * r + 1.3981999507e-3f, scale;
        int32_t bits = ((int32_t)n + 127) * (1 << 23);

        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        p = p * r * r + r + 1.0f;
        memcpy(&scale, &bits, sizeof scale);
        p *= scale;
        out[i] = given > -87.0f ? p : 0.0f;
    }
}

void filters_top_k(struct candidates *c, int32_t k)
{
    if (k > 0 && k < c->n)
        keep_heaviest(c, NULL, (double)k);
}

void filters_weigh(struct candidates *c, float max, float temperature)
{
    float inverse = 1.0f / temperature, x[WEIGH_BLOCK], w[WEIGH_BLOCK];
    int32_t whole = c->n - c->n % WEIGH_BLOCK;

    c->max = max;
    c->temperature = temperature;
    for (int i = 0; i < WEIGH_BLOCK; i++)
        x[i] = max;
    for (int32_t i = 0; i < whole; i += WEIGH_BLOCK)
        weigh_block(c->weights + i, c->logits + i, max, inverse);
    memcpy(x, c->logits + whole, (size_t)(c->n - whole) * sizeof *x);
    weigh_block(w, x, max, inverse);
    memcpy(c->weights + whole, w, (size_t)(c->n - whole) * sizeof *w);
}

void filters_top_p(struct candidates *c, float p)
{
    double sum = 0;

    if (p >= 1)
        return;
    for (int32_t i = 0; i < c->n; i++)
        sum += (double)c->weights[i];
    keep_heaviest(c, c->weights, (double)p * sum);
}

void filters_min_p(struct candidates *c, float min_p)
{
    int32_t n = 0;

    for (int32_t i = 0; i < c->n && min_p > 0; i++)
        if (c->weights[i] >= min_p)
            close_gap(c, n++, i);
    if (min_p > 0)
        c->n = n;
}

/* - sum of p ln p with p = w / sum and ln w = (logit - max) / temperature: the only logarithm is
 * that of the sum. A weight of 1 has none, not even where max is infinite. */
double filters_entropy(const struct candidates *c)
{
    double sum = 0, mean = 0;

    for (int32_t i = 0; i < c->n; i++) {
        double w = (double)c->weights[i];

        sum += w;
        mean += w > 0 && w < 1 ? w * ((double)c->logits[i] - (double)c->max) : 0;
    }
    return log(sum) - mean / ((double)c->temperature * sum);
}
