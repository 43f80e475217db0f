/* request.c: one answer being generated: sample, decode, look for stops, part the thought from the
 * answer.
 *
 * The last sampled token is computed only when the next one is asked for: an answer that ends costs
 * no step for its end token, and a request that is dropped leaves the session at a whole step. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "generate/engine.h"
#include "generate/logprobs.h"
#include "generate/sampler.h"
#include "generate/sampling_options.h"
#include "generate/stops.h"
#include "generate/thought.h"

#define MAX_TEXT_BYTES ((size_t)1 << 30)

struct mk_request {
    struct mk_session *session; /* borrowed */
    struct mk_generate_options o;
    int32_t *stop_ids, n_stop_ids; /* the caller's and the model's own; owned */
    int32_t *bias_ids;             /* owned copies of the sampling options' lists */
    float *bias_values;
    char *stop_texts[MK_MAX_STOPS]; /* owned */
    struct sampler sampler;
    struct decoder decoder;
    struct thought thought;
    struct stops stops;
    struct buf decoded, reasoning, answer, text; /* of one step */
    struct mk_token_logprob top[MK_MAX_TOP_LOGPROBS];
    int32_t n_prompt, n_generated;
    int32_t pending; /* sampled, not yet in the session; -1: none */
    enum mk_finish finish;
};

struct mk_generate_options mk_generate_options_default(void)
{
    return (struct mk_generate_options){.sampling = mk_sampling_default(), .top_logprobs = -1};
}

struct mk_sampling mk_sampling_of_model(const struct mk_model *m)
{
    struct mk_sampling s = mk_sampling_default();
    const struct arch *a = &m->model.arch;

