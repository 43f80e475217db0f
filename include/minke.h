/* minke.h: run DeepSeek-family language models.
 *
 * The whole interface of libminke, simple things first. A *model* is read-only, owns the threads
 * that compute, and may be shared. A *session* is one mutable timeline with its cache: the tokens
 * so far and what attention remembers of them. A *request* is one answer being generated in a
 * session. Different sessions may be used from different threads, their steps run one after the
 * other; one session belongs to one thread at a time.
 *
 *     struct mk_error err;
 *     struct mk_model *model;
 *     struct mk_model_options mo = mk_model_options_default();
 *     if (mk_model_open(&model, "model.gguf", &mo, &err))
 *         fprintf(stderr, "%s\n", err.text);
 *
 * Functions that can fail return 0 or a negative MK_E* code and fill `err`, which must not be NULL.
 * The library never prints, exits or aborts. Strings are UTF-8. Pointers returned by getters are
 * borrowed and live as long as their owner.
 *
 * Same bits: the numbers of a token depend on the model, the options and the tokens before it; not
 * on threads, not on what else is computed, not on how the prompt was cut into chunks. */
#ifndef MINKE_H
#define MINKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MK_VERSION "0.1.0"

/* ---- Errors ---------------------------------------------------------------------------------- */

/* name, code, meaning */
#define MK_ERRORS(X)                                                                               \
    X(MK_EINVAL, -1, "an argument is out of its range")                                            \
    X(MK_EFORMAT, -2, "a file is damaged or not of the kind expected")                             \
    X(MK_EUNSUPPORTED, -3, "the file is sound but of a kind minke does not know")                  \
    X(MK_EIO, -4, "the system refused to read or write")                                           \
    X(MK_ENOTFOUND, -5, "there is no such file, model or name")                                    \
    X(MK_EMEMORY, -6, "memory is out")                                                             \
    X(MK_ELIMIT, -7, "a limit would be passed")                                                    \
    X(MK_ENETWORK, -8, "the network or a server failed")                                           \
    X(MK_ECANCELLED, -9, "the caller asked to stop")                                               \
    X(MK_EINTERNAL, -10, "a mistake of minke's own")

enum mk_status {
    MK_OK = 0,
#define X(name, code, text) name = code,
    MK_ERRORS(X)
#undef X
};

struct mk_error {
    int code;       /* MK_E* */
    char text[768]; /* one English sentence: what, where, what to do */
};

/* "MK_EFORMAT" for -2. */
const char *mk_status_name(int code);

/* ---- Models ---------------------------------------------------------------------------------- */

enum mk_numerics {
    MK_EXACT, /* one form of attention for prefill, decode and training: a cached token equals a
                 recomputed one */
    MK_FAST   /* may prefill expanded and decode absorbed */
};
enum mk_mla { MK_MLA_AUTO, MK_MLA_ABSORBED, MK_MLA_EXPANDED }; /* AUTO: absorbed */
enum mk_kv { MK_KV_F32, MK_KV_BF16, MK_KV_I8 };                /* number format of cached rows */

