/* samples.h: what a run wrote along its way: RUN/samples/step-N.txt, the first and the last. */
#ifndef MK_RUNS_SAMPLES_H
#define MK_RUNS_SAMPLES_H

#include <stdint.h>

#include "base/error.h"

#define SAMPLE_MAX_BYTES 1500 /* of a text; the rest is left out */

struct sample { int64_t step; char *text; }; /* owned; NULL: there is none */
struct samples { struct sample first, last; }; /* last: none when there is one alone */

/* folder: of a run. */
int samples_read(struct samples *s, const char *folder, struct mk_error *err);
void samples_release(struct samples *s);

#endif
