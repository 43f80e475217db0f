/* minhash.c: words, shingles of them, and their minima. */
#include "train/minhash.h"

#include <stdbool.h>

#include "base/hash.h"

static int word_byte(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c | 0x20;
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80 ? c : -1;
}

/* Of a character from U+3000 on, by its first byte; 0 for all others. */
static size_t char_bytes(unsigned char first)
{
    return first >= 0xF0 ? 4 : first >= 0xE3 ? 3 : 0;
}

/* The hash of the next word; false at the end. */
static bool next_word(const char *text, size_t n, size_t *at, uint64_t *hash)
{
    uint64_t h = HASH_BEGIN;
    size_t i = *at, whole, end;
    int c;

    while (i < n && word_byte((unsigned char)text[i]) < 0)
        i++;
    if (i == n)
        return false;
    whole = char_bytes((unsigned char)text[i]);
    end = whole && n - i > whole ? i + whole : n;
    for (; i < end && (c = word_byte((unsigned char)text[i])) >= 0; i++) {
        if (!whole && char_bytes((unsigned char)text[i]))
            break;
        h = hash_add(h, (uint64_t)c);
    }
    *at = i;
    *hash = hash_mix(h);
    return true;
}

/* words [n] in a ring, the oldest at `first`: the order counts. */
static uint64_t shingle_hash(const uint64_t *words, int32_t first, int32_t n, int32_t size)
{
    uint64_t h = 0;

    for (int32_t i = 0; i < n; i++)
        h = hash_mix(h * 0x9E3779B97F4A7C15u + words[(first + i) % size]);
    return h;
}

void minhash_keys(uint64_t seed, int32_t n_hashes, uint64_t *keys)
{
    for (int32_t k = 0; k < n_hashes; k++)
        keys[k] = hash_mix(seed + (uint64_t)(k + 1) * 0x9E3779B97F4A7C15u);
}

/* Multiply-shift, with an odd multiplier for each hash function. */
static void take_minima(uint64_t shingle, const uint64_t *keys, int32_t n_hashes,
                        uint32_t *signature)
{
    for (int32_t k = 0; k < n_hashes; k++) {
        uint32_t h = (uint32_t)((shingle * (keys[k] | 1) + (keys[k] >> 7)) >> 32);

        if (h < signature[k])
            signature[k] = h;
    }
}

void minhash(const char *text, size_t n, int32_t shingle, const uint64_t *keys, int32_t n_hashes,
             uint32_t *signature)
{
    uint64_t words[MINHASH_MAX_SHINGLE], word;
    int64_t n_words = 0;
    size_t at = 0;

    for (int32_t k = 0; k < n_hashes; k++)
        signature[k] = UINT32_MAX;
    while (next_word(text, n, &at, &word)) {
        words[n_words++ % shingle] = word;
        if (n_words >= shingle)
            take_minima(shingle_hash(words, (int32_t)(n_words % shingle), shingle, shingle), keys,
                        n_hashes, signature);
    }
    if (n_words > 0 && n_words < shingle)
        take_minima(shingle_hash(words, 0, (int32_t)n_words, shingle), keys, n_hashes, signature);
}
