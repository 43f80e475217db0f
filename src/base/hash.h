/* hash.h: numbers of 64 bits that bytes are told apart by: in tables, as keys of random draws, to
 * see that a text has changed. Their values are in files and decide draws: they never change. Who
 * wants two texts with one hash finds them; against that there is SHA-256.
 *
 * FNV-1a (Fowler, Noll and Vo) takes bytes one after the other, from HASH_BEGIN on; its low bits
 * are good, its high ones of short texts are not: hash_mix, the last step of splitmix64 (Steele et
 * al. 2014), makes every bit depend on every other. */
#ifndef MK_BASE_HASH_H
#define MK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BEGIN 0xcbf29ce484222325u

/* x: the next byte, or a number of up to 64 bits in the place of one. */
static inline uint64_t hash_add(uint64_t h, uint64_t x)
{
    return (h ^ x) * 0x100000001b3u;
}

static inline uint64_t hash_bytes(const void *data, size_t n)
{
    const unsigned char *bytes = data;
    uint64_t h = HASH_BEGIN;

    for (size_t i = 0; i < n; i++)
        h = hash_add(h, bytes[i]);
    return h;
}

static inline uint64_t hash_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

#endif
