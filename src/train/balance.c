/* balance.c: what the balance losses count, and the step of the bias. */
#include "train/balance.h"

#include <math.h>
#include <string.h>

#include "model/router.h"

bool balance_wanted(const struct balance_options *o)
{
    return o->sequence != 0 || o->expert != 0 || o->device != 0 || o->transfer != 0;
}

/* f_i = N / (K T) * how often expert i is among the chosen, or among the best scores. */
static void shares(const struct arch *a, const float *score, const int32_t *index, int64_t n_rows,
                   bool unbiased, double *f)
{
    int32_t best[MK_MAX_EXPERTS], used = a->n_experts_used;

    memset(f, 0, (size_t)a->n_experts * sizeof *f);
    for (int64_t t = 0; t < n_rows; t++) {
        if (unbiased)
            router_top(score + t * a->n_experts, a->n_experts, best, used);
        for (int32_t j = 0; j < used; j++)
            f[unbiased ? best[j] : index[t * used + j]]++;
    }
    for (int32_t e = 0; e < a->n_experts; e++)
        f[e] *= (double)a->n_experts / ((double)used * (double)n_rows);
}

/* P_i: the mean score; V3's are divided by their sum first. */
static void mean_scores(const struct arch *a, const float *score, int64_t n_rows, double *mean)
{
    int32_t n = a->n_experts;

    memset(mean, 0, (size_t)n * sizeof *mean);
    for (int64_t t = 0; t < n_rows; t++) {
        double sum = 0;

        for (int32_t e = 0; e < n; e++)
            sum += score[t * n + e];
        if (a->router != ARCH_ROUTER_NOAUX)
            sum = 1;
        for (int32_t e = 0; e < n; e++)
            mean[e] += score[t * n + e] / sum;
    }
    for (int32_t e = 0; e < n; e++)
        mean[e] /= (double)n_rows;
}

/* Device-level: a2 * the mean share of the experts there. */
static void add_device(const struct balance_options *o, int32_t n, const double *f, double *coef)
{
    int32_t size = n / o->n_devices;

    for (int32_t d = 0; d < o->n_devices; d++) {
        double sum = 0;

        for (int32_t e = d * size; e < (d + 1) * size; e++)
            sum += f[e];
        for (int32_t e = d * size; e < (d + 1) * size; e++)
            coef[e] += o->device * sum / size;
    }
}

/* Communication: f''_d = D / (M T) * tokens with at least one expert there, M devices a token at
 * most. */
static void add_transfer(const struct balance_options *o, const struct arch *a,
                         const int32_t *index, int64_t n_rows, double *coef, double *sent)
{
    int32_t size = a->n_experts / o->n_devices, used = a->n_experts_used;
    int32_t most = a->topk_group > 0 && a->n_group == o->n_devices ? a->topk_group : o->n_devices;

    memset(sent, 0, (size_t)o->n_devices * sizeof *sent);
    for (int64_t t = 0; t < n_rows; t++)
        for (int32_t j = 0; j < used; j++) {
            int32_t d = index[t * used + j] / size;
            bool first = true;

            for (int32_t i = 0; i < j; i++)
                first = first && index[t * used + i] / size != d;
            sent[d] += first;
        }
    for (int32_t e = 0; e < o->n_devices * size; e++)
        coef[e] += o->transfer * sent[e / size] * o->n_devices / ((double)most * (double)n_rows);
}

void balance_coefficients(const struct balance_options *o, const struct arch *a, const float *score,
                          const int32_t *index, int64_t n_rows, double *coef, double *mean,
                          double *scratch)
{
    int32_t n = a->n_experts;

    memset(coef, 0, (size_t)n * sizeof *coef);
    mean_scores(a, score, n_rows, mean);
    if (o->sequence != 0) {
        shares(a, score, index, n_rows, true, scratch);
        for (int32_t e = 0; e < n; e++)
            coef[e] += o->sequence * scratch[e];
    }
    shares(a, score, index, n_rows, false, scratch);
    for (int32_t e = 0; e < n; e++)
        coef[e] += o->expert * scratch[e];
    if (o->device != 0 && o->n_devices > 0)
        add_device(o, n, scratch, coef);
    if (o->transfer != 0 && o->n_devices > 0)
        add_transfer(o, a, index, n_rows, coef, scratch + n);
}

static double row_sum(const int64_t *count, int32_t n)
{
    double sum = 0;

    for (int32_t e = 0; e < n; e++)
        sum += (double)count[e];
    return sum;
}

static double share(const int64_t *count, int32_t n, int32_t e)
{
    return (double)count[e] / row_sum(count, n);
}

/* I = sum over s, e of p(e|s) / S * log(p(e|s) / p(e)). */
double balance_information(const int64_t *counts, int32_t n_sources, int64_t stride,
                           int32_t n_experts)
{
    double sum = 0;
    int32_t n = 0;

    for (int32_t s = 0; s < n_sources; s++)
        n += row_sum(counts + s * stride, n_experts) > 0;
    if (n < 2)
        return NAN;
    for (int32_t e = 0; e < n_experts; e++) {
        double mean = 0;

        for (int32_t s = 0; s < n_sources; s++)
            if (counts[s * stride + e])
                mean += share(counts + s * stride, n_experts, e) / n;
        for (int32_t s = 0; s < n_sources; s++) {
            double p = counts[s * stride + e] ? share(counts + s * stride, n_experts, e) : 0;

            sum += p > 0 ? p / n * log(p / mean) : 0;
        }
    }
    return sum / log(n);
}

void balance_bias(float *bias, const int64_t *count, int32_t n_experts, float gamma)
{
    int64_t sum = 0;

    for (int32_t e = 0; e < n_experts; e++)
        sum += count[e];
    for (int32_t e = 0; e < n_experts; e++) {
        int64_t over = count[e] * n_experts - sum; /* n_experts times what is above the mean */

        bias[e] += over < 0 ? gamma : over > 0 ? -gamma : 0;
    }
}
