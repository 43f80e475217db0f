/* kv_file.c: writing and checking saved sessions, see kv_file.h for the layout.
 *
 * Fields are copied as they lie in memory: every machine that minke runs on is little-endian, and
 * the version number would read differently on any other. */
#include "generate/kv_file.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/checked.h"
#include "base/part_file.h"

#define VERSION 1
#define HEADER_BYTES 128
#define DIGEST_BYTES 32
#define ALIGN 64
#define MAX_PIECE ((size_t)1 << 24) /* bytes hashed and written at a time */

static const char magic[8] = {'m', 'i', 'n', 'k', 'e', '-', 'k', 'v'};

struct header {
    char magic[8];
    uint32_t version, dtype, n_layers, n_tokens;
    uint64_t row_bytes;
    unsigned char fingerprint[32];
    char options[MK_KV_OPTIONS_BYTES];
};
_Static_assert(sizeof(struct header) == HEADER_BYTES, "the layout in kv_file.h");

/* Bytes of the parts; false when they cannot be counted. */
struct sizes {
    uint64_t ids, rows, file;
};
static bool count_bytes(const struct header *h, struct sizes *s)
{
    return checked_align(4 * (uint64_t)h->n_tokens, ALIGN, &s->ids) &&
           checked_mul(h->n_layers, h->n_tokens, &s->rows) &&
           checked_mul(s->rows, h->row_bytes, &s->rows) &&
           checked_add(HEADER_BYTES + DIGEST_BYTES + s->ids, s->rows, &s->file);
}

/* ---- Writing --------------------------------------------------------------------------------- */

struct writer {
    struct part_file file;
    EVP_MD_CTX *digest; /* owned */
};

static int put(struct writer *w, const void *data, uint64_t bytes, struct mk_error *err)
{
    const unsigned char *at = data;

    while (bytes > 0) {
        size_t n = bytes < MAX_PIECE ? (size_t)bytes : MAX_PIECE;

        if (!EVP_DigestUpdate(w->digest, at, n))
            return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
        if (part_file_write(&w->file, at, n, err))
            return err->code;
        at += n;
        bytes -= n;
    }
    return 0;
}

static int put_all(struct writer *w, const struct header *h, const int32_t *ids,
                   unsigned char *const *layers, struct mk_error *err)
{
    static const unsigned char zeros[ALIGN] = {0};
    unsigned char digest[DIGEST_BYTES];
    uint64_t ids_bytes = 4 * (uint64_t)h->n_tokens;
    struct sizes s;

    if (!count_bytes(h, &s))
        return mk_error_set(err, MK_ELIMIT, "%u tokens are too many to save", h->n_tokens);
    if (put(w, h, sizeof *h, err) || put(w, ids, ids_bytes, err) ||
        put(w, zeros, s.ids - ids_bytes, err))
        return err->code;
    for (uint32_t l = 0; l < h->n_layers; l++)
        if (put(w, layers[l], s.rows / h->n_layers, err))
            return err->code;
    if (!EVP_DigestFinal_ex(w->digest, digest, NULL))
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    return part_file_write(&w->file, digest, sizeof digest, err);
}

int kv_file_write(const char *path, const struct kv_file_key *key, int32_t n_tokens,
                  const int32_t *ids, unsigned char *const *layers, struct mk_error *err)
{
    struct header h = {.version = VERSION,
                       .dtype = (uint32_t)key->dtype,
                       .n_layers = (uint32_t)key->n_layers,
                       .n_tokens = (uint32_t)n_tokens,
                       .row_bytes = (uint64_t)key->row_bytes};
    struct writer w;
    int rc;

    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.fingerprint, key->fingerprint, sizeof h.fingerprint);
    memcpy(h.options, key->options, strnlen(key->options, sizeof h.options - 1));
    w.digest = EVP_MD_CTX_new();
    if (!w.digest || !EVP_DigestInit_ex(w.digest, EVP_sha256(), NULL)) {
        EVP_MD_CTX_free(w.digest);
        return mk_error_memory(err, DIGEST_BYTES);
    }
    rc = part_file_open(&w.file, path, err);
    if (!rc) {
        if (part_file_make_private(&w.file, err) || put_all(&w, &h, ids, layers, err) ||
            part_file_sync(&w.file, err) || part_file_rename(&w.file, err))
            rc = err->code;
        if (rc)
            part_file_discard(&w.file);
        else
            part_file_keep(&w.file);
    }
    EVP_MD_CTX_free(w.digest);
    return rc;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int read_header(struct header *h, const void *data, size_t bytes, const char *path,
                       struct mk_error *err)
{
    if (bytes < HEADER_BYTES || memcmp(data, magic, sizeof magic) != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: not a saved session of minke", path);
    memcpy(h, data, sizeof *h);
    if (h->version != VERSION)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: saved in version %u of the format, this minke reads version %d",
                            path, h->version, VERSION);
    if (memchr(h->options, 0, sizeof h->options) == NULL)
        return mk_error_set(err, MK_EFORMAT, "%s: options: the text does not end", path);
    return 0;
}

