/* gguf_bytes.h: numbers as GGUF stores them, shared by the reader, the accessors and the writer. */
#ifndef MK_FORMATS_GGUF_BYTES_H
#define MK_FORMATS_GGUF_BYTES_H

#include <stdint.h>

#include "formats/gguf.h"

#define GGUF_DEFAULT_ALIGNMENT 32

/* Little-endian number of n <= 8 bytes. */
static inline uint64_t gguf_read_le(const unsigned char *p, int n)
{
    uint64_t v = 0;

    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* Bytes of one value; 0 for strings and arrays. */
int gguf_type_bytes(enum gguf_type type);

#endif
