/* chat_pieces.h: how a family of prompt encodings writes a conversation. Inside tokenizer/ only.
 *
 * A family is a function that says a conversation piece by piece: control text, in which special
 * tokens count, and content, in which they never do. The same pieces become text (for tests) or
 * ids; neighbouring pieces of one kind are joined first, so that ids are those of the whole text.
 */
#ifndef MK_TOKENIZER_CHAT_PIECES_H
#define MK_TOKENIZER_CHAT_PIECES_H

#include "tokenizer/chat.h"

struct chat_sink {
    /* special: the text may hold control tokens. Text is borrowed for the call. */
    int (*piece)(struct chat_sink *s, const char *text, size_t n, bool special,
                 struct mk_error *err);
};

typedef int chat_write_fn(const struct chat *c, struct chat_sink *s, struct mk_error *err);

struct chat_format {
    const char *name;
    chat_write_fn *write;
    bool thinks;                                   /* <think>...</think> is used at all */
    bool (*starts_thinking)(const struct chat *c); /* NULL: never */
    /* Fragments that the template in the file must all hold, and one that it must not; NULL ends
     * or is absent. The first row of the table that agrees is the family. */
    const char *has[6], *has_not;
};

/* One control token, such as "<|im_start|>", or several with text between. */
int chat_control(struct chat_sink *s, const char *text, struct mk_error *err);
/* The template's own words and the messages' text. NULL is nothing. */
int chat_content(struct chat_sink *s, const char *text, struct mk_error *err);
/* MK_EINVAL: the conversation is not one that the family can say. */
int chat_refuse(const char *family, const char *why, struct mk_error *err);
bool chat_is(const struct chat_message *m, const char *role);

chat_write_fn chat_write_smollm;

#endif
