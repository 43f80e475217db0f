/* router.c: the table of routers, and what they share. */
#include "model/router.h"

#include <math.h>

router_fn *router_for(const struct arch *a)
{
    switch (a->router) {
    case ARCH_ROUTER_GROUP_MAX:
        return router_group_max;
    case ARCH_ROUTER_NOAUX:
        return router_noaux;
    default:
        return router_softmax;
    }
}

static void softmax(const float *logits, int32_t n, float *p)
{
    float max = logits[0], sum = 0;

    for (int32_t e = 1; e < n; e++)
        max = logits[e] > max ? logits[e] : max;
    for (int32_t e = 0; e < n; e++)
        sum += p[e] = expf(logits[e] - max);
    for (int32_t e = 0; e < n; e++)
        p[e] /= sum;
}

void router_scores(const struct arch *a, const float *logits, float *score)
{
    if (a->router != ARCH_ROUTER_NOAUX) {
        softmax(logits, a->n_experts, score);
        return;
    }
    for (int32_t e = 0; e < a->n_experts; e++)
        score[e] = 1 / (1 + expf(-logits[e]));
}

void router_weigh(const struct arch *a, const float *logits, float *scratch, const int32_t *index,
                  float *weight)
{
    router_scores(a, logits, scratch);
    for (int32_t i = 0; i < a->n_experts_used; i++)
        weight[i] = scratch[index[i]];
    router_scale(a, a->router == ARCH_ROUTER_NOAUX, weight);
}

/* Insertion into a short sorted list: n is 8 or less in every release. */
void router_top(const float *score, int32_t n_experts, int32_t *index, int32_t n)
{
    int32_t n_kept = 0, at;

    for (int32_t e = 0; e < n_experts; e++) {
        if (n_kept == n && !(score[e] > score[index[n - 1]]))
            continue;
        at = n_kept < n ? n_kept++ : n - 1;
        for (; at > 0 && score[e] > score[index[at - 1]]; at--)
            index[at] = index[at - 1];
        index[at] = e;
    }
}

void router_scale(const struct arch *a, bool scale_normalised, float *weight)
{
    float sum = 0, factor = a->routed_scaling_factor;

    if (a->norm_topk_prob) {
        for (int32_t i = 0; i < a->n_experts_used; i++)
            sum += weight[i];
        for (int32_t i = 0; i < a->n_experts_used; i++)
            weight[i] /= sum + 1e-20f;
        if (!scale_normalised)
            factor = 1;
    }
    for (int32_t i = 0; i < a->n_experts_used; i++)
        weight[i] *= factor;
}
