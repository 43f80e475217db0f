/* divergence.h: how far a student's distribution over the next token is from a teacher's, and what
 * that asks of the student's logits.
 *
 *     q = softmax(z / T), p the teacher's at the same temperature
 *     forward       KL(p || q): the student covers all that the teacher may say
 *     reverse       KL(q || p): it says nothing that the teacher would not (MiniLLM, 2306.08543)
 *     generalised   beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q: Jensen and
 *                   Shannon's between the two (GKD, 2306.13649, eq. 3)
 *
 * A teacher may be known by its k most probable tokens alone. What it leaves out counts as one
 * event on both sides, so nothing is scaled up and a student that moves its probability elsewhere
 * pays.
 *
 * Pure functions, in double: the same bits wherever a row is computed. */
#ifndef MK_TRAIN_DIVERGENCE_H
#define MK_TRAIN_DIVERGENCE_H

#include <stdint.h>

enum divergence_kind { DIVERGENCE_FORWARD, DIVERGENCE_REVERSE, DIVERGENCE_GENERALISED };

struct divergence {
    enum divergence_kind kind;
    double beta;        /* of the generalised one, 0 < beta < 1 */
    double temperature; /* > 0 */
};

/* What the teachers say of one position. */
struct teacher_row {
    const int32_t *ids; /* [k] all different; NULL: 0 .. k - 1, and nothing is left out */
    const float *logp;  /* [k] at the temperature */
    int32_t k;          /* 0: nothing is known */
    float rest;         /* log-probability of all others together; with ids alone */
};

/* logits [n_vocab] of the student over the tokens that both know; scratch [2 * n_vocab]. Returns
 * the divergence in nats; gradient [n_vocab] += scale * its derivative by the logits, or NULL. */
double divergence_row(const struct divergence *d, const struct teacher_row *p, const float *logits,
                      int32_t n_vocab, double scale, float *gradient, double *scratch);

#endif
