/* teacher.h: who answers the questions that others are to learn from: a model in this process, or
 * an endpoint that speaks OpenAI's chat completions. */
#ifndef MK_DISTILL_TEACHER_H
#define MK_DISTILL_TEACHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "minke.h"

struct teacher_question {
    const char *text;  /* borrowed */
    int64_t number;    /* for messages */
    uint64_t sequence; /* of its first sample; sample k has sequence + k. Keys the draws */
};

/* What it points to lies in the memory that teacher->answer was given. */
struct teacher_answer {
    const char *text; /* [n] and a NUL, tags as text; NULL: not there yet */
    size_t n;
    bool stopped;     /* ended by itself; else the limit cut it */
    int32_t n_tokens; /* 0: the teacher does not say */
    /* [n_ids], the token that ended it included, and those of the prompt; NULL: not told. */
    const int32_t *ids, *prompt;
    int32_t n_ids, n_prompt;
    const float *logprobs; /* [n_logprobs] nats; NULL: not told */
    int32_t n_logprobs;
};

/* Who waits for answers. */
struct teacher_watch {
    bool (*stop)(void *user); /* asked now and then; may be NULL */
    void *stop_user;
    /* Told of answers[index] as soon as it is there, by teachers whose answers cost money; what
     * goes wrong in it ends the asking. */
    int (*received)(void *user, int32_t index, struct mk_error *err);
    void *received_user;
};

struct teacher {
    void *self;
    char name[512];  /* what the file of answers says about who gave them */
    int32_t n_batch; /* questions that are best asked at a time */
    /* Fills answers[n * n_samples], question by question; those whose text is there already are not
     * asked for again. After an error, MK_ECANCELLED included, all that have come are there. */
    int (*answer)(void *self, const struct teacher_question *asked, int32_t n, int32_t n_samples,
                  struct teacher_answer *answers, struct arena *memory,
                  const struct teacher_watch *watch, struct mk_error *err);
    void (*close)(void *self);
};

struct teacher_model_options {
    /* Around a question, see generate/exchange.h; NULL: the model's own chat, or EXCHANGE_FORM
     * where its template is not known. Must outlive the teacher. */
    const char *form;
    int32_t n_slots, n_samples; /* answers at a time; to a question */
    int32_t max_tokens, max_prompt; /* ids of an answer; of the longest prompt */
    enum mk_kv kv;
    struct mk_sampling sampling;
};
/* model is borrowed. */
int teacher_open_model(struct teacher *t, struct mk_model *model,
                       const struct teacher_model_options *o, struct mk_error *err);

struct teacher_endpoint_options {
    const char *url;   /* "http://127.0.0.1:8000/v1"; "/chat/completions" is put behind it */
    const char *model; /* its name there */
    const char *key;   /* a bearer token; NULL: none. Never sent over plain HTTP but to loopback */
    int32_t n_parallel, n_samples; /* answers at a time; to a question */
    int32_t max_tokens;
    struct mk_sampling sampling; /* temperature, top_p, seed */
    bool logprobs;               /* ask for them: not every server knows how */
    int32_t n_tries;             /* of one answer, >= 1 */
    double wait_s, timeout_s;    /* before the second try, then doubled up to a minute; of a try */
};
/* Strings must outlive the teacher. Another try follows a broken or late transfer, 408, 429, 5xx
 * and a reply that is malformed; other failures end the work at once. Redirects are not followed.
 * What the server answers is its own affair: it need not say the same again. MK_EINVAL for an
 * address that is none, and for a key that would go over plain HTTP. */
int teacher_open_endpoint(struct teacher *t, const struct teacher_endpoint_options *o,
                          struct mk_error *err);

#endif
