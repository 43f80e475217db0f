/* schedule.c: pure functions of the tokens seen. */
#include "train/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static const char *const names[SCHEDULE_N] = {"constant", "linear",  "cosine", "wsd",
                                              "v2",       "v2-lite", "v3"};

const char *schedule_name(enum schedule_kind kind)
{
    return kind < SCHEDULE_N ? names[kind] : NULL;
}

static double cosine(double from, double to, double p)
{
    return to + (from - to) * 0.5 * (1 + cos(pi * p));
}

/* x: share of all tokens. The V3 report gives its points in tokens of 14.8T. */
static double v3(double lr, double x)
{
    double flat = 10 / 14.8, low = (10 + 4.3) / 14.8, lowest = (10 + 4.3 + 0.333) / 14.8;

    if (x < flat)
        return lr;
    if (x < low)
        return cosine(lr, lr / 10, (x - flat) / (low - flat));
    return x < lowest ? lr / 10 : lr * 7.3e-6 / 2.2e-4;
}

static double steps(double lr, double x, double first, double second)
{
    return lr * (x >= first ? 0.316 : 1) * (x >= second ? 0.316 : 1);
}

static double wsd(const struct schedule *s, double x)
{
    double start = 1 - s->decay_share;

    if (x < start || s->decay_share <= 0)
        return s->lr;
    return s->lr + (s->final_lr - s->lr) * (x - start) / s->decay_share;
}

double schedule_lr(const struct schedule *s, int64_t seen)
{
    double x = s->tokens > 0 ? (double)seen / (double)s->tokens : 0, p = 0;

    if (seen < s->warmup_tokens)
        return s->lr * (double)seen / (double)s->warmup_tokens;
    if (s->tokens > s->warmup_tokens)
        p = (double)(seen - s->warmup_tokens) / (double)(s->tokens - s->warmup_tokens);
    x = x > 1 ? 1 : x;
    p = p > 1 ? 1 : p;
    switch (s->kind) {
    case SCHEDULE_LINEAR:
        return s->lr + (s->final_lr - s->lr) * p;
    case SCHEDULE_COSINE:
        return cosine(s->lr, s->final_lr, p);
    case SCHEDULE_WSD:
        return wsd(s, x);
    case SCHEDULE_V2:
        return steps(s->lr, x, 0.6, 0.9);
    case SCHEDULE_V2_LITE:
        return steps(s->lr, x, 0.8, 0.9);
    case SCHEDULE_V3:
        return v3(s->lr, x);
    default:
        return s->lr;
    }
}

int32_t batch_ramp(int32_t first, int32_t last, int64_t ramp_tokens, int64_t seen)
{
    int64_t n_steps, size;

    if (ramp_tokens <= 0 || first >= last || seen >= ramp_tokens)
        return last;
    n_steps = (last - first + first - 1) / first + 1; /* sizes passed through */
    size = first + (int64_t)((double)n_steps * (double)seen / (double)ramp_tokens) * first;
    return (int32_t)(size < last ? size : last);
}
