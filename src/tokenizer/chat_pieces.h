/* chat_pieces.h: what the families of prompts share: where they write to, and their table rows.
 *
 * A family writes with chat_put (text of the template) and chat_say (text that came from outside);
 * the first failure sticks in `rc` and makes the rest of the writing do nothing, so that a family
 * reads like its template. */
#ifndef MK_TOKENIZER_CHAT_PIECES_H
#define MK_TOKENIZER_CHAT_PIECES_H

#include <jansson.h>
#include <string.h>

#include "tokenizer/chat.h"

/* Bytes that lie in a message; borrowed. */
struct chat_text {
    const char *data;
    size_t n;
};

/* Bytes of the prompt that an assistant's message became; end 0 while it is being written. */
struct chat_answer_text {
    size_t begin, end;
    int32_t message;
};

struct chat_out {
    const struct chat *chat;
    struct buf *text;
    struct typed_span *typed; /* owned; [n_typed] what came from outside, neighbours joined */
    size_t n_typed, capacity;
    struct chat_answer_text *answers; /* owned; [n_answers] in order */
    size_t n_answers, answers_capacity;
    size_t n_calls; /* of tools, written so far */
    struct chat_text bos, eos;
    json_t *tools; /* owned; parsed tools_json, a non-empty array, or NULL */
    struct mk_error *err;
    int rc; /* the first failure */
};

/* In what the templates of a family differ. */
enum chat_trait {
    CHAT_SYSTEM_JOINED = 1,     /* system messages with a blank line between; else the last alone */
    CHAT_SYSTEM_INDENTED = 2,   /* eight spaces in front of BOS for each of them */
    CHAT_CALLS_BESIDE_TEXT = 4, /* a message may hold text and calls, and the calls are closed */
    CHAT_DROPS_THOUGHTS = 8,    /* what is in front of the last </think> of an answer */
    CHAT_SYSTEM_IN_QUESTION = 16, /* the first question begins with the system message */
    CHAT_SPACED = 32              /* a space behind marks */
};

struct chat_format {
    const char *name;
    const char *model_types[2]; /* where a template alone does not decide */
    const char *has[6];         /* what the template contains ... */
    const char *lacks[4];       /* ... and does not */
    const char *bos, *eos;
    bool thinks, takes_tools;
    unsigned traits;    /* of enum chat_trait */
    const char *template; /* text to write into a tokenizer's files, or NULL */
    const char *system; /* what the template says when there is no system message, or NULL */
    void (*render)(struct chat_out *o, const struct chat_format *f, const struct chat *c);
};

/* The families' functions. */
void chat_render_chatml(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_qwen25(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_qwen3(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_deepseek_v2(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_zero(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_deepseek(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_deepseek_v31(struct chat_out *o, const struct chat_format *f,
                              const struct chat *c);
void chat_render_llama3(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_llama31(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_mistral_v1(struct chat_out *o, const struct chat_format *f, const struct chat *c);
void chat_render_mistral_v3(struct chat_out *o, const struct chat_format *f, const struct chat *c);

/* ---- writing --------------------------------------------------------------------------------- */

void chat_put(struct chat_out *o, const char *literal);
void chat_put_text(struct chat_out *o, struct chat_text text); /* BOS, EOS */
void chat_say(struct chat_out *o, const char *text);           /* NULL says nothing */
void chat_say_text(struct chat_out *o, struct chat_text text);
/* The name of a call, which is counted as written. */
void chat_say_call(struct chat_out *o, const struct chat_tool_call *call);
/* json.dumps(value, ensure_ascii=False): what Jinja's tojson is in `transformers`. */
void chat_say_json(struct chat_out *o, const json_t *value);
void chat_say_json_indented(struct chat_out *o, const json_t *value); /* indent=4 */
void chat_say_json_string(struct chat_out *o, struct chat_text text);
/* The same for the arguments of a call, given as JSON text. */
void chat_say_arguments(struct chat_out *o, const struct chat_tool_call *call);
/* Around what the assistant wrote of its message m, the mark that ends its turn included: all that
 * stands behind the prompt it answered. */
void chat_answer_begin(struct chat_out *o, const struct chat_message *m);
void chat_answer_end(struct chat_out *o);
/* A conversation that the template refuses. */
void chat_refuse(struct chat_out *o, const char *why);

/* ---- reading messages ------------------------------------------------------------------------ */

bool chat_is(const struct chat_message *m, const char *role);
static inline struct chat_text chat_text_of(const char *s)
{
    return (struct chat_text){s ? s : "", s ? strlen(s) : 0};
}
/* Python's strip(): Unicode's white space and four separators. */
struct chat_text chat_trim(struct chat_text t);
/* Python's lstrip and rstrip of newlines. */
struct chat_text chat_lstrip_newlines(struct chat_text t);
struct chat_text chat_rstrip_newlines(struct chat_text t);
/* Python's t.split(mark)[0], t.split(mark, 1)[-1], t.split(mark)[-1]; without a mark all of t. */
struct chat_text chat_before(struct chat_text t, const char *mark);
struct chat_text chat_behind_first(struct chat_text t, const char *mark);
struct chat_text chat_behind_last(struct chat_text t, const char *mark);
bool chat_contains(struct chat_text t, const char *mark);

#endif
