/* penalties.c: logit bias and the three penalties. Work is linear in the window, not in the
 * vocabulary. */
#include "generate/penalties.h"

static int check_ids(const int32_t *ids, int32_t n, int32_t n_vocab, struct mk_error *err)
{
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return mk_error_set(err, MK_EINVAL,
                                "token %d of the text so far is %d: expected 0 to %d", i, ids[i],
                                n_vocab - 1);
    return 0;
}

static void apply_repetition(float *logits, int32_t *counts, const int32_t *ids, int32_t n, float r)
{
    for (int32_t i = 0; i < n; i++) {
        float *x = &logits[ids[i]];

        if (counts[ids[i]]++ == 0)
            *x = *x > 0 ? *x / r : *x * r;
    }
    for (int32_t i = 0; i < n; i++)
        counts[ids[i]] = 0;
}

static void apply_counts(float *logits, int32_t *counts, const int32_t *ids, int32_t n,
                         const struct mk_sampling *o)
{
    for (int32_t i = 0; i < n; i++)
        counts[ids[i]]++;
    for (int32_t i = 0; i < n; i++) {
        int32_t times = counts[ids[i]];

        if (times == 0) /* an earlier occurrence has done it */
            continue;
        logits[ids[i]] -= o->frequency_penalty * (float)times + o->presence_penalty;
        counts[ids[i]] = 0;
    }
}

int penalties_apply(float *logits, int32_t n_vocab, int32_t *counts, const struct past *past,
                    const struct mk_sampling *o, struct mk_error *err)
{
    int32_t from = 0, counted;

    if (o->penalty_window > 0 && past->n_ids > o->penalty_window)
        from = past->n_ids - o->penalty_window;
    counted = past->counted_from > from ? past->counted_from : from;
    for (int32_t i = 0; i < o->n_bias; i++)
        logits[o->bias_ids[i]] += o->bias_values[i];
    if (check_ids(past->ids + from, past->n_ids - from, n_vocab, err))
        return err->code;
    if (o->repetition_penalty != 1.0f)
        apply_repetition(logits, counts, past->ids + from, past->n_ids - from,
                         o->repetition_penalty);
    if ((o->frequency_penalty != 0.0f || o->presence_penalty != 0.0f) && counted < past->n_ids)
        apply_counts(logits, counts, past->ids + counted, past->n_ids - counted, o);
    return 0;
}
