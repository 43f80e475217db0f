/* metrics.h: metrics.jsonl of a run: one JSON object a line, appended and never rewritten.
 *
 * A killed run may leave half a line, and lines of steps behind its last checkpoint: both are cut
 * when the run goes on, so that the file is the one of an uninterrupted run. One owner. */
#ifndef MK_RUNS_METRICS_H
#define MK_RUNS_METRICS_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct metrics {
    FILE *file; /* owned */
    char *path; /* owned */
};

/* keep_step: lines whose "step" is above it are cut; 0: the file must not be there yet. */
int metrics_open(struct metrics *m, const char *path, int64_t keep_step, struct mk_error *err);
/* One JSON object, without line break. */
int metrics_append(struct metrics *m, const char *json, struct mk_error *err);
/* On the disk: before a checkpoint is written. */
int metrics_sync(struct metrics *m, struct mk_error *err);
void metrics_close(struct metrics *m);

#endif
