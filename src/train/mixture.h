/* mixture.h: which source the next sequence comes from, and which of its sequences.
 *
 * Weights are piecewise linear in the tokens seen so far (a portfolio over time); a source is drawn
 * in proportion to them by a number keyed by (seed, step) alone, and its sequences follow in an
 * order that is shuffled anew each epoch. So `struct mixture_state` is all that a resumed run
 * needs to go on exactly. One owner. */
#ifndef MK_TRAIN_MIXTURE_H
#define MK_TRAIN_MIXTURE_H

#include <stdint.h>

#include "base/error.h"

#define MIXTURE_MAX_SOURCES 64
#define MIXTURE_MAX_POINTS 32

struct mixture_point { int64_t tokens; double weight; }; /* weight >= 0 */

struct mixture_source {
    const char *name;                 /* borrowed; for messages */
    int64_t n_sequences;              /* >= 1 */
    int n_points;                     /* >= 1 */
    /* ascending in tokens; before the first and behind the last the weight stays */
    struct mixture_point points[MIXTURE_MAX_POINTS];
};

/* Integers and sums; may be written to a file as it is. */
struct mixture_counter {
    int64_t n_drawn;                  /* sequences */
    int64_t n_tokens;                 /* trained on */
    int64_t n_loss;                   /* tokens with a loss */
    double loss_sum;                  /* of their losses */
};
struct mixture_state {
    int64_t step, n_tokens;           /* sequences drawn, tokens trained on, over all sources */
    struct mixture_counter sources[MIXTURE_MAX_SOURCES];
};

struct mixture {
    uint64_t seed;
    int n_sources;
    struct mixture_source sources[MIXTURE_MAX_SOURCES];
    struct mixture_state state;       /* {0} at the start of a run */
};

/* Every source is sound, and at every number of tokens some weight is above 0. */
int mixture_check(const struct mixture *m, struct mk_error *err);
/* weights [n_sources] sum to 1. */
void mixture_weights(const struct mixture *m, int64_t tokens, double *weights);

/* The mean of points [n], n >= 1, over tokens 0 .. `tokens`; tokens >= 1. */
double mixture_mean_weight(const struct mixture_point *points, int n, int64_t tokens);

struct mixture_draw {
    int source;
    int64_t sequence;                 /* 0..n_sequences-1 of the source */
    int64_t epoch;                    /* of the source, from 0 */
};
/* Moves on by one step. */
struct mixture_draw mixture_next(struct mixture *m);
/* After training on a sequence of the source: tokens move the schedule on. */
void mixture_count(struct mixture *m, int source, int64_t n_tokens, double loss_sum,
                   int64_t n_loss);
/* Passes over a source, whole and part. */
double mixture_epochs(const struct mixture *m, int source);
/* Mean loss; 0 before the first token. */
double mixture_loss(const struct mixture *m, int source);

#endif
