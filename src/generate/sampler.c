/* sampler.c: the steps of sampler.h in their order. */
#include "generate/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

int sampler_init(struct sampler *s, int32_t n_vocab, struct mk_error *err)
{
    size_t v = (size_t)n_vocab;
    size_t bytes = MK_FILTER_BINS * sizeof(double) + 4 * v * sizeof(float);
    struct candidates *c = &s->kept;

    *s = (struct sampler){.n_vocab = n_vocab};
    s->memory = calloc(1, bytes);
    if (!s->memory)
        return mk_error_memory(err, bytes);
    c->bins = s->memory; /* the widest type first keeps all of them aligned */
    c->weights = (float *)(c->bins + MK_FILTER_BINS);
    c->logits = c->weights + v;
    c->ids = (int32_t *)(c->logits + v);
    s->counts = c->ids + v;
    return 0;
}

void sampler_release(struct sampler *s)
{
    free(s->memory);
    *s = (struct sampler){0};
}

/* The place of the largest logit, the first among equals, and -0 made 0 on the way. */
static int find_best(struct candidates *c, int32_t *best, struct mk_error *err)
{
    float max = -INFINITY;

    *best = -1;
    for (int32_t i = 0; i < c->n; i++) {
        float x = c->logits[i] += 0.0f;

        if (x > max) {
            max = x;
            *best = i;
        } else if (isnan(x)) {
            return mk_error_set(err, MK_EFORMAT,
                                "the logit of token %d is not a number: the model's weights may be "
                                "damaged, open it with its tensors checked",
                                i);
        }
    }
    if (*best < 0)
        return mk_error_set(err, MK_EINVAL,
                            "every token is ruled out: no logit is above minus infinity");
    return 0;
}

/* The candidate at which the running sum passes u times the whole. */
static int32_t draw(const struct candidates *c, double u)
{
    double sum = 0, passed = 0;
    int32_t last = 0;

    for (int32_t i = 0; i < c->n; i++)
        sum += (double)c->weights[i];
    for (int32_t i = 0; i < c->n; i++) {
        if (c->weights[i] == 0)
            continue;
        last = i;
        passed += (double)c->weights[i];
        if (passed > u * sum)
            break;
    }
    return c->ids[last]; /* the last one when rounding lifts u * sum to the sum */
}

int sampler_choose(struct sampler *s, const float *logits, const struct past *past,
                   const struct mk_sampling *o, uint64_t sequence, uint64_t position, int32_t *id,
                   struct mk_error *err)
{
    struct candidates *c = &s->kept;
    int32_t best;
    float max;

    c->n = s->n_vocab;
    for (int32_t i = 0; i < c->n; i++) {
        c->ids[i] = i;
        c->logits[i] = logits[i];
    }
    if (penalties_apply(c->logits, s->n_vocab, s->counts, past, o, err) ||
        find_best(c, &best, err))
        return err->code;
    if (o->temperature == 0) {
        *id = best;
        return 0;
    }
    max = c->logits[best];
    filters_top_k(c, o->top_k);
    filters_weigh(c, max, o->temperature);
    filters_top_p(c, o->top_p);
    filters_min_p(c, o->min_p);
    *id = draw(c, rng_uniform(o->seed, sequence, position));
    return 0;
}
