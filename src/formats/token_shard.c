/* token_shard.c: writing and checking shards of token ids, see token_shard.h for the layout.
 *
 * Numbers are copied as they lie in memory: every machine that minke runs on is little-endian, and
 * the version number would read differently on any other. */
#include "formats/token_shard.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

#define VERSION_TEXT 1
#define VERSION_MASK 2
#define HEADER_BYTES 64
#define DIGEST_BYTES 32
#define TRAILER_BYTES (16 + DIGEST_BYTES)
#define BLOCK 4096 /* ids converted at a time */
#define MAX_HASHED ((size_t)1 << 24)

static const char magic[8] = {'m', 'i', 'n', 'k', 'e', '-', 't', 'k'};

struct header {
    char magic[8];
    uint32_t version, id_bytes, n_vocab, kind;
    unsigned char fingerprint[32];
    uint64_t zeros;
};
_Static_assert(sizeof(struct header) == HEADER_BYTES, "the layout in token_shard.h");

/* ---- writing --------------------------------------------------------------------------------- */

static int put(struct token_shard_writer *w, const void *data, size_t bytes, struct mk_error *err)
{
    if (!EVP_DigestUpdate(w->digest, data, bytes))
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    return part_file_write(&w->file, data, bytes, err);
}

static void release_writer(struct token_shard_writer *w)
{
    EVP_MD_CTX_free(w->digest);
    free(w->offsets);
    free(w->mask);
    *w = (struct token_shard_writer){0};
}

void token_shard_discard(struct token_shard_writer *w)
{
    if (w->file.path)
        part_file_discard(&w->file);
    release_writer(w);
}

int token_shard_create(struct token_shard_writer *w, const char *path,
                       const struct token_shard_key *key, enum token_shard_kind kind,
                       struct mk_error *err)
{
    struct header h = {.version = kind == TOKEN_SHARD_TEXT ? VERSION_TEXT : VERSION_MASK,
                       .kind = kind,
                       .n_vocab = (uint32_t)key->n_vocab};
    int rc;

    *w = (struct token_shard_writer){.n_vocab = key->n_vocab, .kind = kind};
    if (key->n_vocab < 1)
        return mk_error_set(err, MK_EINVAL, "%s: a vocabulary of %d tokens", path, key->n_vocab);
    w->id_bytes = key->n_vocab <= 65536 ? 2 : 4;
    h.id_bytes = (uint32_t)w->id_bytes;
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.fingerprint, key->fingerprint, sizeof h.fingerprint);
    w->capacity = 1024;
    w->offsets = calloc(w->capacity, sizeof *w->offsets);
    w->digest = EVP_MD_CTX_new();
    if (!w->offsets || !w->digest || !EVP_DigestInit_ex(w->digest, EVP_sha256(), NULL)) {
        release_writer(w);
        return mk_error_memory(err, 1024 * sizeof *w->offsets);
    }
    rc = part_file_open(&w->file, path, err);
    if (!rc)
        rc = put(w, &h, sizeof h, err);
    if (rc)
        token_shard_discard(w);
    return rc;
}

static int put_ids(struct token_shard_writer *w, const int32_t *ids, size_t n, struct mk_error *err)
{
    uint16_t narrow[BLOCK];

    if (w->id_bytes == 4)
        return put(w, ids, 4 * n, err);
    for (size_t i = 0; i < n; i++)
        narrow[i] = (uint16_t)ids[i];
    return put(w, narrow, 2 * n, err);
}

static int add_offset(struct token_shard_writer *w, struct mk_error *err)
{
    if ((size_t)w->n_documents + 2 > w->capacity) {
        uint64_t *grown = realloc(w->offsets, 2 * w->capacity * sizeof *grown);

        if (!grown)
            return mk_error_memory(err, 2 * w->capacity * sizeof *grown);
        w->offsets = grown;
        w->capacity *= 2;
    }
    w->offsets[++w->n_documents] = (uint64_t)w->n_tokens;
    return 0;
}