struct mk_model_options {
    int32_t n_threads; /* 0: one a core */
    const char *cpu;   /* "ref", "avx2", "avx512" lower the machine; NULL: the best it has */
    enum mk_numerics numerics;
    enum mk_mla mla;
    bool with_mtp;      /* load the multi-token-prediction block too, when the file has one */
    bool check_tensors; /* refuse NaN and infinity in weights (reads every value) */
    /* Called while loading, with bytes of the file; a return other than 0 cancels. May be NULL. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
};
struct mk_model_options mk_model_options_default(void);

struct mk_model;
/* path: a folder with config.json and safetensors, a .gguf file. Weights are packed once while they
 * are read; the file is not needed in memory afterwards. Errors name the file, the tensor or field.
 */
int mk_model_open(struct mk_model **model, const char *path, const struct mk_model_options *options,
                  struct mk_error *err);
void mk_model_free(struct mk_model *model); /* after its sessions; NULL is allowed */

struct mk_model_info {
    const char *path, *architecture; /* "deepseek_v3" */
    const char *cpu; /* kernel variant in use: the same model on another may differ in bits */
    const char *chat_format; /* "deepseek-r1"; NULL when the template is not known */
    bool has_tokenizer;
    int32_t n_layers, d_model, n_heads, n_kv_heads, n_vocab, max_context, n_mtp;
    uint64_t n_params, n_params_active; /* active: what one token is multiplied with, embedding and
                                           head included */
    uint64_t weight_bytes;              /* packed, in memory */
    uint64_t kv_values_per_token;       /* numbers in the cache, all layers */
    uint64_t mha_values_per_token;      /* what multi-head attention of the same shape would keep */
    int32_t bos_id, eos_id;             /* -1: none */
};
void mk_model_get_info(const struct mk_model *model, struct mk_model_info *info);

/* ---- Tokens ---------------------------------------------------------------------------------- */

/* Ids of text[n]; *ids is malloc'ed, the caller frees it. specials: texts such as "<|im_end|>"
 * become control tokens; leave it off for anything a user typed. add_bos: put the model's BOS in
 * front when it wants one. */
int mk_tokenize(const struct mk_model *model, const char *text, size_t n, bool specials,
                bool add_bos, int32_t **ids, size_t *n_ids, struct mk_error *err);
/* Text of ids, malloc'ed and NUL-terminated; *n bytes. Whole UTF-8 characters only. */
int mk_detokenize(const struct mk_model *model, const int32_t *ids, size_t n_ids, bool specials,
                  char **text, size_t *n, struct mk_error *err);

struct mk_tool_call {
    const char *id, *name, *arguments;
};
struct mk_message {
    const char *role;      /* "system", "user", "assistant", "tool" */
    const char *content;   /* may be NULL with tool calls */
    const char *reasoning; /* of an assistant, or NULL */
    const struct mk_tool_call *tool_calls;
    int32_t n_tool_calls;
    const char *name, *tool_call_id;
};
enum mk_think { MK_THINK_AUTO, MK_THINK_ON, MK_THINK_OFF };

struct mk_chat {
    const struct mk_message *messages;
    int32_t n_messages;
    const char *tools_json; /* OpenAI-style array, or NULL */
    enum mk_think think;
};
/* The prompt of a conversation, ready for the assistant's answer. *in_thought: the answer begins
 * inside a thought. */
int mk_chat_encode(const struct mk_model *model, const struct mk_chat *chat, int32_t **ids,
                   size_t *n_ids, bool *in_thought, struct mk_error *err);

/* ---- Sessions -------------------------------------------------------------------------------- */

struct mk_session_options {
    int32_t context; /* tokens the cache can hold; 0: the model's own maximum, at most 4096 */
    enum mk_kv kv;
    int32_t chunk; /* prompt tokens a step; 0: 512. Changes speed and memory, never the numbers */
};
struct mk_session_options mk_session_options_default(void);

struct mk_session;
int mk_session_open(struct mk_session **session, struct mk_model *model,
                    const struct mk_session_options *options, struct mk_error *err);
void mk_session_free(struct mk_session *session);
int32_t mk_session_position(const struct mk_session *session); /* tokens in the cache */
/* The tokens in the cache; borrowed until the session changes. */
const int32_t *mk_session_tokens(const struct mk_session *session);
/* Forgets everything at position >= n. */
void mk_session_truncate(struct mk_session *session, int32_t n);
/* Appends tokens and computes them. logits: [n, n_vocab] floats for every appended token, or NULL.
 */
int mk_session_append(struct mk_session *session, const int32_t *ids, size_t n, float *logits,
                      struct mk_error *err);
/* Logits [n_vocab] after the last token; borrowed until the session changes. NULL when it is empty.
 */
const float *mk_session_logits(const struct mk_session *session);
/* Natural log-probability of token id under logits [n_vocab] of this model, at temperature 1. */
float mk_logprob(struct mk_model *model, const float *logits, int32_t id);
/* One step for many sessions of one model: appends ids[i] to sessions[i]. Each result is what it
 * would be alone. */
int mk_sessions_step(struct mk_session *const *sessions, const int32_t *ids, size_t n_sessions,
                     struct mk_error *err);
/* A checksummed file that only the same model and options restore. */
int mk_session_save(const struct mk_session *session, const char *path, struct mk_error *err);
int mk_session_restore(struct mk_session *session, const char *path, struct mk_error *err);

/* ---- Generation ------------------------------------------------------------------------------ */

struct mk_sampling {
    float temperature;                         /* 0: greedy, exact argmax, ties to the lowest id */
    int32_t top_k;                             /* 0: off */
    float top_p, min_p;                        /* 1, 0: off */
    float repetition_penalty;                  /* 1: off; over the last penalty_window tokens */
    float frequency_penalty, presence_penalty; /* 0: off */
    int32_t penalty_window;                    /* 0: the whole session */
    uint64_t seed;
    const int32_t *bias_ids; /* logit bias: bias_values[i] is added to logit bias_ids[i] */
    const float *bias_values;
    int32_t n_bias;
};
struct mk_sampling mk_sampling_default(void);
/* What the model's generation_config.json asks for, where it does; the default elsewhere. */
struct mk_sampling mk_sampling_of_model(const struct mk_model *model);

#define MK_MAX_STOPS 16
#define MK_MAX_TOP_LOGPROBS 20

struct mk_generate_options {
    struct mk_sampling sampling;
    int32_t max_tokens;              /* 0: until the context is full */
    const char *stops[MK_MAX_STOPS]; /* the text is cut before them */
    int32_t n_stops;
    const int32_t *stop_ids; /* besides the model's own */
    int32_t n_stop_ids;
    bool ignore_eos;
    int32_t top_logprobs; /* 0..20 alternatives a token; -1: no log-probabilities */
    bool in_thought;      /* the answer begins inside a thought (mk_chat_encode tells) */
    bool split_thought;   /* <think>...</think> goes to reasoning, not to text */
};
struct mk_generate_options mk_generate_options_default(void);

struct mk_token_logprob {
    int32_t id;
    float logprob;
};
struct mk_token { /* what one step produced; everything borrowed until the next step */
    int32_t id;
    float logprob;                      /* natural; under temperature 1 and no filter */
    const struct mk_token_logprob *top; /* [n_top] most probable first */
    int32_t n_top;
    const char *text;      /* newly finished characters of the answer, may be "" */
    const char *reasoning; /* newly finished characters of the thought, may be "" */
};
enum mk_finish { MK_RUNNING, MK_FINISH_STOP, MK_FINISH_LENGTH };

struct mk_request;
/* Appends the prompt to the session (computing what is not already there) and prepares sampling. */
int mk_request_open(struct mk_request **request, struct mk_session *session, const int32_t *ids,
                    size_t n_ids, const struct mk_generate_options *options, struct mk_error *err);
/* Samples and computes one token. *finish becomes other than MK_RUNNING when the answer is
 * complete; the last call may still carry text. Between two calls the caller may stop for good or
 * truncate: that is how a request is cancelled. */
int mk_request_step(struct mk_request *request, struct mk_token *token, enum mk_finish *finish,
                    struct mk_error *err);
void mk_request_free(struct mk_request *request);

#ifdef __cplusplus
}
#endif

#endif
