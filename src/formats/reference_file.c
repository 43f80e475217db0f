/* reference_file.c: see reference_file.h for the layout. */
#include "formats/reference_file.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"

#define VERSION 1
#define DIGEST_BYTES 32

static const char magic[8] = {'m', 'i', 'n', 'k', 'e', '-', 'r', 'f'};

struct header {
    char magic[8];
    uint32_t version, zero;
    struct reference_key key;
    uint64_t n_values;
};
_Static_assert(sizeof(struct header) == 88, "the layout in reference_file.h");

static int digest(const void *data, size_t n, unsigned char out[DIGEST_BYTES], struct mk_error *err)
{
    return EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL)
               ? 0
               : mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
}

int reference_file_write(const char *path, const struct reference_key *key, const double *values,
                         int64_t n, struct mk_error *err)
{
    struct header h = {.version = VERSION, .key = *key, .n_values = (uint64_t)n};
    size_t values_bytes = (size_t)n * sizeof *values, all = sizeof h + values_bytes;
    unsigned char *bytes = malloc(all + DIGEST_BYTES);
    int code;

    if (!bytes)
        return mk_error_memory(err, all);
    memcpy(h.magic, magic, sizeof magic);
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + sizeof h, values, values_bytes);
    code = digest(bytes, all, bytes + all, err);
    if (!code)
        code = write_file(path, bytes, all + DIGEST_BYTES, err);
    free(bytes);
    return code;
}

int reference_parse(const void *data, size_t n_bytes, const char *path,
                    const struct reference_key *key, bool check_model, double *values, int64_t n,
                    struct mk_error *err)
{
    const unsigned char *bytes = data;
    unsigned char sum[EVP_MAX_MD_SIZE];
    struct header h;

    if (n_bytes < sizeof h + DIGEST_BYTES || memcmp(bytes, magic, sizeof magic) != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: not the log-probabilities of a reference", path);
    memcpy(&h, bytes, sizeof h);
    if (digest(bytes, n_bytes - DIGEST_BYTES, sum, err))
        return err->code;
    if (memcmp(sum, bytes + n_bytes - DIGEST_BYTES, DIGEST_BYTES) != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: the checksum does not match, the file is damaged",
                            path);
    if (h.version != VERSION || memcmp(h.key.data, key->data, sizeof key->data) != 0 ||
        (check_model && memcmp(h.key.model, key->model, sizeof key->model) != 0))
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: of another version, other data or another model", path);
    if (h.n_values != (uint64_t)n ||
        (n_bytes - sizeof h - DIGEST_BYTES) / sizeof *values != (size_t)n ||
        (n_bytes - sizeof h - DIGEST_BYTES) % sizeof *values != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: %zu bytes are not %lld log-probabilities", path,
                            n_bytes, (long long)n);
    memcpy(values, bytes + sizeof h, (size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return mk_error_set(err, MK_EFORMAT, "%s: value %lld is not a number", path,
                                (long long)i);
    return 0;
}

int reference_file_read(const char *path, const struct reference_key *key, bool check_model,
                        double *values, int64_t n, struct mk_error *err)
{
    struct map_file m;
    int code;

    if (map_file_open(&m, path, err))
        return err->code;
    code = reference_parse(m.data, m.bytes, path, key, check_model, values, n, err);
    map_file_close(&m);
    return code;
}
