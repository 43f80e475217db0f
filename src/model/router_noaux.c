/* router_noaux.c: V3's gate without auxiliary loss: sigmoid scores, a bias that only chooses, the
 * best groups.
 *
 * V3 report, section 2.1.2; deepseek.md 3.2. A group counts as much as its two best biased scores
 * together. Experts of other groups are out of reach (-infinity, as DeepSeek's own code has it). */
#include <math.h>

#include "model/router.h"

static float two_best(const float *score, int32_t n)
{
    float first = -INFINITY, second = -INFINITY;

    for (int32_t i = 0; i < n; i++) {
        if (score[i] > first) {
            second = first;
            first = score[i];
        } else if (score[i] > second) {
            second = score[i];
        }
    }
    return n > 1 ? first + second : first;
}

static void keep_best_groups(const struct arch *a, float *biased)
{
    float group_score[MK_MAX_EXPERTS];
    int32_t size = a->n_experts / a->n_group, order[MK_MAX_EXPERTS];

    for (int32_t g = 0; g < a->n_group; g++)
        group_score[g] = two_best(biased + g * size, size);
    router_top(group_score, a->n_group, order, a->n_group);
    for (int32_t i = a->topk_group; i < a->n_group; i++)
        for (int32_t e = order[i] * size; e < (order[i] + 1) * size; e++)
            biased[e] = -INFINITY;
}

void router_noaux(const struct arch *a, const float *logits, const float *bias, float *scratch,
                  int32_t *index, float *weight)
{
    float *s = scratch, *biased = scratch + a->n_experts;

    router_scores(a, logits, s);
    for (int32_t e = 0; e < a->n_experts; e++)
        biased[e] = s[e] + (bias ? bias[e] : 0);
    if (a->n_group > 1)
        keep_best_groups(a, biased);
    router_top(biased, a->n_experts, index, a->n_experts_used);
    for (int32_t i = 0; i < a->n_experts_used; i++)
        weight[i] = s[index[i]];
    router_scale(a, true, weight);
}