/* Bits of the document that begins at n_tokens; the memory behind is zero. */
static int add_mask(struct token_shard_writer *w, const unsigned char *learned, size_t n,
                    struct mk_error *err)
{
    size_t begin = (size_t)w->n_tokens, want = (begin + n + 63) / 64 * 8;

    if (want > w->mask_capacity) {
        size_t capacity = want < 2 * w->mask_capacity ? 2 * w->mask_capacity : want;
        unsigned char *grown = realloc(w->mask, capacity);

        if (!grown)
            return mk_error_memory(err, capacity);
        memset(grown + w->mask_capacity, 0, capacity - w->mask_capacity);
        w->mask = grown;
        w->mask_capacity = capacity;
    }
    for (size_t i = begin; i < begin + n; i++)
        w->mask[i / 8] |= (unsigned char)((learned[i - begin] != 0) << i % 8);
    return 0;
}

static bool learns(const unsigned char *learned, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (learned[i])
            return true;
    return false;
}

int token_shard_append(struct token_shard_writer *w, const int32_t *ids,
                       const unsigned char *learned, size_t n, struct mk_error *err)
{
    if (n < 1)
        return mk_error_set(err, MK_EINVAL, "%s: a document without tokens", w->file.path);
    if ((uint64_t)n > (uint64_t)(TOKEN_SHARD_MAX_TOKENS - w->n_tokens))
        return mk_error_set(err, MK_ELIMIT, "%s: too many tokens", w->file.path);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= w->n_vocab)
            return mk_error_set(err, MK_EINVAL, "%s: token %d, expected 0 to %d", w->file.path,
                                ids[i], w->n_vocab - 1);
    if (w->kind == TOKEN_SHARD_TEXT ? learned != NULL : !learned || !learns(learned, n))
        return mk_error_set(err, MK_EINVAL, "%s: a document in which nothing is learned",
                            w->file.path);
    if (learned && add_mask(w, learned, n, err))
        return err->code;
    for (size_t at = 0; at < n; at += BLOCK)
        if (put_ids(w, ids + at, n - at < BLOCK ? n - at : BLOCK, err))
            return err->code;
    w->n_tokens += (int64_t)n;
    return add_offset(w, err);
}

static int put_end(struct token_shard_writer *w, struct mk_error *err)
{
    static const unsigned char zeros[8] = {0};
    uint64_t counts[2] = {(uint64_t)w->n_documents, (uint64_t)w->n_tokens}, padded;
    uint64_t ids_bytes = counts[1] * (uint64_t)w->id_bytes;
    unsigned char digest[EVP_MAX_MD_SIZE];

    checked_align(ids_bytes, 8, &padded);
    if (put(w, zeros, (size_t)(padded - ids_bytes), err) ||
        (w->mask && put(w, w->mask, (size_t)(counts[1] + 63) / 64 * 8, err)) ||
        put(w, w->offsets, ((size_t)w->n_documents + 1) * sizeof *w->offsets, err) ||
        put(w, counts, sizeof counts, err))
        return err->code;
    if (!EVP_DigestFinal_ex(w->digest, digest, NULL))
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    return part_file_write(&w->file, digest, DIGEST_BYTES, err);
}

