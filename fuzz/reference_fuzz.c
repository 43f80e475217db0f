/* reference_fuzz.c: any bytes as the log-probabilities of a reference, as they are and with their
 * checksum made right. */
#include <math.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/reference_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_values(const unsigned char *data, size_t bytes)
{
    struct reference_key key = {{0}, {0}};
    struct mk_error err;
    double values[4];

    if (bytes >= 80)
        memcpy(&key, data + 16, sizeof key);
    if (reference_parse(data, bytes, "fuzz", &key, true, values, 4, &err))
        return;
    for (int i = 0; i < 4; i++)
        if (!isfinite(values[i]))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    unsigned char *copy = calloc(bytes + (bytes == 0), 1); /* exact size */

    if (!copy)
        return 0;
    if (bytes > 0)
        memcpy(copy, data, bytes);
    read_values(copy, bytes);
    if (bytes >= 32 && EVP_Digest(copy, bytes - 32, copy + bytes - 32, NULL, EVP_sha256(), NULL))
        read_values(copy, bytes);
    free(copy);
    return 0;
}
