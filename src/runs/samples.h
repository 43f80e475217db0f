/* samples.h: what a run of minke train wrote along its way: RUN/samples/step-N.txt, the first and
 * the last. */
#ifndef MK_RUNS_SAMPLES_H
#define MK_RUNS_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SAMPLE_MAX_BYTES 1500 /* of a text; the rest is left out */

struct sample { int64_t step; char *text; }; /* owned; NULL: there is none */
struct samples { struct sample first, last; }; /* last: none when there is one alone */

/* folder: of a run. */
int samples_read(struct samples *s, const char *folder, struct mk_error *err);
void samples_release(struct samples *s);

/* ---- For answers.c also ---------------------------------------------------------------------- */

/* The steps whose samples/step-N and `suffix` are there, ascending: *steps [*n], the caller's to
 * free; NULL when there are none. */
int samples_steps(int64_t **steps, size_t *n, const char *folder, const char *suffix,
                  struct mk_error *err);
/* The first bytes of a text, SAMPLE_MAX_BYTES at most and no character cut; NULL: no memory. */
char *samples_beginning(const char *text, size_t n);

#endif
