/* logistic.h: the functions of losses over pairs, also where exp would overflow. */
#ifndef MK_TRAIN_LOGISTIC_H
#define MK_TRAIN_LOGISTIC_H

#include <math.h>

/* log(1 + exp(x)) = -log sigmoid(-x) */
static inline double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static inline double sigmoid(double x)
{
    return exp(-softplus(-x));
}

#endif
