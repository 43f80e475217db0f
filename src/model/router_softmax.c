/* router_softmax.c: V2's gates: softmax over all experts, the best of all (V2-Lite) or of the best
 * groups (V2).
 *
 * V2 report, section 2.2; deepseek.md 3.1. Normalised or scaled, never both: V2 scales by 16
 * without normalising. */
#include <math.h>

#include "model/router.h"

static void choose(const struct arch *a, const float *p, const float *score, int32_t *index,
                   float *weight)
{
    router_top(score, a->n_experts, index, a->n_experts_used);
    for (int32_t i = 0; i < a->n_experts_used; i++)
        weight[i] = p[index[i]];
    router_scale(a, false, weight);
}

void router_softmax(const struct arch *a, const float *logits, const float *bias, float *scratch,
                    int32_t *index, float *weight)
{
    (void)bias;
    router_scores(a, logits, scratch);
    choose(a, scratch, scratch, index, weight);
}

/* A group counts as much as its best expert; experts of the other groups score zero. */
void router_group_max(const struct arch *a, const float *logits, const float *bias, float *scratch,
                      int32_t *index, float *weight)
{
    float *p = scratch, *score = scratch + a->n_experts, group_score[MK_MAX_EXPERTS];
    int32_t size = a->n_experts / a->n_group, kept[MK_MAX_EXPERTS];

    (void)bias;
    router_scores(a, logits, p);
    for (int32_t g = 0; g < a->n_group; g++) {
        group_score[g] = p[g * size];
        for (int32_t i = 1; i < size; i++)
            group_score[g] = fmaxf(group_score[g], p[g * size + i]);
    }
    router_top(group_score, a->n_group, kept, a->topk_group);
    for (int32_t e = 0; e < a->n_experts; e++)
        score[e] = 0;
    for (int32_t i = 0; i < a->topk_group; i++)
        for (int32_t e = kept[i] * size; e < (kept[i] + 1) * size; e++)
            score[e] = p[e];
    choose(a, p, score, index, weight);
}
