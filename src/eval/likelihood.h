/* likelihood.h: how probable a model finds ids behind others. For src/eval alone.
 *
 * A prompt is computed once and scored with several continuations; what the next prompt shares with
 * it is kept. One owner. */
#ifndef MK_EVAL_LIKELIHOOD_H
#define MK_EVAL_LIKELIHOOD_H

#include "minke.h"

struct likelihood {
    struct mk_model *m;         /* borrowed */
    struct mk_session *session; /* owned */
    float *logits;              /* owned, [LIKELIHOOD_ROWS, v] */
    float *last;                /* owned, [v]: behind the prompt */
    int32_t n_prompt;           /* 0: there is none, it has to be given (again) */
    size_t n_vocab;
};

#define LIKELIHOOD_ROWS 128 /* whose logits are in memory together */

int  likelihood_open(struct likelihood *l, struct mk_model *m, int32_t context, enum mk_kv kv,
                     struct mk_error *err);
void likelihood_close(struct likelihood *l);
/* The ids [n], n >= 1, that the next calls of likelihood_of stand behind. */
int  likelihood_prompt(struct likelihood *l, const int32_t *ids, size_t n, struct mk_error *err);
/* *sum: log P(ids[from .. n) | ids[0 .. from)), nats; 1 <= from < n. from is n_prompt or, where
 * text and prompt were cut into other tokens together, less; then
 * the prompt has to be given again. ids[0 .. from) are the prompt's. */
int  likelihood_of(struct likelihood *l, const int32_t *ids, size_t n, size_t from, double *sum,
                   struct mk_error *err);

#endif
