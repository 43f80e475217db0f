/* rows_file_fuzz.c: any bytes as a file of what teachers said; what is found in it is read whole,
 * and what is added behind it is found. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/rows_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { K = 2, N = 4 };

static void use(struct rows_file *f, const uint8_t *data, size_t size)
{
    int32_t ids[N * K] = {0};
    float logp[N * K] = {0}, rest[N] = {0};
    unsigned char text[ROWS_TEXT_BYTES] = {0};
    struct mk_error err;
    bool found;

    for (size_t at = 48; at + 24 <= size; at++) /* a record may begin anywhere */
        for (int32_t n = 0; n <= N; n += N) {
            struct rows r = {n, ids, logp, rest};

            memcpy(text, data + at, sizeof text);
            if (rows_file_find(f, text, &r, &found, &err))
                abort();
        }
    struct rows r = {N, ids, logp, rest};
    if (rows_file_add(f, text, &r, &err) || rows_file_find(f, text, &r, &found, &err) || !found)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rows_file_key key = {{0}, K};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct mk_error err = {0};
    struct rows_file *f;
    char name[64];

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    if (size >= 48)
        memcpy(key.teachers, data + 16, sizeof key.teachers);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (!rows_file_open(&f, name, &key, &err)) {
        use(f, data, size);
        rows_file_close(f);
    } else if (!*err.text || f)
        abort();
    close(fd);
    return 0;
}
