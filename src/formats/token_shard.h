/* token_shard.h: documents as token ids in one memory-mapped file, what training reads.
 *
 * Layout, little-endian:
 *
 *     0    8   "minke-tk"
 *     8    4   version: 1, texts; 2, what has a mask
 *     12   4   bytes of an id, 2 or 4
 *     16   4   n_vocab, every id is below
 *     20   4   version 2: 1 conversations, 2 pairs of them; version 1: zero
 *     24   32  fingerprint of the vocabulary, see vocab_fingerprint
 *     56   8   zero
 *     64   n_tokens ids, padded with zeros to a multiple of 8
 *          version 2: ceil(n_tokens / 8), padded alike: bit i % 8 of byte i / 8 is set where token
 *              i is learned
 *          (n_documents + 1) * 8   where each document begins, in tokens; the last is n_tokens
 *          8   n_documents
 *          8   n_tokens
 *          32  SHA-256 of all before
 *
 * Counts stand at the end, so that a writer needs memory for the offsets and the mask alone. No
 * document is empty. In every conversation something is learned. Of pairs, document 2 i holds the
 * chosen answer and 2 i + 1 the rejected one, both with their prompt. A writer belongs to one
 * thread; an open shard is read-only and may be shared. */
#ifndef MK_FORMATS_TOKEN_SHARD_H
#define MK_FORMATS_TOKEN_SHARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/map_file.h"
#include "base/part_file.h"

#define TOKEN_SHARD_MAX_TOKENS ((int64_t)1 << 40)

enum token_shard_kind { TOKEN_SHARD_TEXT, TOKEN_SHARD_CHAT, TOKEN_SHARD_PAIRS };

/* What a file must agree with to be read. */
struct token_shard_key {
    unsigned char fingerprint[32];
    int32_t n_vocab;
};

/* ---- writing --------------------------------------------------------------------------------- */

struct token_shard_writer {
    struct part_file file;
    void *digest;            /* EVP_MD_CTX, owned */
    int32_t n_vocab;
    int id_bytes;
    int64_t n_documents, n_tokens;
    uint64_t *offsets;       /* [n_documents + 1] owned */
    size_t capacity;
    enum token_shard_kind kind;
    unsigned char *mask;     /* [mask_capacity] of conversations; owned */
    size_t mask_capacity;
};

/* Ids take 2 bytes where n_vocab <= 65,536. Until token_shard_finish nothing stands at `path`. */
int token_shard_create(struct token_shard_writer *w, const char *path,
                       const struct token_shard_key *key, enum token_shard_kind kind,
                       struct mk_error *err);
/* One document, n >= 1, 0 <= id < n_vocab. learned [n]: not 0 where an id is learned, which is
 * somewhere behind the first; NULL for texts. */
int token_shard_append(struct token_shard_writer *w, const int32_t *ids,
                       const unsigned char *learned, size_t n, struct mk_error *err);
/* Ends the file and gives it its name; on failure nothing is left. The writer is released. */
int token_shard_finish(struct token_shard_writer *w, struct mk_error *err);
/* Removes what was written. `*w` = {0} is allowed. */
void token_shard_discard(struct token_shard_writer *w);

/* ---- reading --------------------------------------------------------------------------------- */

struct token_shard {
    struct map_file map;           /* owned */
    int32_t n_vocab;
    int id_bytes;
    int64_t n_documents, n_tokens;
    const uint64_t *offsets;       /* [n_documents + 1] ascending from 0 to n_tokens */
    const unsigned char *ids;      /* [n_tokens] of id_bytes */
    enum token_shard_kind kind;
    const unsigned char *mask;     /* a bit a token; NULL for texts */
    const unsigned char *digest;   /* [32] SHA-256 of all before it */
};

/* Reads the file once from end to end: length, counts, offsets, ids and checksum are right after an
 * open that succeeded. key may be NULL; else MK_EUNSUPPORTED for another vocabulary. */
int token_shard_open(struct token_shard *s, const char *path, const struct token_shard_key *key,
                     struct mk_error *err);
/* The same from memory that outlives s and is aligned to 8. */
int token_shard_parse(struct token_shard *s, const void *data, size_t bytes, const char *path,
                      const struct token_shard_key *key, struct mk_error *err);
void token_shard_close(struct token_shard *s);
static inline int64_t token_shard_length(const struct token_shard *s, int64_t document)
{
    return (int64_t)(s->offsets[document + 1] - s->offsets[document]);
}
/* ids [begin, begin + n) of a document, which must have them, into out[n]. */
void token_shard_read(const struct token_shard *s, int64_t document, int64_t begin, int64_t n,
                      int32_t *out);
/* out [n]: 1 where a token is learned, else 0; all of a text is. */
void token_shard_read_learned(const struct token_shard *s, int64_t document, int64_t begin,
                              int64_t n, unsigned char *out);

#endif