int token_shard_finish(struct token_shard_writer *w, struct mk_error *err)
{
    if (put_end(w, err) || part_file_sync(&w->file, err) || part_file_rename(&w->file, err)) {
        token_shard_discard(w);
        return err->code;
    }
    part_file_keep(&w->file);
    release_writer(w);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_header(struct token_shard *s, const void *data, size_t bytes, const char *path,
                       const struct token_shard_key *key, struct mk_error *err)
{
    struct header h;

    if (bytes < HEADER_BYTES || memcmp(data, magic, sizeof magic) != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: not a shard of tokens", path);
    memcpy(&h, data, sizeof h);
    if (h.version != VERSION_TEXT && h.version != VERSION_MASK)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: version %u of the format, this minke reads %d and %d: build the "
                            "data again",
                            path, h.version, VERSION_TEXT, VERSION_MASK);
    if (h.version == VERSION_MASK && h.kind != TOKEN_SHARD_CHAT && h.kind != TOKEN_SHARD_PAIRS)
        return mk_error_set(err, MK_EFORMAT, "%s: documents of kind %u, expected 1 or 2", path,
                            h.kind);
    if ((h.id_bytes != 2 && h.id_bytes != 4) || h.n_vocab < 1 || h.n_vocab > INT32_MAX)
        return mk_error_set(err, MK_EFORMAT, "%s: ids of %u bytes below %u", path, h.id_bytes,
                            h.n_vocab);
    if (key && (memcmp(h.fingerprint, key->fingerprint, sizeof h.fingerprint) != 0 ||
                h.n_vocab != (uint32_t)key->n_vocab))
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: made with another tokenizer: build the data again", path);
    s->kind = h.version == VERSION_TEXT ? TOKEN_SHARD_TEXT : (enum token_shard_kind)h.kind;
    s->id_bytes = (int)h.id_bytes;
    s->n_vocab = (int32_t)h.n_vocab;
    return 0;
}

/* Finds the parts from the counts at the end; the length of the file must follow from them. */
static int find_parts(struct token_shard *s, const unsigned char *data, size_t bytes,
                      const char *path, struct mk_error *err)
{
    uint64_t counts[2], ids, mask, offsets, total;

    if (bytes < HEADER_BYTES + 8 + TRAILER_BYTES)
        return mk_error_set(err, MK_EFORMAT, "%s: %zu bytes: cut short?", path, bytes);
    memcpy(counts, data + bytes - TRAILER_BYTES, sizeof counts);
    if (counts[1] > (uint64_t)TOKEN_SHARD_MAX_TOKENS || counts[0] > counts[1] ||
        !checked_align(counts[1] * (uint64_t)s->id_bytes, 8, &ids) ||
        !checked_align(s->kind ? (counts[1] + 7) / 8 : 0, 8, &mask) ||
        !checked_mul(counts[0] + 1, 8, &offsets) || !checked_add(ids, offsets, &total) ||
        !checked_add(total, mask, &total) ||
        !checked_add(total, HEADER_BYTES + TRAILER_BYTES, &total) || total != bytes)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: %zu bytes do not fit %llu documents of %llu tokens: cut short?",
                            path, bytes, (unsigned long long)counts[0],
                            (unsigned long long)counts[1]);
    s->n_documents = (int64_t)counts[0];
    s->n_tokens = (int64_t)counts[1];
    s->ids = data + HEADER_BYTES;
    s->digest = data + bytes - DIGEST_BYTES;
    s->mask = s->kind ? data + HEADER_BYTES + ids : NULL;
    s->offsets = (const uint64_t *)(const void *)(data + HEADER_BYTES + ids + mask);
    if (s->kind == TOKEN_SHARD_PAIRS && s->n_documents % 2)
        return mk_error_set(err, MK_EFORMAT, "%s: %lld documents are no pairs", path,
                            (long long)s->n_documents);
    return 0;
}

static int check_offsets(const struct token_shard *s, const char *path, struct mk_error *err)
{
    if (s->offsets[0] != 0 || s->offsets[s->n_documents] != (uint64_t)s->n_tokens)
        return mk_error_set(err, MK_EFORMAT, "%s: the documents do not cover the tokens", path);
    for (int64_t i = 0; i < s->n_documents; i++)
        if (s->offsets[i] >= s->offsets[i + 1])
            return mk_error_set(err, MK_EFORMAT, "%s: document %lld ends before it begins", path,
                                (long long)i);
    return 0;
}

static int check_ids(const struct token_shard *s, const char *path, struct mk_error *err)
{
    int32_t block[BLOCK];

    for (int64_t at = 0; at < s->n_tokens; at += BLOCK) {
        int64_t n = s->n_tokens - at < BLOCK ? s->n_tokens - at : BLOCK;
        struct token_shard all = *s;
        const uint64_t whole[2] = {0, (uint64_t)s->n_tokens};

        all.offsets = whole;
        token_shard_read(&all, 0, at, n, block);
        for (int64_t i = 0; i < n; i++)
            if (block[i] < 0 || block[i] >= s->n_vocab)
                return mk_error_set(err, MK_EFORMAT, "%s: token %lld is %d, expected 0 to %d", path,
                                    (long long)(at + i), block[i], s->n_vocab - 1);
    }
    return 0;
}

