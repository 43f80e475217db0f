/* shuffle.c: a permutation that is computed. */
#include "base/shuffle.h"

#include "base/rng.h"

#define ROUNDS 6

static uint64_t feistel(uint64_t seed, uint64_t epoch, uint64_t x, int half_bits)
{
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = x >> half_bits, right = x & mask;

    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint32_t w[4];
        uint64_t next;

        /* right < 2^31; the round goes above it, the top byte keeps other draws apart */
        rng_words(seed, epoch, right | round << 32 | (uint64_t)0x5f << 56, w);
        next = left ^ (w[0] & mask);
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

uint64_t shuffle_at(uint64_t seed, uint64_t epoch, uint64_t place, uint64_t n)
{
    int half_bits = 1;

    while (half_bits < 31 && (uint64_t)1 << 2 * half_bits < n)
        half_bits++;
    do {
        place = feistel(seed, epoch, place, half_bits);
    } while (place >= n);
    return place;
}