    if (a->temperature >= 0)
        s.temperature = (float)a->temperature;
    if (a->top_p > 0)
        s.top_p = (float)a->top_p;
    if (a->top_k > 0)
        s.top_k = a->top_k;
    return s;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int copy_list(void *copy, const void *list, int32_t n, size_t size, struct mk_error *err)
{
    void *p = calloc((size_t)n + 1, size);

    if (!p)
        return mk_error_memory(err, (size_t)n * size);
    if (n > 0)
        memcpy(p, list, (size_t)n * size);
    memcpy(copy, &p, sizeof p);
    return 0;
}

/* Everything the options point to is copied: the caller may forget it after mk_request_open. */
static int copy_options(struct mk_request *r, const struct mk_generate_options *o,
                        struct mk_error *err)
{
    r->o = *o;
    if (o->n_stops < 0 || o->n_stops > MK_MAX_STOPS || o->n_stop_ids < 0 ||
        o->sampling.n_bias < 0 || o->top_logprobs > MK_MAX_TOP_LOGPROBS || o->max_tokens < 0)
        return mk_error_set(err, MK_EINVAL,
                            "at most %d stop strings and %d alternatives a token are possible, and "
                            "no count may be negative",
                            MK_MAX_STOPS, MK_MAX_TOP_LOGPROBS);
    if (copy_list(&r->bias_ids, o->sampling.bias_ids, o->sampling.n_bias, sizeof *r->bias_ids,
                  err) ||
        copy_list(&r->bias_values, o->sampling.bias_values, o->sampling.n_bias,
                  sizeof *r->bias_values, err))
        return err->code;
    r->o.sampling.bias_ids = r->bias_ids;
    r->o.sampling.bias_values = r->bias_values;
    for (int32_t i = 0; i < o->n_stops; i++) {
        r->stop_texts[i] = strdup(o->stops[i] ? o->stops[i] : "");
        if (!r->stop_texts[i])
            return mk_error_memory(err, strlen(o->stops[i]));
    }
    return stops_init(&r->stops, (const char *const *)r->stop_texts, o->n_stops, err);
}

static int gather_stop_ids(struct mk_request *r, struct mk_error *err)
{
    const struct arch *a = &r->session->model->model.arch;
    const struct tokenizer *t = r->session->model->tokenizer;
    int32_t n = r->o.n_stop_ids;

    r->stop_ids = calloc((size_t)n + (size_t)a->n_eos_ids + 1, sizeof *r->stop_ids);
    if (!r->stop_ids)
        return mk_error_memory(err, (size_t)n * sizeof *r->stop_ids);
    if (n > 0)
        memcpy(r->stop_ids, r->o.stop_ids, (size_t)n * sizeof *r->stop_ids);
    if (!r->o.ignore_eos) {
        for (int32_t i = 0; i < a->n_eos_ids; i++)
            r->stop_ids[n++] = a->eos_ids[i];
        if (t && tokenizer_vocab(t)->eos_id >= 0)
            r->stop_ids[n++] = tokenizer_vocab(t)->eos_id;
    }
    r->n_stop_ids = n;
    return 0;
}

/* Brings the session to the prompt: keeps what they share, computes the rest. At least the last
 * token is computed, because its logits are needed. */
static int take_prompt(struct mk_request *r, const int32_t *ids, size_t n_ids, struct mk_error *err)
{
    struct mk_session *s = r->session;
    int32_t shared = 0;

    if (n_ids == 0 || n_ids > (size_t)s->context)
        return mk_error_set(err, n_ids ? MK_ELIMIT : MK_EINVAL,
                            "a prompt of %zu tokens: expected 1 to the context of %d", n_ids,
                            s->context);
    while (shared < s->n_tokens && (size_t)shared < n_ids && s->tokens[shared] == ids[shared])
        shared++;
    if ((size_t)shared == n_ids && !(shared == s->n_tokens && s->has_logits))
        shared--;
    mk_session_truncate(s, shared);
    return mk_session_append(s, ids + shared, n_ids - (size_t)shared, NULL, err);
}

static int request_init(struct mk_request *r, struct mk_session *s, const int32_t *ids,
                        size_t n_ids, const struct mk_generate_options *o, struct mk_error *err)
{
    int32_t v = s->model->model.arch.n_vocab;

    r->session = s;
    r->pending = -1;
    buf_init(&r->decoded, MAX_TEXT_BYTES);
    buf_init(&r->reasoning, MAX_TEXT_BYTES);
    buf_init(&r->answer, MAX_TEXT_BYTES);
    buf_init(&r->text, MAX_TEXT_BYTES);
    thought_init(&r->thought, o->split_thought, o->in_thought);
    if (copy_options(r, o, err) || sampling_check(&r->o.sampling, v, err) ||
        gather_stop_ids(r, err) || sampler_init(&r->sampler, v, err))
        return err->code;
    if (s->model->tokenizer)
        decoder_init(&r->decoder, s->model->tokenizer, false);
    else if (o->n_stops > 0)
        return mk_error_set(err, MK_EINVAL, "stop strings need a tokenizer, %s has none",
                            s->model->path);
    return take_prompt(r, ids, n_ids, err);
}

int mk_request_open(struct mk_request **request, struct mk_session *session, const int32_t *ids,
                    size_t n_ids, const struct mk_generate_options *options, struct mk_error *err)
{
    struct mk_request *r = calloc(1, sizeof *r);

    *request = NULL;
    if (!r)
        return mk_error_memory(err, sizeof *r);
    if (request_init(r, session, ids, n_ids, options, err)) {
        mk_request_free(r);
        return err->code;
    }
    r->n_prompt = session->n_tokens;
    *request = r;
    return 0;
}

void mk_request_free(struct mk_request *r)
{
    if (!r)
        return;
    for (int i = 0; i < MK_MAX_STOPS; i++)
        free(r->stop_texts[i]);
    free(r->bias_ids);
    free(r->bias_values);
    free(r->stop_ids);
    sampler_release(&r->sampler);
    thought_release(&r->thought);
    stops_release(&r->stops);
    buf_release(&r->decoded);
    buf_release(&r->reasoning);
    buf_release(&r->answer);
    buf_release(&r->text);
    free(r);
}

/* ---- Steps ---------------------------------------------------------------------------------- */

/* What is subtracted from every logit of the row. */
static float row_sum(struct mk_model *m, const float *logits)
{
    float sum;

    pthread_mutex_lock(&m->lock);
    sum = logprobs_sum(&m->compute, logits, m->model.arch.n_vocab);
    pthread_mutex_unlock(&m->lock);
    return sum;
}

float mk_logprob(struct mk_model *m, const float *logits, int32_t id)
{
    return logprobs_of(logits, row_sum(m, logits), id);
}

static void take_logprobs(struct mk_request *r, struct mk_token *token)
{
    struct mk_model *m = r->session->model;
    const float *logits = r->session->logits;
    float sum;

    if (r->o.top_logprobs < 0)
        return;
    sum = row_sum(m, logits);
    token->logprob = logprobs_of(logits, sum, token->id);
    token->n_top = logprobs_top(logits, m->model.arch.n_vocab, sum, r->o.top_logprobs, r->top);
    token->top = r->top;
}

static bool is_stop_id(const struct mk_request *r, int32_t id)
{
    for (int32_t i = 0; i < r->n_stop_ids; i++)
        if (r->stop_ids[i] == id)
            return true;
    return false;
}

/* decoded -> reasoning and text. Stop strings are looked for in the answer, not in the thought. */
static int sort_text(struct mk_request *r, bool last, struct mk_error *err)
{
    bool stopped = false;

    buf_clear(&r->answer);
    if (thought_push(&r->thought, r->decoded.n ? r->decoded.data : "", r->decoded.n, &r->reasoning,
                     &r->answer, err) ||
        (last && thought_finish(&r->thought, &r->reasoning, &r->answer, err)) ||
        stops_push(&r->stops, r->answer.n ? r->answer.data : "", r->answer.n, &r->text, &stopped,
                   err))
        return err->code;
    if (stopped)
        r->finish = MK_FINISH_STOP;
    else if (last && stops_finish(&r->stops, &r->text, err))
        return err->code;
    return 0;
}

/* Text of a token; with `last` also all that was held back. */
static int take_text(struct mk_request *r, int32_t id, bool is_text, struct mk_token *token,
                     struct mk_error *err)
{
    const struct tokenizer *t = r->session->model->tokenizer;
    bool last = r->finish != MK_RUNNING;

