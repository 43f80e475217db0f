/* objective.c: one answer after the other, in double. */
#include "rl/objective.h"

#include <math.h>

#define STD_EPS 1e-6
/* Beyond it a ratio is no ratio any more but an overflow on its way. */
#define MAX_LOG_RATIO 20.0

struct objective objective_defaults(enum objective_kind kind)
{
    struct objective o = {.kind = kind,
                          .norm = OBJECTIVE_NORM_SEQUENCE,
                          .constant = 1,
                          .divide_by_std = true,
                          .clip_low = 0.2,
                          .clip_high = 0.2};

    switch (kind) {
    case OBJECTIVE_DR_GRPO:
        o.norm = OBJECTIVE_NORM_CONSTANT;
        o.divide_by_std = false;
        break;
    case OBJECTIVE_DAPO:
        o.norm = OBJECTIVE_NORM_TOKEN;
        o.clip_high = 0.28;
        break;
    case OBJECTIVE_GSPO:
        o.clip_low = 3e-4;
        o.clip_high = 4e-4;
        break;
    case OBJECTIVE_CISPO:
        o.norm = OBJECTIVE_NORM_TOKEN;
        o.clip_high = 0.28;
        break;
    default:
        break;
    }
    return o;
}

bool objective_is_live(const double *reward, int32_t n)
{
    for (int32_t i = 1; i < n; i++)
        if (reward[i] != reward[0])
            return true;
    return false;
}

void objective_advantages(const double *reward, int32_t n, bool divide_by_std, double *advantage)
{
    double mean = 0, variance = 0;

    /* Not left to rounding: the mean of equal rewards need not be one of them. */
    if (!objective_is_live(reward, n)) {
        for (int32_t i = 0; i < n; i++)
            advantage[i] = 0;
        return;
    }
    for (int32_t i = 0; i < n; i++)
        mean += reward[i] / n;
    for (int32_t i = 0; i < n; i++)
        variance += (reward[i] - mean) * (reward[i] - mean) / n;
    for (int32_t i = 0; i < n; i++)
        advantage[i] = (reward[i] - mean) / (divide_by_std ? sqrt(variance) + STD_EPS : 1);
}

static bool counts(const struct objective_answer *a, int32_t t)
{
    return !a->counts || a->counts[t];
}

static int32_t count(const struct objective_answer *a)
{
    int32_t n = 0;

    for (int32_t t = 0; t < a->n; t++)
        n += counts(a, t);
    return n;
}

static double difference(float a, float b)
{
    return fmax(-MAX_LOG_RATIO, fmin(MAX_LOG_RATIO, (double)a - (double)b));
}

static double weight_of_token(const struct objective *o, const struct objective_scope *s, int32_t n)
{
    switch (o->norm) {
    case OBJECTIVE_NORM_TOKEN:
        return s->n_tokens > 0 ? 1 / (double)s->n_tokens : 0;
    case OBJECTIVE_NORM_CONSTANT:
        return 1 / ((double)s->n_answers * o->constant);
    default:
        return n > 0 ? 1 / ((double)s->n_answers * n) : 0;
    }
}

static bool clips(const struct objective *o)
{
    return o->clip_low > 0 || o->clip_high > 0;
}

/* Whether -min(r A, clip(r) A) is flat here: the clipped branch is the smaller one. */
static bool is_flat(const struct objective *o, double r, double advantage)
{
    return clips(o) && (advantage > 0 ? r > 1 + o->clip_high : r < 1 - o->clip_low);
}

static double clipped(const struct objective *o, double r)
{
    return clips(o) ? fmax(1 - o->clip_low, fmin(1 + o->clip_high, r)) : r;
}

/* The sampler found the answer much more probable than the policy does, and it was bad. */
static bool is_masked(const struct objective *o, const struct objective_answer *a, int32_t n)
{
    const float *mu = a->sampled ? a->sampled : a->old;
    double sum = 0;

    if (o->mask_delta <= 0 || a->advantage >= 0 || n == 0)
        return false;
    for (int32_t t = 0; t < a->n; t++)
        sum += counts(a, t) ? (double)mu[t] - (double)a->logp[t] : 0;
    return sum / n > o->mask_delta;
}

/* exp(mean log x / y): the ratio of a whole answer, the same for each of its tokens (GSPO). */
static double mean_ratio(const struct objective_answer *a, const float *x, const float *y,
                         int32_t n)
{
    double sum = 0;

    for (int32_t t = 0; t < a->n; t++)
        sum += counts(a, t) ? difference(x[t], y[t]) : 0;
    return n > 0 ? exp(sum / n) : 1;
}

/* whole: mean_ratio of old and sampled. */
static double importance(const struct objective *o, const struct objective_answer *a, int32_t t,
                         double whole)
{
    if (!a->sampled || o->importance_cap <= 0)
        return 1;
    return fmin(o->importance_cap, o->kind == OBJECTIVE_GSPO
                                       ? whole
                                       : exp(difference(a->old[t], a->sampled[t])));
}

/* Loss and dl/dlogp of token t; of GSPO its share of the answer's. */
static double policy_term(const struct objective *o, const struct objective_answer *a, int32_t t,
                          double sequence, double *gradient, bool *flat)
{
    double r = o->kind == OBJECTIVE_GSPO ? sequence : exp(difference(a->logp[t], a->old[t]));

    *flat = false;
    if (o->kind == OBJECTIVE_CISPO) {
        *flat = clipped(o, r) != r;
        *gradient = -clipped(o, r) * a->advantage;
        return *gradient * (double)a->logp[t];
    }
    *flat = is_flat(o, r, a->advantage);
    *gradient = *flat ? 0 : -r * a->advantage;
    return -fmin(r * a->advantage, clipped(o, r) * a->advantage);
}

static double kl_term(const struct objective *o, const struct objective_answer *a, int32_t t,
                      double *gradient)
{
    double d = difference(a->ref[t], a->logp[t]), k3 = exp(d) - d - 1, r;

    *gradient = 1 - exp(d);
    if (o->kl == OBJECTIVE_KL_K3)
        return k3;
    /* The token came from the sampler, whose probability makes the estimate unbiased. */
    r = exp(difference(a->logp[t], a->sampled ? a->sampled[t] : a->old[t]));
    *gradient = r * (k3 + *gradient);
    return r * k3;
}

struct objective_sums objective_gradient(const struct objective *o, const struct objective_scope *s,
                                         const struct objective_answer *a, float *gradient)
{
    struct objective_sums sums = {0};
    int32_t n = count(a);
    double w = weight_of_token(o, s, n), sequence = mean_ratio(a, a->logp, a->old, n);
    double whole = a->sampled ? mean_ratio(a, a->old, a->sampled, n) : 1;

    sums.masked = is_masked(o, a, n);
    for (int32_t t = 0; t < a->n; t++) {
        double g = 0, kl_g = 0, l = 0, kl = 0;
        bool flat = false;

        gradient[t] = 0;
        if (!counts(a, t))
            continue;
        if (!sums.masked) {
            double rho = importance(o, a, t, whole);

            l = rho * policy_term(o, a, t, sequence, &g, &flat);
            g *= rho;
        }
        if (a->ref && o->beta > 0)
            kl = kl_term(o, a, t, &kl_g);
        sums.n_clipped += flat && a->advantage != 0;
        sums.kl += w * kl;
        sums.loss += w * (l + o->beta * kl);
        gradient[t] = (float)(w * (g + o->beta * kl_g));
    }
    return sums;
}
