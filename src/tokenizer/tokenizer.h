/* tokenizer.h: text to token ids and back.
 *
 * A tokenizer is read-only after tokenizer_create and may be used by many threads at once. Encoding
 * is linear in the length of the text up to a log factor. Ids of special tokens come out only when
 * `specials` says so: text from a user never becomes a control token. */
#ifndef MK_TOKENIZER_TOKENIZER_H
#define MK_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "formats/vocab.h"

struct tokenizer;

struct ids { int32_t *data; size_t n, capacity; }; /* owned; grows; start from {0} */
int ids_append(struct ids *ids, int32_t id, struct mk_error *err);
void ids_release(struct ids *ids);

/* Takes over *v (the vocab must not be released by the caller after success). */
int tokenizer_create(struct tokenizer **t, struct vocab *v, struct mk_error *err);
void tokenizer_free(struct tokenizer *t);
const struct vocab *tokenizer_vocab(const struct tokenizer *t);

/* Appends the ids of text[n], any bytes; no BOS. For sound UTF-8 they are those of Python
 * `tokenizers`. A byte outside sound UTF-8 splits like a symbol and keeps its value where the
 * vocabulary has byte tokens, so that the bytes of the ids are the text again (Python sees only
 * text in which it has become U+FFFD). Without `specials` control tokens (see vocab_is_control) do
 * not come out of any text. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool specials,
                     struct ids *out, struct mk_error *err);
/* The same for a text of which some parts came from outside: control tokens come out where they
 * stand wholly outside typed[n_typed], which are in order and apart. Ordinary text merges across
 * the borders, so the ids are those of the whole text where nobody typed a control token. */
struct typed_span { size_t begin, end; };
int tokenizer_encode_typed(const struct tokenizer *t, const char *text, size_t n,
                           const struct typed_span *typed, size_t n_typed, struct ids *out,
                           struct mk_error *err);
/* The same, cut at the bytes cuts[n_cuts] (ascending, at most n): nothing merges across, as if the
 * text in front had been read and the text behind were written by a model. at [n_cuts] says how
 * many ids `out` has in front of each cut. */
struct text_cuts { const size_t *cuts; size_t n, *at; };
int tokenizer_encode_cut(const struct tokenizer *t, const char *text, size_t n,
                         const struct typed_span *typed, size_t n_typed,
                         const struct text_cuts *cuts, struct ids *out, struct mk_error *err);
/* -1 when there is no token with exactly this text. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text);
/* The bytes a token stands for (byte alphabet and U+2581 undone); tokens of kind SPECIAL give
 * theirs only when `specials`. */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, bool specials, size_t *n);

/* Streaming decode: emits only whole UTF-8 characters; what cannot become one is emitted as U+FFFD,
 * as Python's bytes.decode(errors="replace") does. */
struct decoder {
    const struct tokenizer *t; /* borrowed */
    bool specials, at_start;   /* at_start: SPM strips the space it added */
    unsigned char pending[4];  /* bytes of an unfinished character */
    int n_pending;
};
struct buf;
void decoder_init(struct decoder *d, const struct tokenizer *t, bool specials);
int decoder_push(struct decoder *d, int32_t id, struct buf *out, struct mk_error *err);
/* Flushes a half character as U+FFFD. */
int decoder_finish(struct decoder *d, struct buf *out, struct mk_error *err);

#endif
