/* dice.c: keyed random choices. */
#include "tasks/dice.h"

#include "base/hash.h"
#include "base/rng.h"

uint64_t dice_seed(uint64_t seed, const char *name)
{
    uint64_t h = HASH_BEGIN ^ seed; /* Philox does the mixing */

    for (; *name; name++)
        h = hash_add(h, (unsigned char)*name);
    return h;
}

int dice_below(struct dice *d, int n)
{
    uint32_t w[4], bound = (uint32_t)n, unfair = -bound % bound; /* 2^32 mod n */

    do
        rng_words(d->seed, d->sequence, d->position++, w);
    while (w[0] < unfair);
    return (int)(w[0] % bound);
}

int dice_between(struct dice *d, int low, int high)
{
    return low + dice_below(d, high - low + 1);
}

double dice_uniform(struct dice *d)
{
    return rng_uniform(d->seed, d->sequence, d->position++);
}

bool dice_chance(struct dice *d, double p)
{
    return dice_uniform(d) < p;
}

void dice_shuffle(struct dice *d, int *values, int n)
{
    for (int i = n - 1; i > 0; i--) {
        int j = dice_below(d, i + 1), swap = values[i];

        values[i] = values[j];
        values[j] = swap;
    }
}
