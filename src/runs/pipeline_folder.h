/* pipeline_folder.h: the folder of a pipeline: a run folder for each stage, and which are done.
 *
 *   PIPELINE/pipeline.yaml       as it was read
 *   PIPELINE/STAGE/              run_folder.h, or texts
 *   PIPELINE/STAGE/recipe.yaml   every key with the value it had
 *   PIPELINE/STAGE/result.json   {"result": "checkpoints/step-000040"}: written when it is done
 *
 * Stages are done in order. One that shall be done again is removed, with those behind it. One
 * process works on a pipeline at a time. One owner. */
#ifndef MK_RUNS_PIPELINE_FOLDER_H
#define MK_RUNS_PIPELINE_FOLDER_H

#include <stdbool.h>

#include "base/buf.h"
#include "runs/run_folder.h"

struct pipeline_folder {
    char path[RUN_PATH]; /* absolute */
    int lock;            /* file descriptor, or -1; held until pipeline_folder_close */
};

/* Makes the folder, or goes on with the one that is there. text: of pipeline.yaml. MK_EINVAL when
 * there is one and resume is not set. On failure nothing is held. */
int pipeline_folder_open(struct pipeline_folder *f, const char *path, bool resume,
                         const void *text, size_t n, struct mk_error *err);
void pipeline_folder_close(struct pipeline_folder *f);
/* PIPELINE/STAGE or, with a name, PIPELINE/STAGE/NAME. */
int pipeline_folder_path(const struct pipeline_folder *f, char out[RUN_PATH], const char *stage,
                         const char *name, struct mk_error *err);
/* For stages that are no runs of their own: makes PIPELINE/STAGE with its recipe.yaml. */
int pipeline_folder_stage(const struct pipeline_folder *f, const char *stage,
                          const struct buf *recipe, struct mk_error *err);
/* Whether a stage is done: *done, and its result's absolute path, which is there. */
int pipeline_folder_result(const struct pipeline_folder *f, const char *stage, bool *done,
                           char result[RUN_PATH], struct mk_error *err);
/* It is done; result: a path in its folder. */
int pipeline_folder_finish(const struct pipeline_folder *f, const char *stage, const char *result,
                           struct mk_error *err);

#endif
