/* chat.h: prompt encodings: a conversation to token ids, one table row a family.
 *
 * The family is chosen by recognising the template text found in the file; templates are never executed. Text of messages
 * is encoded with special tokens off, so "<|im_end|>" typed by a user stays text. */
#ifndef MK_TOKENIZER_CHAT_H
#define MK_TOKENIZER_CHAT_H

#include "base/buf.h"
#include "tokenizer/tokenizer.h"

struct chat_tool_call { const char *id, *name, *arguments; };       /* arguments: JSON text */
struct chat_message {
    const char *role;                /* "system", "user", "assistant", "tool" */
    const char *content;             /* NULL only with tool_calls */
    const char *reasoning;           /* of an assistant, or NULL */
    const struct chat_tool_call *tool_calls;
    int32_t n_tool_calls;
    const char *name, *tool_call_id; /* of a tool, or NULL */
};
enum chat_think { CHAT_THINK_AUTO, CHAT_THINK_ON, CHAT_THINK_OFF };
struct chat {
    const struct chat_message *messages;
    int32_t n_messages;
    const char *tools_json;          /* OpenAI-style array of {"type":"function","function":{...}}, or NULL */
    enum chat_think think;
    bool add_generation_prompt;
};

struct chat_format;                  /* one row of the table */
/* NULL when the template is not known; chat_format_by_name accepts deepseek-v2, deepseek-v3, deepseek-r1, deepseek-v3.1,
 * r1-distill, chatml, llama3, mistral, ... */
const struct chat_format *chat_format_for(const struct tokenizer *t, const char *model_type);
const struct chat_format *chat_format_by_name(const char *name);
const char *chat_format_name(const struct chat_format *f);
/* Whether the answer of such a prompt begins inside a thought (the prompt ended with <think>). */
bool chat_format_starts_thinking(const struct chat_format *f, const struct chat *c);
/* Whether <think>...</think> is used at all. */
bool chat_format_thinks(const struct chat_format *f);

/* The prompt as ids, BOS included where the family has one; as text (for tests: byte-equal to the template under Jinja2). */
int chat_encode(const struct chat_format *f, const struct tokenizer *t, const struct chat *c, struct ids *out, struct mk_error *err);
int chat_render(const struct chat_format *f, const struct tokenizer *t, const struct chat *c, struct buf *out, struct mk_error *err);

#endif