    buf_clear(&r->decoded);
    buf_clear(&r->reasoning);
    buf_clear(&r->text);
    token->text = token->reasoning = "";
    if (!t)
        return 0;
    is_text = is_text && id < tokenizer_vocab(t)->n_tokens; /* padding rows say nothing */
    if ((is_text && decoder_push(&r->decoder, id, &r->decoded, err)) ||
        (last && decoder_finish(&r->decoder, &r->decoded, err)) || sort_text(r, last, err))
        return err->code;
    token->text = r->text.n ? r->text.data : "";
    token->reasoning = r->reasoning.n ? r->reasoning.data : "";
    return 0;
}

/* The token sampled last becomes part of the session: that computes the logits of the next one. */
static int commit_pending(struct mk_request *r, struct mk_error *err)
{
    if (r->pending < 0)
        return 0;
    if (mk_session_append(r->session, &r->pending, 1, NULL, err))
        return err->code;
    r->pending = -1;
    return 0;
}

int mk_request_step(struct mk_request *r, struct mk_token *token, enum mk_finish *finish,
                    struct mk_error *err)
{
    struct mk_session *s = r->session;
    struct past past;
    bool stop_id;

    *token = (struct mk_token){.id = -1, .text = "", .reasoning = ""};
    *finish = r->finish;
    if (r->finish != MK_RUNNING)
        return 0;
    if (commit_pending(r, err))
        return err->code;
    if (!s->has_logits)
        return mk_error_set(err, MK_EINVAL, "the session was truncated: open a new request");
    past = (struct past){.ids = s->tokens, .n_ids = s->n_tokens, .counted_from = r->n_prompt};
    if (sampler_choose(&r->sampler, s->logits, &past, &r->o.sampling, 0, (uint64_t)s->n_tokens,
                       &token->id, err))
        return err->code;
    take_logprobs(r, token);
    r->n_generated++;
    stop_id = is_stop_id(r, token->id);
    if (stop_id)
        r->finish = MK_FINISH_STOP;
    else if ((r->o.max_tokens && r->n_generated >= r->o.max_tokens) ||
             s->n_tokens + 1 >= s->context)
        r->finish = MK_FINISH_LENGTH;
    r->pending = stop_id ? -1 : token->id;
    if (take_text(r, token->id, !stop_id, token, err))
        return err->code;
    *finish = r->finish;
    return 0;
}
