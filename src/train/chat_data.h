/* chat_data.h: conversations as ids of which a part is learned: what the assistant says, each turn
 * with the token that ends it. Everything else is read and not learned.
 *
 * Between reading and tokenising a conversation is a record: bytes without pointers, so that it may
 * wait in a batch for a thread. */
#ifndef MK_TRAIN_CHAT_DATA_H
#define MK_TRAIN_CHAT_DATA_H

#include "formats/text_source.h"
#include "tokenizer/chat.h"

struct chat_data {
    const struct chat_format *format;
    const struct tokenizer *t; /* borrowed */
    int32_t end_id;            /* the token that ends an answer */
    bool pairs;
    bool specials; /* control tokens in answers count; false after chat_data_init */
};

/* name: of a template; "" or NULL: the one in the tokenizer's file. model_type as in
 * chat_format_for. MK_EUNSUPPORTED when the template is unknown, or when the vocabulary has no
 * token that ends its answers: a model could never learn to stop. */
int chat_data_init(struct chat_data *c, const struct tokenizer *t, const char *name,
                   const char *model_type, bool pairs, struct mk_error *err);

/* NULL, or why the document cannot be learned from: a line for people, in `why`. */
const char *chat_data_check(const struct chat_data *c, const struct text_document *d,
                            char why[160]);
/* Appends the document's record. */
int chat_record_write(struct buf *out, const struct text_document *d, struct mk_error *err);

/* A record's ids; of a pair the chosen conversation, then the rejected one. */
struct chat_ids {
    struct ids ids;         /* owned; reused */
    unsigned char *learned; /* [ids.n] 0 or 1; owned */
    size_t capacity;
    size_t n_chosen;        /* ids of the first conversation: all of them unless it is a pair */
    int64_t n_answers;      /* learned turns of the assistant */
};
/* Of a pair only what stands behind the common messages is learned. MK_EINVAL: a conversation that
 * the template refuses, or whose answers come to nothing in it. */
int chat_record_encode(const struct chat_data *c, const char *record, size_t n,
                       struct chat_ids *out, struct mk_error *err);
void chat_ids_release(struct chat_ids *ids);

#endif
