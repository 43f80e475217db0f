/* chat.h: prompt encodings: a conversation to token ids, one table row a family.
 *
 * The family is chosen by recognising the template text found in the file; templates are never
 * executed. What is rendered is byte-equal to that template under Jinja2 as Python `transformers`
 * sets it up. Text of messages never becomes a control token: "<|im_end|>" typed by a user stays
 * text. Formats are constant and may be used by many threads. */
#ifndef MK_TOKENIZER_CHAT_H
#define MK_TOKENIZER_CHAT_H

#include "base/buf.h"
#include "tokenizer/tokenizer.h"

struct chat_tool_call {
    const char *id; /* or NULL */
    const char *name;
    const char *arguments; /* JSON text of an object */
};

struct chat_message {
    const char *role;      /* "system", "user", "assistant", "tool" */
    const char *content;   /* NULL only with tool_calls; empty where a template cannot take null */
    const char *reasoning; /* of an assistant, or NULL; templates drop it where it is past */
    const struct chat_tool_call *tool_calls; /* of an assistant; [n_tool_calls] */
    int32_t n_tool_calls;
    const char *name, *tool_call_id; /* of a tool, or NULL */
};

enum chat_think {
    CHAT_THINK_AUTO, /* what the template does when nothing is said */
    CHAT_THINK_ON,
    CHAT_THINK_OFF /* ON and OFF change nothing where the template has no switch */
};

struct chat {
    const struct chat_message *messages; /* [n_messages] at least one */
    int32_t n_messages;
    const char *tools_json; /* OpenAI's array of {"type":"function","function":{...}}, or NULL */
    enum chat_think think;
    bool add_generation_prompt; /* end with what an answer begins with */
    /* Control tokens that stand in an assistant's messages count: for training on own texts. What
     * others say stays text. */
    bool answers_have_controls;
};

struct chat_format; /* one row of the table */

/* By the template of the tokenizer's file; NULL when it is not known. model_type (config.json's, or
 * GGUF's architecture; may be NULL) tells rows apart that share a template. */
const struct chat_format *chat_format_for(const struct tokenizer *t, const char *model_type);
/* A row by its name, or NULL. */
const struct chat_format *chat_format_by_name(const char *name);
/* The i-th name from 0 on, for lists and messages; NULL behind the last. */
const char *chat_format_name_at(size_t i);
const char *chat_format_name(const struct chat_format *f);
/* The template's text, for a tokenizer that has none; NULL: this one is not written here. */
const char *chat_format_template(const struct chat_format *f);

/* Whether the answer to such a prompt begins inside a thought (the prompt ends with <think>). */
bool chat_format_starts_thinking(const struct chat_format *f, const struct chat *c);
/* Whether <think>...</think> is used at all. */
bool chat_format_thinks(const struct chat_format *f);
/* Whether the template says anything about tools; where it does not, tools_json is passed over. */
bool chat_format_takes_tools(const struct chat_format *f);

/* Appends the prompt as ids, BOS included where the template has one. MK_EINVAL: a conversation
 * that the template refuses, or a role, tools or arguments that are not what they should be. */
int chat_encode(const struct chat_format *f, const struct tokenizer *t, const struct chat *c,
                struct ids *out, struct mk_error *err);

/* The ids [begin, end) that an assistant's message became: all that stands behind the prompt it
 * answers, the token that ends its turn included. A thought that the template drops is not there;
 * one that it keeps, or an empty one that it writes itself, is. */
struct chat_answer { size_t begin, end; int32_t message; };
struct chat_answers { struct chat_answer *items; size_t n; }; /* owned; free(items) */
/* Like chat_encode, and says where the answers are; an answer of no ids is left out. The text is
 * cut at both ends of each, as it is when a model writes it: no token is half an answer.
 * MK_EINVAL also where the template leaves a call of a tool out. */
int chat_encode_answers(const struct chat_format *f, const struct tokenizer *t,
                        const struct chat *c, struct ids *out, struct chat_answers *answers,
                        struct mk_error *err);
/* The control token that ends an answer. MK_EUNSUPPORTED when this vocabulary has none: a model
 * could not learn to stop. */
int chat_end_token(const struct chat_format *f, const struct tokenizer *t, int32_t *id,
                   struct mk_error *err);

/* Appends the prompt as text. t may be NULL: then BOS and EOS are the family's own. */
int chat_render(const struct chat_format *f, const struct tokenizer *t, const struct chat *c,
                struct buf *out, struct mk_error *err);

#endif
