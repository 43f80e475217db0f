/* filters.h: which tokens stay in the draw: top-k, top-p and min-p on one list of candidates.
 *
 * Candidates stand in ascending order of id from beginning to end. A filter finds the value at
 * which it cuts and closes the gaps; nothing is sorted. The value is found by counting (top-k) or
 * weighing (top-p) the candidates in bins of the upper bits of their logits, then those of the bin
 * where it lies by the middle and the lower bits: linear work, whatever the logits. Among equal
 * logits at the cut the lowest ids stay. */
#ifndef MK_GENERATE_FILTERS_H
#define MK_GENERATE_FILTERS_H

#include <stdint.h>

#define MK_FILTER_BINS 2048 /* 11 bits of a float's 32 */

struct candidates {
    int32_t n;
    int32_t *ids;           /* [n] ascending */
    float *logits;          /* [n] no NaN, no -0 */
    float *weights;         /* [n] e^((logit - max) / temperature), 1 for the best */
    float max, temperature; /* as filters_weigh was told */
    double *bins;           /* [MK_FILTER_BINS] work memory */
};

/* Keeps the k largest logits; k <= 0 or k >= n keeps all. Weights are not looked at. */
void filters_top_k(struct candidates *c, int32_t k);
/* Fills in the weights. max: the largest logit. temperature > 0. */
void filters_weigh(struct candidates *c, float max, float temperature);
/* Nucleus sampling (Holtzman et al. 2020): a token stays while the tokens before it, most probable
 * first, hold less than p of the weight. At least one stays; p >= 1 keeps all. */
void filters_top_p(struct candidates *c, float p);
/* Keeps what is at least min_p times as probable as the best (Nguyen et al. 2024). The best always
 * stays: its weight is 1. */
void filters_min_p(struct candidates *c, float min_p);
/* Of the draw that the weights make, in nats. */
double filters_entropy(const struct candidates *c);

#endif