static bool is_learned(const struct token_shard *s, uint64_t token)
{
    return s->mask[token / 8] >> token % 8 & 1;
}

static int check_mask(const struct token_shard *s, const char *path, struct mk_error *err)
{
    uint64_t n = (uint64_t)s->n_tokens;

    for (uint64_t i = n; i < (n + 63) / 64 * 64; i++)
        if (is_learned(s, i))
            return mk_error_set(err, MK_EFORMAT, "%s: the mask is longer than the tokens", path);
    for (int64_t d = 0; d < s->n_documents; d++) {
        uint64_t i = s->offsets[d] + 1; /* nothing predicts the first */

        while (i < s->offsets[d + 1] && !is_learned(s, i))
            i++;
        if (i >= s->offsets[d + 1])
            return mk_error_set(err, MK_EFORMAT, "%s: document %lld: nothing in it is learned",
                                path, (long long)d);
    }
    return 0;
}

/* In pieces that leave the memory count behind them: a shard may be larger than the memory. */
static int check_digest(const struct map_file *map, const unsigned char *data, size_t bytes,
                        const char *path, struct mk_error *err)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    bool fine = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL);

    for (size_t at = 0; fine && at < bytes; at += MAX_HASHED) {
        size_t n = bytes - at < MAX_HASHED ? bytes - at : MAX_HASHED;

        fine = EVP_DigestUpdate(c, data + at, n);
        map_file_forget(map, data + at, n);
    }
    fine = fine && EVP_DigestFinal_ex(c, digest, NULL);
    EVP_MD_CTX_free(c);
    if (!fine)
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    if (memcmp(digest, data + bytes, DIGEST_BYTES) != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: the checksum does not match, the file is damaged",
                            path);
    return 0;
}

static int parse(struct token_shard *s, const struct map_file *map, const unsigned char *data,
                 size_t bytes, const char *path, const struct token_shard_key *key,
                 struct mk_error *err)
{
    *s = (struct token_shard){0};
    if (read_header(s, data, bytes, path, key, err) || find_parts(s, data, bytes, path, err) ||
        check_digest(map, data, bytes - DIGEST_BYTES, path, err) || check_offsets(s, path, err) ||
        check_ids(s, path, err) || (s->kind && check_mask(s, path, err))) {
        *s = (struct token_shard){0};
        return err->code;
    }
    return 0;
}

int token_shard_parse(struct token_shard *s, const void *data, size_t bytes, const char *path,
                      const struct token_shard_key *key, struct mk_error *err)
{
    const struct map_file none = {0};

    return parse(s, &none, data, bytes, path, key, err);
}

int token_shard_open(struct token_shard *s, const char *path, const struct token_shard_key *key,
                     struct mk_error *err)
{
    struct map_file map;

    *s = (struct token_shard){0};
    if (map_file_open(&map, path, err))
        return err->code;
    if (parse(s, &map, map.data, map.bytes, path, key, err)) {
        map_file_close(&map);
        return err->code;
    }
    s->map = map;
    return 0;
}

void token_shard_close(struct token_shard *s)
{
    map_file_close(&s->map);
    *s = (struct token_shard){0};
}

void token_shard_read(const struct token_shard *s, int64_t document, int64_t begin, int64_t n,
                      int32_t *out)
{
    const unsigned char *at =
        s->ids + (s->offsets[document] + (uint64_t)begin) * (uint64_t)s->id_bytes;

    if (s->id_bytes == 4) {
        memcpy(out, at, (size_t)n * 4);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint16_t id;

        memcpy(&id, at + 2 * i, 2);
        out[i] = id;
    }
}

void token_shard_read_learned(const struct token_shard *s, int64_t document, int64_t begin,
                              int64_t n, unsigned char *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = !s->mask || is_learned(s, s->offsets[document] + (uint64_t)(begin + i));
}
