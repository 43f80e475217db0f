/* vocab_fingerprint.c: what a vocabulary is, in 32 bytes. */
#include <openssl/evp.h>
#include <string.h>

#include "formats/vocab.h"

static bool add(EVP_MD_CTX *c, const void *data, size_t n)
{
    return EVP_DigestUpdate(c, data, n);
}

static bool add_number(EVP_MD_CTX *c, int64_t n)
{
    return add(c, &n, sizeof n);
}

/* The length first: "ab" "c" is not "a" "bc". */
static bool add_text(EVP_MD_CTX *c, struct vocab_text t)
{
    return add_number(c, t.n) && (t.n == 0 || add(c, t.data, t.n));
}

static bool add_all(EVP_MD_CTX *c, const struct vocab *v)
{
    bool fine = add_number(c, v->kind) && add_number(c, v->n_tokens) &&
                add_number(c, v->n_merges) && add_number(c, v->n_regexes) &&
                add_number(c, v->nfc << 2 | v->ignore_merges << 1 | v->byte_level_prefix_space);

    for (int32_t i = 0; fine && i < v->n_tokens; i++)
        fine = add_text(c, v->texts[i]) && add_number(c, v->kinds[i]);
    for (int64_t i = 0; fine && i < v->n_merges; i++)
        fine = add_text(c, v->merges[i][0]) && add_text(c, v->merges[i][1]);
    for (int32_t i = 0; fine && i < v->n_regexes; i++)
        fine = add_text(c, v->regexes[i]);
    if (fine && v->scores)
        fine = add(c, v->scores, (size_t)v->n_tokens * sizeof *v->scores);
    return fine;
}

int vocab_fingerprint(const struct vocab *v, unsigned char out[32], struct mk_error *err)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool fine = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) && add_all(c, v) &&
                EVP_DigestFinal_ex(c, out, NULL);

    EVP_MD_CTX_free(c);
    return fine ? 0 : mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
}
