/* likelihood.c: see likelihood.h. */
#include "eval/likelihood.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

int likelihood_open(struct likelihood *l, struct mk_model *m, int32_t context, enum mk_kv kv,
                    struct mk_error *err)
{
    struct mk_session_options o = mk_session_options_default();
    struct mk_model_info info;

    mk_model_get_info(m, &info);
    *l = (struct likelihood){.m = m, .n_vocab = (size_t)info.n_vocab};
    o.context = context;
    o.kv = kv;
    if (mk_session_open(&l->session, m, &o, err))
        return err->code;
    l->logits = malloc(LIKELIHOOD_ROWS * l->n_vocab * sizeof *l->logits);
    l->last = malloc(l->n_vocab * sizeof *l->last);
    if (l->logits && l->last)
        return 0;
    likelihood_close(l);
    return mk_error_memory(err, LIKELIHOOD_ROWS * l->n_vocab * sizeof *l->logits);
}

void likelihood_close(struct likelihood *l)
{
    mk_session_free(l->session);
    free(l->logits);
    free(l->last);
    *l = (struct likelihood){0};
}

int likelihood_prompt(struct likelihood *l, const int32_t *ids, size_t n, struct mk_error *err)
{
    const int32_t *there = mk_session_tokens(l->session);
    size_t n_there = (size_t)mk_session_position(l->session), same = 0;

    while (same < n_there && same < n - 1 && there[same] == ids[same])
        same++;
    mk_session_truncate(l->session, (int32_t)same);
    if (mk_session_append(l->session, ids + same, n - same, NULL, err))
        return err->code;
    memcpy(l->last, mk_session_logits(l->session), l->n_vocab * sizeof *l->last);
    l->n_prompt = (int32_t)n;
    return 0;
}

/* Behind what the session holds: each of ids[0 .. n - 1) predicts the next. */
static int add(struct likelihood *l, const int32_t *ids, size_t n, double *sum,
               struct mk_error *err)
{
    for (size_t i = 0; i + 1 < n; i += LIKELIHOOD_ROWS) {
        size_t rows = n - 1 - i < LIKELIHOOD_ROWS ? n - 1 - i : LIKELIHOOD_ROWS;

        if (mk_session_append(l->session, ids + i, rows, l->logits, err))
            return err->code;
        for (size_t r = 0; r < rows; r++)
            *sum += (double)mk_logprob(l->m, l->logits + r * l->n_vocab, ids[i + r + 1]);
    }
    return 0;
}

static int check(double sum, struct mk_error *err)
{
    if (isfinite(sum))
        return 0;
    return mk_error_set(err, MK_EFORMAT, "the model gives no number for a log-probability: see "
                        "--check-tensors");
}

int likelihood_of(struct likelihood *l, const int32_t *ids, size_t n, size_t from, double *sum,
                  struct mk_error *err)
{
    *sum = 0;
    if (from == (size_t)l->n_prompt) {
        *sum = (double)mk_logprob(l->m, l->last, ids[from]);
        mk_session_truncate(l->session, l->n_prompt);
        return add(l, ids + from, n - from, sum, err) ? err->code : check(*sum, err);
    }
    mk_session_truncate(l->session, (int32_t)from - 1);
    if (add(l, ids + from - 1, n - from + 1, sum, err))
        return err->code;
    l->n_prompt = 0;
    return check(*sum, err);
}
