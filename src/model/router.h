/* router.h: which experts a token is sent to, and with what weight.
 *
 * A router is a pure function of one row of logits. Ties go to the lower expert. A new router is a
 * file and a line in router_for. */
#ifndef MK_MODEL_ROUTER_H
#define MK_MODEL_ROUTER_H

#include "formats/arch.h"

#define MK_MAX_EXPERTS 1024

/* logits [e] -> index, weight [n_experts_used], in descending order of what chose them. bias [e] or
 * NULL; scratch [2 e]. */
typedef void router_fn(const struct arch *a, const float *logits, const float *bias, float *scratch,
                       int32_t *index, float *weight);

router_fn router_softmax, router_group_max, router_noaux;
router_fn *router_for(const struct arch *a);

/* The weights of experts chosen elsewhere: index [n_experts_used] -> weight. scratch [e]. */
void router_weigh(const struct arch *a, const float *logits, float *scratch, const int32_t *index,
                  float *weight);
/* score [e] of each expert from its logit: sigmoid (V3) or softmax (V2). */
void router_scores(const struct arch *a, const float *logits, float *score);

/* The n largest of score [e] into index, descending, ties to the lower expert; entries of -infinity
 * come last. */
void router_top(const float *score, int32_t n_experts, int32_t *index, int32_t n);
/* weight[i] of the chosen scores: normalised to sum 1 and / or scaled, as the configuration says.
 */
void router_scale(const struct arch *a, bool scale_normalised, float *weight);

#endif
