/* token_shard.h: documents as token ids in one memory-mapped file, what training reads.
 *
 * Layout, little-endian:
 *
 *     0    8   "minke-tk"
 *     8    4   version, 1
 *     12   4   bytes of an id, 2 or 4
 *     16   4   n_vocab, every id is below
 *     20   4   zero
 *     24   32  fingerprint of the vocabulary, see vocab_fingerprint
 *     56   8   zero
 *     64   n_tokens ids, padded with zeros to a multiple of 8
 *          (n_documents + 1) * 8   where each document begins, in tokens; the last is n_tokens
 *          8   n_documents
 *          8   n_tokens
 *          32  SHA-256 of all before
 *
 * Counts stand at the end, so that a writer needs memory for the offsets alone. No document is
 * empty. A writer belongs to one thread; an open shard is read-only and may be shared. */
#ifndef MK_FORMATS_TOKEN_SHARD_H
#define MK_FORMATS_TOKEN_SHARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/map_file.h"
#include "base/part_file.h"

#define TOKEN_SHARD_MAX_TOKENS ((int64_t)1 << 40)

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
};

/* Ids take 2 bytes where n_vocab <= 65,536. Until token_shard_finish nothing stands at `path`. */
int token_shard_create(struct token_shard_writer *w, const char *path,
                       const struct token_shard_key *key, struct mk_error *err);
/* One document, n >= 1, 0 <= id < n_vocab. */
int token_shard_append(struct token_shard_writer *w, const int32_t *ids, size_t n,
                       struct mk_error *err);
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

#endif
