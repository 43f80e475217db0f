/* balance.h: keeping all experts of a mixture busy: the bias of V3, which needs no loss, and the
 * losses of V2 and V3 (deepseek.md 3.3, 3.4). */
#ifndef MK_TRAIN_BALANCE_H
#define MK_TRAIN_BALANCE_H

#include "model/saved.h"
#include "train/params.h"

/* Weights of the losses; 0: without. Each is linear in the mean scores of the experts, P_i: the
 * share f_i of tokens that they got is a constant. Scope: one sequence. */
struct balance_options {
    double sequence; /* V3's complement: f from the best unbiased scores, P of scores that sum 1 */
    double expert;   /* V2's a1 */
    double device;   /* V2's a2 */
    double transfer; /* V2's a3: tokens sent to devices */
    int32_t n_devices; /* experts are divided among them evenly; for device and transfer */
    /* What a token counts for: 1 / tokens of the whole step. A sequence counts by its length. */
    double token_scale;
};

bool balance_wanted(const struct balance_options *o);
/* Of one sequence's rows: score [n_rows, e] as the router gives them, index [n_rows, used]. Writes
 * coef [e], dL/dP_i of L = sum of coef_i P_i, and P [e]. scratch [2 e]. */
void balance_coefficients(const struct balance_options *o, const struct arch *a, const float *score,
                          const int32_t *index, int64_t n_rows, double *coef, double *mean,
                          double *scratch);

/* Who learned what: the mutual information of source and expert, every source taken as equally
 * likely, over the logarithm of their number. 0: all sources use the experts alike; 1: no expert
 * serves two. counts: n_sources rows of n_experts, stride apart; rows without a count are no
 * source. NAN with fewer than two. */
double balance_information(const int64_t *counts, int32_t n_sources, int64_t stride,
                           int32_t n_experts);

/* Loss-free balancing (Wang et al. 2024): bias_i += gamma * sign(mean count - count_i). */
void balance_bias(float *bias, const int64_t *count, int32_t n_experts, float gamma);

#endif
