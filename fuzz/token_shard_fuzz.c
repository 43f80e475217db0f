/* token_shard_fuzz.c: any bytes as a shard of tokens. What a checksum would hide is tried too: each
 * input is read as it is and once more with its last 32 bytes made right. */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/token_shard.h"
#include "train/corpus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_all(const void *data, size_t bytes)
{
    struct token_shard s;
    struct mk_error err;
    unsigned char learned;
    int32_t id;

    if (token_shard_parse(&s, data, bytes, "fuzz", NULL, &err))
        return;
    for (int64_t d = 0; d < s.n_documents; d++) {
        bool learns = s.kind == TOKEN_SHARD_TEXT;

        for (int64_t i = 0; i < token_shard_length(&s, d); i++) {
            token_shard_read(&s, d, i, 1, &id);
            token_shard_read_learned(&s, d, i, 1, &learned);
            if (id < 0 || id >= s.n_vocab)
                abort();
            learns |= i > 0 && learned;
        }
        if (!learns || corpus_fit(&s, d, 16) > token_shard_length(&s, d))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    unsigned char *copy = calloc(bytes + (bytes == 0), 1); /* exact size, aligned */

    if (!copy)
        return 0;
    if (bytes > 0)
        memcpy(copy, data, bytes);
    read_all(copy, bytes);
    if (bytes >= 32 && EVP_Digest(copy, bytes - 32, copy + bytes - 32, NULL, EVP_sha256(), NULL))
        read_all(copy, bytes);
    free(copy);
    return 0;
}
