/* session.c: one mutable timeline: its tokens, its cache, and the logits after the last token.
 *
 * A prompt is cut into chunks to bound the memory of a step; the numbers do not depend on the cut.
 * A failed append leaves the session as it was. */
#include <stdlib.h>
#include <string.h>

#include "generate/engine.h"

#define DEFAULT_CONTEXT 4096
#define DEFAULT_CHUNK 512

struct mk_session_options mk_session_options_default(void)
{
    return (struct mk_session_options){.kv = MK_KV_F32};
}

enum dtype engine_kv_dtype(enum mk_kv kv)
{
    return kv == MK_KV_BF16 ? MK_BF16 : kv == MK_KV_I8 ? MK_I8 : MK_F32;
}

int engine_step(struct mk_model *m, enum dtype kv_dtype, const struct forward_seq *seqs,
                int32_t n_seqs, struct mk_error *err)
{
    int code;

    pthread_mutex_lock(&m->lock);
    arena_reset(&m->step);
    code = model_forward(&m->model, &m->compute, &m->step, kv_dtype, seqs, n_seqs, NULL, err);
    pthread_mutex_unlock(&m->lock);
    return code;
}

static int check_options(const struct mk_model *m, const struct mk_session_options *o,
                         int32_t *context, struct mk_error *err)
{
    int32_t max = m->model.arch.max_context;

    if (o->context < 0 || o->chunk < 0 || o->chunk > 65536)
        return mk_error_set(
            err, MK_EINVAL,
            "context %d, chunk %d: expected 0 for the default, or a positive number "
            "(chunk at most 65536)",
            o->context, o->chunk);
    if (max > 0 && o->context > max)
        return mk_error_set(err, MK_ELIMIT, "context %d is more than the model's %d tokens",
                            o->context, max);
    *context = o->context ? o->context : max > 0 && max < DEFAULT_CONTEXT ? max : DEFAULT_CONTEXT;
    return 0;
}

int mk_session_open(struct mk_session **session, struct mk_model *model,
                    const struct mk_session_options *options, struct mk_error *err)
{
    struct mk_session *s = calloc(1, sizeof *s);
    int32_t context = 0;

    *session = NULL;
    if (!s)
        return mk_error_memory(err, sizeof *s);
    s->model = model;
    if (check_options(model, options, &context, err) ||
        kv_cache_init(&s->cache, model_cache_layers(&model->model), model_row_dim(&model->model),
                      context, engine_kv_dtype(options->kv), err)) {
        free(s);
        return err->code;
    }
    s->context = context;
    s->chunk = options->chunk ? options->chunk : DEFAULT_CHUNK;
    s->tokens = calloc((size_t)context, sizeof *s->tokens);
    s->logits = calloc((size_t)model->model.arch.n_vocab, sizeof *s->logits);
    if (!s->tokens || !s->logits) {
        mk_session_free(s);
        return mk_error_memory(err, (size_t)context * sizeof *s->tokens);
    }
    *session = s;
    return 0;
}

void mk_session_free(struct mk_session *s)
{
    if (!s)
        return;
    kv_cache_release(&s->cache);
    free(s->tokens);
    free(s->logits);
    free(s);
}

int32_t mk_session_position(const struct mk_session *s)
{
    return s->n_tokens;
}

const int32_t *mk_session_tokens(const struct mk_session *s)
{
    return s->tokens;
}

const float *mk_session_logits(const struct mk_session *s)
{
    return s->has_logits ? s->logits : NULL;
}

void mk_session_truncate(struct mk_session *s, int32_t n)
{
    if (n < 0)
        n = 0;
    if (n >= s->n_tokens)
        return;
    s->n_tokens = n;
    s->has_logits = false;
    kv_cache_truncate(&s->cache, n);
}

static int check_room(const struct mk_session *s, size_t n, struct mk_error *err)
{
    if (n <= (size_t)(s->context - s->n_tokens))
        return 0;
    return mk_error_set(err, MK_ELIMIT,
                        "%zu tokens do not fit behind %d in a context of %d: use a larger context",
                        n, s->n_tokens, s->context);
}

/* One chunk. logits [n, v] or NULL; the last row always lands in the session. */
static int append_chunk(struct mk_session *s, const int32_t *ids, int32_t n, float *logits,
                        struct mk_error *err)
{
    size_t v = (size_t)s->model->model.arch.n_vocab;
    struct forward_seq seq = {.ids = ids,
                              .n_ids = n,
                              .position = s->n_tokens,
                              .kv = s->cache.layers,
                              .logits = logits ? logits : s->logits,
                              .n_logits = logits ? n : 1};

    if (engine_step(s->model, s->cache.dtype, &seq, 1, err))
        return err->code;
    if (logits)
        memcpy(s->logits, logits + (size_t)(n - 1) * v, v * sizeof *logits);
    memcpy(s->tokens + s->n_tokens, ids, (size_t)n * sizeof *ids);
    s->n_tokens += n;
    s->cache.n_rows = s->n_tokens;
    return 0;
}

int mk_session_append(struct mk_session *s, const int32_t *ids, size_t n, float *logits,
                      struct mk_error *err)
{
    int32_t before = s->n_tokens;
    size_t v = (size_t)s->model->model.arch.n_vocab;

    if (n == 0)
        return 0;
    if (check_room(s, n, err))
        return err->code;
    s->has_logits = false;
    for (size_t i = 0; i < n; i += (size_t)s->chunk) {
        int32_t rows = n - i < (size_t)s->chunk ? (int32_t)(n - i) : s->chunk;

        if (append_chunk(s, ids + i, rows, logits ? logits + i * v : NULL, err)) {
            mk_session_truncate(s, before);
            return err->code;
        }
    }
    s->has_logits = true;
    return 0;
}

static int check_step(struct mk_session *const *sessions, size_t n, struct mk_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (sessions[i]->model != sessions[0]->model ||
            sessions[i]->cache.dtype != sessions[0]->cache.dtype)
            return mk_error_set(err, MK_EINVAL,
                                "sessions of one step must share their model and cache format");
        for (size_t j = 0; j < i; j++)
            if (sessions[i] == sessions[j])
                return mk_error_set(err, MK_EINVAL, "a session may stand only once in a step");
        if (check_room(sessions[i], 1, err))
            return err->code;
    }
    return 0;
}

int mk_sessions_step(struct mk_session *const *sessions, const int32_t *ids, size_t n_sessions,
                     struct mk_error *err)
{
    struct forward_seq *seqs;
    int code;

    if (n_sessions == 0)
        return 0;
    if (check_step(sessions, n_sessions, err))
        return err->code;
    seqs = calloc(n_sessions, sizeof *seqs);
    if (!seqs)
        return mk_error_memory(err, n_sessions * sizeof *seqs);
    for (size_t i = 0; i < n_sessions; i++) {
        sessions[i]->has_logits = false;
        seqs[i] = (struct forward_seq){.ids = &ids[i],
                                       .n_ids = 1,
                                       .position = sessions[i]->n_tokens,
                                       .kv = sessions[i]->cache.layers,
                                       .logits = sessions[i]->logits,
                                       .n_logits = 1};
    }
    code =
        engine_step(sessions[0]->model, sessions[0]->cache.dtype, seqs, (int32_t)n_sessions, err);
    for (size_t i = 0; i < n_sessions && !code; i++) {
        struct mk_session *s = sessions[i];

        s->tokens[s->n_tokens++] = ids[i];
        s->cache.n_rows = s->n_tokens;
        s->has_logits = true;
    }
    free(seqs);
    return code;
}
