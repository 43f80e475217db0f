/* shuffle.h: a seeded order of n things, of which any place can be asked: where a run stands in it
 * is one integer, and nothing is stored.
 *
 * A Feistel network over the least even number of bits that holds n, its rounds keyed by Philox;
 * what falls outside 0..n-1 is sent through again (Black and Rogaway 2002, cycle walking). */
#ifndef MK_BASE_SHUFFLE_H
#define MK_BASE_SHUFFLE_H

#include <stdint.h>

/* What stands at `place` (0..n-1) of order `epoch` under `seed`. 1 <= n <= 2^62. */
uint64_t shuffle_at(uint64_t seed, uint64_t epoch, uint64_t place, uint64_t n);

#endif
