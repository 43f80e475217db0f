/* rope.c: RoPE frequencies (deepseek.md 2.2-2.4 and 1.3; transformers modeling_rope_utils). */
#include "model/rope.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* YaRN's mscale: attention temperature for a context stretched s times, weight a. */
static double yarn_mscale(double s, double a)
{
    return s <= 1 ? 1 : 0.1 * a * log(s) + 1;
}

/* The pair whose wave turns `rotations` times within the original context (a real number). */
static double yarn_pair(const struct arch *a, int32_t n_dims, double rotations)
{
    return n_dims * log(a->original_context / (2 * pi * rotations)) / (2 * log(a->rope_theta));
}

/* Fast waves keep their frequency, slow ones are stretched, a ramp lies between. */
static void yarn_scale(const struct arch *a, int32_t n_dims, double *f)
{
    double low = floor(yarn_pair(a, n_dims, a->beta_fast));
    double high = ceil(yarn_pair(a, n_dims, a->beta_slow)), ramp;

    if (low < 0)
        low = 0;
    if (high > n_dims - 1)
        high = n_dims - 1;
    if (low == high)
        high += 0.001;
    for (int32_t i = 0; i < n_dims / 2; i++) {
        ramp = (i - low) / (high - low);
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        f[i] = f[i] / a->scaling_factor * ramp + f[i] * (1 - ramp);
    }
}

static void llama3_scale(const struct arch *a, int32_t n_pairs, double *f)
{
    double low = a->low_freq_factor, high = a->high_freq_factor;

    for (int32_t i = 0; i < n_pairs; i++) {
        double wave = 2 * pi / f[i], keep;

        if (wave < a->original_context / high)
            continue;
        keep = (a->original_context / wave - low) / (high - low);
        if (wave > a->original_context / low)
            keep = 0;
        f[i] = (1 - keep) * f[i] / a->scaling_factor + keep * f[i];
    }
}

int rope_init(struct rope *r, const struct arch *a, int32_t n_dims, struct mk_error *err)
{
    double f[MK_MAX_ROPE_PAIRS];

    *r = (struct rope){.n_pairs = n_dims / 2, .magnitude = 1};
    if (n_dims < 2 || n_dims % 2 || r->n_pairs > MK_MAX_ROPE_PAIRS)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%d rotary dimensions a head are not supported: expected an even "
                            "number up to %d",
                            n_dims, 2 * MK_MAX_ROPE_PAIRS);
    for (int32_t i = 0; i < r->n_pairs; i++)
        f[i] = pow(a->rope_theta, -2.0 * i / n_dims);
    if (a->scaling == ARCH_SCALING_LINEAR)
        for (int32_t i = 0; i < r->n_pairs; i++)
            f[i] /= a->scaling_factor;
    if (a->scaling == ARCH_SCALING_LLAMA3)
        llama3_scale(a, r->n_pairs, f);
    if (a->scaling == ARCH_SCALING_YARN) {
        yarn_scale(a, n_dims, f);
        if (a->attention_factor > 0)
            r->magnitude = (float)a->attention_factor;
        else if (a->mscale > 0 && a->mscale_all_dim > 0)
            r->magnitude = (float)(yarn_mscale(a->scaling_factor, a->mscale) /
                                   yarn_mscale(a->scaling_factor, a->mscale_all_dim));
        else
            r->magnitude = (float)yarn_mscale(a->scaling_factor, 1);
    }
    for (int32_t i = 0; i < r->n_pairs; i++) {
        if (i < a->n_rope_freq_factors)
            f[i] /= a->rope_freq_factors[i];
        r->frequency[i] = (float)f[i];
    }
    return 0;
}

void rope_row(const struct rope *r, int32_t position, float *table)
{
    for (int32_t i = 0; i < r->n_pairs; i++) {
        float angle = (float)position * r->frequency[i];

        table[2 * i] = (float)cos(angle) * r->magnitude;
        table[2 * i + 1] = (float)sin(angle) * r->magnitude;
    }
}

float rope_score_scale(const struct arch *a, int32_t d)
{
    double scale = 1 / sqrt(d), m;

    if (a->scaling == ARCH_SCALING_YARN && a->attention == ARCH_MLA && a->mscale_all_dim > 0) {
        m = yarn_mscale(a->scaling_factor, a->mscale_all_dim);
        scale *= m * m;
    }
    return (float)scale;
}
