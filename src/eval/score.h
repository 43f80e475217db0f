/* score.h: from verdicts to scores, each with its standard error. Pure functions and a list. */
#ifndef MK_EVAL_SCORE_H
#define MK_EVAL_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "verify/text_span.h"

/* The chance that of k answers drawn from n, c of which are right, at least one is: without bias
 * 1 - C(n - c, k) / C(n, k) (Chen et al., "Evaluating Large Language Models Trained on Code", 2021,
 * equation 1). 0 <= c <= n, 1 <= k <= n. */
double score_pass(int32_t n, int32_t c, int32_t k);

/* The answer that most of them give: the index of its first one, among equals the class whose first
 * one came first. Spans with at NULL are no answers and have no vote; -1 when there is none. */
int32_t score_majority(const struct text_span *answers, int32_t n,
                       bool (*same)(struct text_span a, struct text_span b));

/* ---- Means ----------------------------------------------------------------------------------- */

/* A number a question, such as whether it was answered rightly. */
struct series {
    char name[32];
    double *values; /* [n] owned */
    int64_t n, capacity;
};
#define SCORE_MAX_SERIES 16
struct score_table { /* start from {0} */
    struct series series[SCORE_MAX_SERIES];
    int32_t n;
};
void score_release(struct score_table *t);
/* Adds a value to the series of this name, which is made when it is not there. */
int  score_add(struct score_table *t, const char *name, double value, struct mk_error *err);
const struct series *score_find(const struct score_table *t, const char *name); /* or NULL */

struct estimate {
    double value, error; /* error: the standard error; NaN where it cannot be told (n < 2) */
    int64_t n;
};
/* The mean; its error is the standard deviation (n - 1) over sqrt(n), lm-evaluation-harness's. */
struct estimate score_mean(const double *values, int64_t n);
/* sum(a) / sum(b) over n parts, such as nats over bytes of windows; its error by linearisation. */
struct estimate score_ratio(const double *a, const double *b, int64_t n);

#endif
