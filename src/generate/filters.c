/* filters.c: selection by bins, see filters.h. */
#include "generate/filters.h"

#include <math.h>
#include <string.h>

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

/* The order_of at which the candidates above hold less than `target` and those at it reach it.
 * weights [n], or NULL: 1 each. *above: what the candidates above hold. */
static uint32_t find_cut(const struct candidates *c, const double *weights, double target,
                         double *above)
{
    static const int shifts[] = {21, 10, 0};
    uint32_t cut = 0, known = 0; /* the upper bits found so far, and their mask */

    *above = 0;
    for (int level = 0; level < 3; level++) {
        memset(c->bins, 0, MK_FILTER_BINS * sizeof *c->bins);
        for (int32_t i = 0; i < c->n; i++) {
            uint32_t order = order_of(c->logits[i]);

            if ((order & known) == cut)
                c->bins[(order & ~known) >> shifts[level]] += weights ? weights[i] : 1.0;
        }
        cut |= find_bin(c->bins, target, above) << shifts[level];
        known = ~0u << shifts[level];
    }
    return cut;
}

/* Keeps the fewest candidates, best first, that together hold `target`; at least one. */
static void keep_heaviest(struct candidates *c, const double *weights, double target)
{
    double held;
    uint32_t cut = find_cut(c, weights, target, &held);
    int32_t n = 0, n_at_cut = 0;

    for (int32_t i = 0; i < c->n; i++) {
        uint32_t order = order_of(c->logits[i]);

        if (order < cut)
            continue;
        if (order == cut) {
            if (n_at_cut > 0 && held >= target)
                continue;
            n_at_cut++;
            held += weights ? weights[i] : 1.0; /* before the gap closes over it */
        }
        close_gap(c, n++, i);
    }
    c->n = n;
}

void filters_top_k(struct candidates *c, int32_t k)
{
    if (k > 0 && k < c->n)
        keep_heaviest(c, NULL, (double)k);
}

void filters_weigh(struct candidates *c, float max, double temperature)
{
    /* The equality matters when max is infinite. */
    for (int32_t i = 0; i < c->n; i++)
        c->weights[i] = c->logits[i] == max
                            ? 1.0
                            : exp(((double)c->logits[i] - (double)max) / temperature);
}

void filters_top_p(struct candidates *c, double p)
{
    double sum = 0;

    if (p >= 1)
        return;
    for (int32_t i = 0; i < c->n; i++)
        sum += c->weights[i];
    keep_heaviest(c, c->weights, p * sum);
}

void filters_min_p(struct candidates *c, double min_p)
{
    int32_t n = 0;

    for (int32_t i = 0; i < c->n && min_p > 0; i++)
        if (c->weights[i] >= min_p)
            close_gap(c, n++, i);
    if (min_p > 0)
        c->n = n;
}
