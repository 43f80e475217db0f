/* kv_file.h: a session's tokens and cached rows as a file that only the same model and options
 * restore.
 *
 * Layout, little-endian:
 *
 *     0    8   "minke-kv"
 *     8    4   version, 1
 *     12   4   number format of the rows (enum dtype)
 *     16   4   n_layers
 *     20   4   n_tokens
 *     24   8   row_bytes
 *     32   32  fingerprint of the model
 *     64   64  options, a text padded with zeros: "attention=gqa numerics=exact cpu=avx2"
 *     128  4 * n_tokens, padded with zeros to a multiple of 64    token ids
 *          n_layers * n_tokens * row_bytes                        rows [l, t]
 *          32                                                     SHA-256 of all before
 *
 * Reading maps the file and allocates nothing. Everything is checked, the checksum too, before the
 * caller sees a byte of it. */
#ifndef MK_GENERATE_KV_FILE_H
#define MK_GENERATE_KV_FILE_H

#include "base/map_file.h"
#include "tensor/dtype.h"

#define MK_KV_OPTIONS_BYTES 64

/* What a file must agree with to be restored. */
struct kv_file_key {
    unsigned char fingerprint[32];     /* of the model */
    char options[MK_KV_OPTIONS_BYTES]; /* whatever else changes the numbers; text, NUL inside */
    enum dtype dtype;                  /* of the rows */
    int32_t n_layers;
    int64_t row_bytes;
};

/* Writes beside and renames; the file is private to its owner. ids [n_tokens], layers [l] each with
 * n_tokens rows of key->row_bytes. n_tokens 0 is allowed. */
int kv_file_write(const char *path, const struct kv_file_key *key, int32_t n_tokens,
                  const int32_t *ids, unsigned char *const *layers, struct mk_error *err);

struct kv_file {
    struct map_file map; /* owned */
    int32_t n_tokens;
    const int32_t *ids;        /* [n_tokens] 0 <= id < n_vocab */
    const unsigned char *rows; /* [l, t, row_bytes] */
};

/* Refuses what does not agree with `key` (MK_EUNSUPPORTED: another model, options or version), is
 * damaged (MK_EFORMAT), or holds more than `capacity` tokens (MK_ELIMIT). On failure nothing is
 * open. */
int kv_file_open(struct kv_file *f, const char *path, const struct kv_file_key *key,
                 int32_t n_vocab, int32_t capacity, struct mk_error *err);
/* The same of bytes in memory, aligned to 4, which outlive f; `path` is for errors. */
int kv_file_parse(struct kv_file *f, const void *data, size_t bytes, const char *path,
                  const struct kv_file_key *key, int32_t n_vocab, int32_t capacity,
                  struct mk_error *err);
void kv_file_close(struct kv_file *f);

#endif
