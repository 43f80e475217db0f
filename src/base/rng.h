/* rng.h: random numbers from a counter: a draw depends on (seed, sequence, position) alone, never
 * on what was drawn before.
 *
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). */
#ifndef MK_BASE_RNG_H
#define MK_BASE_RNG_H

#include <stdint.h>

/* Four independent 32-bit words. */
void rng_words(uint64_t seed, uint64_t sequence, uint64_t position, uint32_t out[4]);
/* Uniform in [0, 1) with 53 bits. */
double rng_uniform(uint64_t seed, uint64_t sequence, uint64_t position);

#endif
