/* kv_file_fuzz.c: any bytes as a saved session. What a checksum would hide is tried too: each input
 * is read as it is and once more with its last 32 bytes made right. */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "generate/kv_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_all(const void *data, size_t bytes)
{
    struct kv_file_key key = {
        .options = "mla=absorbed", .dtype = MK_BF16, .n_layers = 2, .row_bytes = 36};
    struct kv_file f;
    struct mk_error err;
    volatile unsigned char last = 0;

    memset(key.fingerprint, 0xab, sizeof key.fingerprint);
    if (kv_file_parse(&f, data, bytes, "fuzz", &key, 1000, 1 << 20, &err))
        return;
    for (int32_t t = 0; t < f.n_tokens; t++)
        if (f.ids[t] < 0 || f.ids[t] >= 1000)
            abort();
    if (f.n_tokens > 0)
        last = f.rows[2 * (size_t)f.n_tokens * 36 - 1];
    (void)last;
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
