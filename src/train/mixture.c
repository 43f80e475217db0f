/* mixture.c: drawing sources by weights that change with the tokens seen. */
#include "train/mixture.h"

#include <math.h>

#include "base/rng.h"
#include "base/shuffle.h"

/* Streams of the seed, so that no two draws share a number; shuffles take 0x5f on top of theirs. */
#define STREAM_SOURCE ((uint64_t)0x4d << 56)

static int check_source(const struct mixture_source *s, struct mk_error *err)
{
    if (s->n_sequences < 1)
        return mk_error_set(err, MK_EINVAL, "source %s: it holds no sequence", s->name);
    if (s->n_points < 1 || s->n_points > MIXTURE_MAX_POINTS)
        return mk_error_set(err, MK_EINVAL, "source %s: %d weights, expected 1 to %d", s->name,
                            s->n_points, MIXTURE_MAX_POINTS);
    for (int i = 0; i < s->n_points; i++) {
        if (!isfinite(s->points[i].weight) || s->points[i].weight < 0)
            return mk_error_set(err, MK_EINVAL, "source %s: weight %g is not a number from 0 on",
                                s->name, s->points[i].weight);
        if (s->points[i].tokens < 0 ||
            (i && s->points[i].tokens <= s->points[i - 1].tokens))
            return mk_error_set(err, MK_EINVAL,
                                "source %s: the tokens of its weights must ascend from 0 on",
                                s->name);
    }
    return 0;
}

static double weight_at(const struct mixture_point *p, int n, int64_t tokens)
{
    int i = 0;

    while (i < n && p[i].tokens <= tokens)
        i++;
    if (i == 0 || i == n)
        return p[i ? i - 1 : 0].weight;
    return p[i - 1].weight + (p[i].weight - p[i - 1].weight) *
                                 ((double)(tokens - p[i - 1].tokens) /
                                  (double)(p[i].tokens - p[i - 1].tokens));
}

/* Trapezoids between the bends, which are exact. */
double mixture_mean_weight(const struct mixture_point *points, int n, int64_t tokens)
{
    int64_t from = 0;
    double sum = 0;

    if (n == 1)
        return points[0].weight;
    for (int i = 0; i <= n && from < tokens; i++) {
        int64_t to = i < n && points[i].tokens < tokens ? points[i].tokens : tokens;

        sum += (weight_at(points, n, from) + weight_at(points, n, to)) / 2 * (double)(to - from);
        from = to;
    }
    return sum / (double)tokens;
}

static double weight_sum(const struct mixture *m, int64_t tokens)
{
    double sum = 0;

    for (int s = 0; s < m->n_sources; s++)
        sum += weight_at(m->sources[s].points, m->sources[s].n_points, tokens);
    return sum;
}

/* Between two bends the sum is linear and not negative: it is 0 at a bend or nowhere, unless it is
 * 0 in between throughout. */
int mixture_check(const struct mixture *m, struct mk_error *err)
{
    if (m->n_sources < 1 || m->n_sources > MIXTURE_MAX_SOURCES)
        return mk_error_set(err, MK_EINVAL, "%d sources, expected 1 to %d", m->n_sources,
                            MIXTURE_MAX_SOURCES);
    for (int s = 0; s < m->n_sources; s++)
        if (check_source(&m->sources[s], err))
            return err->code;
    for (int s = 0; s < m->n_sources; s++)
        for (int i = 0; i < m->sources[s].n_points; i++)
            if (!(weight_sum(m, m->sources[s].points[i].tokens) > 0))
                return mk_error_set(err, MK_EINVAL, "all weights are 0 at %lld tokens",
                                    (long long)m->sources[s].points[i].tokens);
    return 0;
}

void mixture_weights(const struct mixture *m, int64_t tokens, double *weights)
{
    double sum = weight_sum(m, tokens);

    for (int s = 0; s < m->n_sources; s++)
        weights[s] = weight_at(m->sources[s].points, m->sources[s].n_points, tokens) / sum;
}

static int draw_source(const struct mixture *m)
{
    double weights[MIXTURE_MAX_SOURCES];
    double u = rng_uniform(m->seed, STREAM_SOURCE, (uint64_t)m->state.step);
    int last = 0;

    mixture_weights(m, m->state.n_tokens, weights);
    for (int s = 0; s < m->n_sources; s++) {
        if (weights[s] > 0)
            last = s; /* rounding may leave u a little above the sum */
        u -= weights[s];
        if (u < 0)
            break;
    }
    return last;
}

struct mixture_draw mixture_next(struct mixture *m)
{
    int source = draw_source(m);
    int64_t n = m->sources[source].n_sequences;
    int64_t drawn = m->state.sources[source].n_drawn++;
    struct mixture_draw d = {.source = source, .epoch = drawn / n};
    uint64_t order = (uint64_t)d.epoch | (uint64_t)(source + 1) << 48;

    d.sequence = (int64_t)shuffle_at(m->seed, order, (uint64_t)(drawn % n), (uint64_t)n);
    m->state.step++;
    return d;
}

void mixture_count(struct mixture *m, int source, int64_t n_tokens, double loss_sum, int64_t n_loss)
{
    struct mixture_counter *c = &m->state.sources[source];

    m->state.n_tokens += n_tokens;
    c->n_tokens += n_tokens;
    c->n_loss += n_loss;
    c->loss_sum += loss_sum;
}

double mixture_epochs(const struct mixture *m, int source)
{
    return (double)m->state.sources[source].n_drawn / (double)m->sources[source].n_sequences;
}

double mixture_loss(const struct mixture *m, int source)
{
    const struct mixture_counter *c = &m->state.sources[source];

    return c->n_loss ? c->loss_sum / (double)c->n_loss : 0;
}
