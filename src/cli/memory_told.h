/* memory_told.h: what a run will need of the machine's memory: refused before it begins when there
 * is less, else told. Parts of `minke train` and `minke rl`. */
#ifndef MK_CLI_MEMORY_TOLD_H
#define MK_CLI_MEMORY_TOLD_H

#include "train/need.h"

struct memory_told {
    const char *lower; /* the recipe's keys that make it smaller */
    const char *rest;  /* what need.rest is, in two or three words */
    bool quiet;
    uint64_t bytes;    /* out: as told */
};

/* Before anything but the masters is there: MK_EMEMORY for what cannot fit. */
int memory_told_check(const struct memory_told *m, const struct params *p,
                      const struct trainer_options *o, struct mk_error *err);
/* After need_measure: MK_EMEMORY, or a line, and room for the passes in one piece. */
int memory_told_tell(struct memory_told *m, const struct need *n, struct trainer *t,
                     struct mk_error *err);
/* How it went: the most there has been beside what was told. */
void memory_told_after(const struct memory_told *m);

#endif
