/* logprobs.c: one pass over the row for each question; the lists are short. */
#include "generate/logprobs.h"

float logprobs_sum(struct compute *c, const float *logits, int32_t n_vocab)
{
    return c->k->log_sum_exp(c, logits, n_vocab);
}

float logprobs_of(const float *logits, float sum, int32_t id)
{
    return logits[id] - sum;
}

/* Puts token id, whose logit is x, into best[n], sorted by logit and then by id; the last falls
 * out. Ids come in ascending order, so an equal logit goes behind. */
static int32_t insert(struct mk_token_logprob *best, int32_t n, int32_t max, int32_t id, float x)
{
    int32_t i = n < max ? n : max - 1;

    if (n == max && x <= best[max - 1].logprob)
        return n;
    for (; i > 0 && x > best[i - 1].logprob; i--)
        best[i] = best[i - 1];
    best[i] = (struct mk_token_logprob){.id = id, .logprob = x};
    return n < max ? n + 1 : n;
}

int32_t logprobs_top(const float *logits, int32_t n_vocab, float sum, int32_t n,
                     struct mk_token_logprob *top)
{
    int32_t found = 0;

    for (int32_t id = 0; id < n_vocab && n > 0; id++)
        found = insert(top, found, n, id, logits[id]);
    for (int32_t i = 0; i < found; i++)
        top[i].logprob -= sum;
    return found;
}

int32_t logprobs_rank(const float *logits, int32_t n_vocab, int32_t id)
{
    int32_t rank = 1;

    for (int32_t i = 0; i < n_vocab; i++)
        rank += logits[i] > logits[id] || (logits[i] == logits[id] && i < id);
    return rank;
}
