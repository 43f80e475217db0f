/* minhash.h: a document's signature: for each of n hash functions the least value over its
 * shingles. Two signatures agree in about as many places as the documents share shingles.
 *
 * Words are runs of ASCII letters and digits in lower case and of other letters; a character from
 * U+3000 on (Chinese, Japanese, Korean) is a word of its own. */
#ifndef MK_TRAIN_MINHASH_H
#define MK_TRAIN_MINHASH_H

#include <stddef.h>
#include <stdint.h>

#define MINHASH_MAX_SHINGLE 32

/* keys [n_hashes] of the hash functions. */
void minhash_keys(uint64_t seed, int32_t n_hashes, uint64_t *keys);
/* signature [n_hashes]. 1 <= shingle <= MINHASH_MAX_SHINGLE words. Text without words: all
 * UINT32_MAX. */
void minhash(const char *text, size_t n, int32_t shingle, const uint64_t *keys, int32_t n_hashes,
             uint32_t *signature);

#endif
