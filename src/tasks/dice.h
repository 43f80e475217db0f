/* dice.h: random choices in a row that follows from its key (seed, sequence).
 *
 * Counter-based as everything random here (base/rng.h): two dice of one key roll the same. */
#ifndef MK_TASKS_DICE_H
#define MK_TASKS_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t seed, sequence, position; /* of the next roll */
};

/* A seed for something named, apart from every other name's. */
uint64_t dice_seed(uint64_t seed, const char *name);
/* 0 .. n-1, all equally probable; n >= 1. */
int dice_below(struct dice *d, int n);
/* low .. high. */
int dice_between(struct dice *d, int low, int high);
/* [0, 1) */
double dice_uniform(struct dice *d);
bool dice_chance(struct dice *d, double p);
void dice_shuffle(struct dice *d, int *values, int n);

#endif
