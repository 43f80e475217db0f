/* rope.h: angles of rotary position embedding, plain and stretched to longer contexts.
 *
 * RoFormer (Su et al. 2021); YaRN (Peng et al. 2023) as DeepSeek uses it; llama3's banded scaling.
 * Frequencies and angles are rounded to f32 as the programs did that trained the weights. */
#ifndef MK_MODEL_ROPE_H
#define MK_MODEL_ROPE_H

#include <stdint.h>

#include "formats/arch.h"

#define MK_MAX_ROPE_PAIRS 512

struct rope {
    int32_t n_pairs;                    /* half of the rotated dimensions */
    float frequency[MK_MAX_ROPE_PAIRS]; /* radians a position, of each pair */
    float magnitude; /* multiplies cosine and sine: YaRN's attention factor; 1 for every release */
};

/* n_dims: rotated dimensions of a head, even. MK_EUNSUPPORTED when there are too many. */
int rope_init(struct rope *r, const struct arch *a, int32_t n_dims, struct mk_error *err);
/* table [n_pairs, 2]: cosine and sine at a position. */
void rope_row(const struct rope *r, int32_t position, float *table);
/* What scores are multiplied with: 1 / sqrt(d), and YaRN's mscale squared where the model says
 * mscale_all_dim. */
float rope_score_scale(const struct arch *a, int32_t d);

#endif