static const char *dtype_name(uint32_t dtype)
{
    return dtype < MK_N_DTYPES ? dtype_info((enum dtype)dtype)->name : "unknown";
}

static int compare_key(const struct header *h, const struct kv_file_key *key, const char *path,
                       struct mk_error *err)
{
    if (memcmp(h->fingerprint, key->fingerprint, sizeof h->fingerprint) != 0)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: saved with another model, load the one it was saved with", path);
    if (h->dtype != (uint32_t)key->dtype)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: saved with a cache of %s, this session's is %s", path,
                            dtype_name(h->dtype), dtype_name((uint32_t)key->dtype));
    if (strcmp(h->options, key->options) != 0)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: saved with the options '%s', this session has '%s'", path,
                            h->options, key->options);
    if (h->n_layers != (uint32_t)key->n_layers || h->row_bytes != (uint64_t)key->row_bytes)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: %u layers of %llu bytes a row, expected %d of %lld", path,
                            h->n_layers, (unsigned long long)h->row_bytes, key->n_layers,
                            (long long)key->row_bytes);
    return 0;
}

static int check_digest(const unsigned char *data, uint64_t bytes, const char *path,
                        struct mk_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (!EVP_Digest(data, (size_t)bytes, digest, NULL, EVP_sha256(), NULL))
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    if (memcmp(digest, data + bytes, DIGEST_BYTES) != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: the checksum does not match, the file is damaged",
                            path);
    return 0;
}

static int check_ids(const int32_t *ids, int32_t n, int32_t n_vocab, const char *path,
                     struct mk_error *err)
{
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return mk_error_set(err, MK_EFORMAT, "%s: token %d is %d, expected 0 to %d", path, i,
                                ids[i], n_vocab - 1);
    return 0;
}

int kv_file_parse(struct kv_file *f, const void *data, size_t bytes, const char *path,
                  const struct kv_file_key *key, int32_t n_vocab, int32_t capacity,
                  struct mk_error *err)
{
    const unsigned char *begin = data;
    struct header h;
    struct sizes s;

    *f = (struct kv_file){0};
    if (read_header(&h, data, bytes, path, err) || compare_key(&h, key, path, err))
        return err->code;
    if (!count_bytes(&h, &s) || s.file != bytes)
        return mk_error_set(err, MK_EFORMAT, "%s: %zu bytes do not fit its %u tokens: cut short?",
                            path, bytes, h.n_tokens);
    if (check_digest(begin, s.file - DIGEST_BYTES, path, err))
        return err->code;
    if (h.n_tokens > (uint32_t)capacity)
        return mk_error_set(err, MK_ELIMIT,
                            "%s: holds %u tokens, this session's context is %d: use a larger one",
                            path, h.n_tokens, capacity);
    f->n_tokens = (int32_t)h.n_tokens;
    f->ids = (const int32_t *)(const void *)(begin + HEADER_BYTES);
    f->rows = begin + HEADER_BYTES + s.ids;
    return check_ids(f->ids, f->n_tokens, n_vocab, path, err);
}

int kv_file_open(struct kv_file *f, const char *path, const struct kv_file_key *key,
                 int32_t n_vocab, int32_t capacity, struct mk_error *err)
{
    struct map_file map;

    *f = (struct kv_file){0};
    if (map_file_open(&map, path, err))
        return err->code;
    if (kv_file_parse(f, map.data, map.bytes, path, key, n_vocab, capacity, err)) {
        map_file_close(&map);
        *f = (struct kv_file){0};
        return err->code;
    }
    f->map = map;
    return 0;
}

void kv_file_close(struct kv_file *f)
{
    map_file_close(&f->map);
    *f = (struct kv_file){0};
}
