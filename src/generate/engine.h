/* engine.h: what stands behind the public mk_model and mk_session. For generate/, and
 * for those who run a scheduler on an open model.
 *
 * A model owns the threads that compute and one lock: steps of different sessions may be asked for
 * from different threads and run one after the other. A session belongs to one thread at a time. */
#ifndef MK_GENERATE_ENGINE_H
#define MK_GENERATE_ENGINE_H

#include <pthread.h>

#include "generate/kv_cache.h"
#include "kernels/kernels.h"
#include "minke.h"
#include "model/forward.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

struct mk_model {
    char *path; /* as given; owned */
    struct model model;
    struct tokenizer *tokenizer;    /* owned; NULL: ids alone */
    const struct chat_format *chat; /* NULL: the template is not known */
    struct compute compute;
    struct arena step;                               /* reset before each step; under the lock */
    pthread_mutex_t lock;                            /* of compute and step */
    unsigned char fingerprint[32]; /* what a saved session must agree with */
};

struct mk_session {
    struct mk_model *model; /* borrowed */
    struct kv_cache cache;
    int32_t *tokens; /* [context] */
    int32_t n_tokens, context, chunk;
    float *logits; /* [v] after the last token, when has_logits */
    bool has_logits;
};

/* Computes seqs of one kv type together, under the model's lock. */
int engine_step(struct mk_model *m, enum dtype kv_dtype, const struct forward_seq *seqs,
                int32_t n_seqs, struct mk_error *err);
enum dtype engine_kv_dtype(enum mk_kv kv);

#endif
