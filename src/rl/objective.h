/* objective.h: from rewards to what each token of a rollout counts for: advantages, policy
 * gradients with clipping, KL to a reference.
 *
 * One group: G answers to one question. The loss of a step is written as
 *
 *     L = sum over answers i, tokens t of  n_it * ( l_it + beta * KL_it )
 *
 * with l_it the policy term, n_it the normalisation. What training needs of it is dL / d log pi_it,
 * a number a token: the backward pass multiplies it with the gradient of the log-probability.
 *
 *   kind     policy term l_it, r_it = pi / pi_old                                    source
 *   grpo     -min(r A, clip(r, 1 - low, 1 + high) A)                   DeepSeekMath, eq. 3
 *   dr_grpo  the same; A without std, constant length                  Liu et al. 2025
 *   dapo     the same; high > low, all tokens of the step              Yu et al. 2025, eq. 8
 *   gspo     -min(s A, clip(s) A), s = exp(mean_t log r_it)            Zheng et al. 2025, eq. 5
 *   cispo    -[clip(r, 1 - low, 1 + high)] A log pi, [.] a constant    MiniMax-M1, eq. 4
 *
 * Pure functions of numbers; no memory, no state. */
#ifndef MK_RL_OBJECTIVE_H
#define MK_RL_OBJECTIVE_H

#include <stdbool.h>
#include <stdint.h>

enum objective_kind {
    OBJECTIVE_GRPO,
    OBJECTIVE_DR_GRPO,
    OBJECTIVE_DAPO,
    OBJECTIVE_GSPO,
    OBJECTIVE_CISPO
};
enum objective_norm {
    OBJECTIVE_NORM_SEQUENCE, /* 1 / (answers * |o_i|) */
    OBJECTIVE_NORM_TOKEN,    /* 1 / tokens of all answers */
    OBJECTIVE_NORM_CONSTANT  /* 1 / (answers * constant) */
};
/* k3: pi_ref / pi - log(pi_ref / pi) - 1 (DeepSeekMath, eq. 4); unbiased: that times pi / mu, mu
 * the sampler's probability (V3.2). */
enum objective_kl { OBJECTIVE_KL_K3, OBJECTIVE_KL_UNBIASED };

struct objective {
    enum objective_kind kind;
    enum objective_norm norm;
    double constant;            /* of OBJECTIVE_NORM_CONSTANT, tokens */
    bool divide_by_std;         /* advantages */
    double clip_low, clip_high; /* 1 - low .. 1 + high; both 0: no clipping */
    double beta;                /* of the KL term; 0: none */
    enum objective_kl kl;
    /* Where sampler and trainer do not agree to the bit: each token counts min(pi_old / mu, cap)
     * times, mu the sampler's probability (gspo: the answer's mean ratio); 0: no correction. */
    double importance_cap;
    /* Answers with A < 0 and mean_t log(mu / pi) > delta are left out (V3.2); 0: none. */
    double mask_delta;
};
/* What the paper of each kind says; clip 0.2 and 0.2, 0.2 and 0.28, or 3e-4 and 4e-4. */
struct objective objective_defaults(enum objective_kind kind);

/* reward [n] -> advantage [n]: reward - mean, divided by the population's standard deviation + 1e-6
 * when asked for; exactly 0 when all are equal. */
void objective_advantages(const double *reward, int32_t n, bool divide_by_std, double *advantage);
/* Whether a group teaches anything: its rewards are not all equal. */
bool objective_is_live(const double *reward, int32_t n);

/* One answer. All arrays [n]; nats. */
struct objective_answer {
    int32_t n;
    double advantage;
    const float *logp;    /* log pi: of the weights that are being trained */
    const float *old;     /* log pi_old: of the weights before the step */
    const float *sampled; /* log mu: the sampler's; equal to `old` in exact runs. NULL: equal */
    const float *ref;     /* log pi_ref, or NULL without KL */
    const bool *counts;   /* false: the token was not drawn from the policy; NULL: all were */
};

/* The step's totals, for the normalisation. */
struct objective_scope {
    int32_t n_answers;
    int64_t n_tokens; /* that count */
};

/* What came of one answer. */
struct objective_sums {
    double loss, kl;   /* their share of L; kl without beta: sum of n_it KL_it */
    int64_t n_clipped; /* tokens whose gradient the clipping removed (gspo: of whole answers) or
                          bounded (cispo) */
    bool masked;
};

/* gradient [n]: dL / d logp, 0 where a token does not count. */
struct objective_sums objective_gradient(const struct objective *o, const struct objective_scope *s,
                                         const struct objective_answer *a, float *gradient);

#endif
