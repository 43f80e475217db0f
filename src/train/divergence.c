/* divergence.c: see divergence.h.
 *
 * With f_e = dD / dq_e of each event e (a listed token, or all others together), the softmax gives
 * dD / dz_i = q_i (f_e(i) - sum over e of q_e f_e) / T: constants in f cancel. */
#include "train/divergence.h"

#include <math.h>
#include <string.h>

#define LEAST (-700.0) /* of a log-probability: its exponential is still a normal number */

/* One event's part of the divergence, from log p and log q; *f is its derivative by q but for a
 * constant that all events share. */
static double event(const struct divergence *d, double lp, double lq, double *f)
{
    double p = exp(lp), q = exp(lq), lm;

    switch (d->kind) {
    case DIVERGENCE_FORWARD:
        *f = -exp(lp - lq);
        return p * (lp - lq);
    case DIVERGENCE_REVERSE:
        *f = lq - lp;
        return q * (lq - lp);
    default:
        lm = log(d->beta * p + (1 - d->beta) * q);
        *f = (1 - d->beta) * (lq - lm);
        return d->beta * p * (lp - lm) + (1 - d->beta) * q * (lq - lm);
    }
}

/* log q of every token, none below LEAST. */
static void log_softmax(const float *logits, int32_t n, double temperature, double *out)
{
    double most = (double)logits[0], sum = 0;

    for (int32_t i = 1; i < n; i++)
        most = fmax(most, (double)logits[i]);
    for (int32_t i = 0; i < n; i++) {
        out[i] = ((double)logits[i] - most) / temperature;
        sum += exp(out[i]);
    }
    sum = log(sum);
    for (int32_t i = 0; i < n; i++)
        out[i] = fmax(out[i] - sum, LEAST);
}

double divergence_row(const struct divergence *d, const struct teacher_row *p, const float *logits,
                      int32_t n_vocab, double scale, float *gradient, double *scratch)
{
    double *lq = scratch, *f = scratch + n_vocab; /* [n_vocab] of each token; f: its event's */
    double total = 0, mean = 0, rest = 0, f_rest = 0;

    log_softmax(logits, n_vocab, d->temperature, lq);
    for (int32_t i = 0; i < n_vocab; i++)
        f[i] = NAN; /* not listed */
    for (int32_t e = 0; e < p->k; e++) {
        int32_t i = p->ids ? p->ids[e] : e;

        total += event(d, fmax((double)p->logp[e], LEAST), lq[i], &f[i]);
        mean += exp(lq[i]) * f[i];
    }
    for (int32_t i = 0; p->ids && i < n_vocab; i++)
        rest += isnan(f[i]) ? exp(lq[i]) : 0;
    if (rest > 0) {
        total += event(d, fmax((double)p->rest, LEAST), log(rest), &f_rest);
        mean += rest * f_rest;
    }
    for (int32_t i = 0; gradient && i < n_vocab; i++)
        gradient[i] += (float)(scale / d->temperature * exp(lq[i]) *
                               ((isnan(f[i]) ? f_rest : f[i]) - mean));
    return total;
}
