/* pipeline.h: a pipeline at work. Parts of `minke pipeline`. */
#ifndef MK_CLI_PIPELINE_H
#define MK_CLI_PIPELINE_H

#include "cli/cli.h"
#include "runs/pipeline_folder.h"
#include "train/pipeline.h"

struct pipeline_run {
    struct pipeline pipeline;
    struct pipeline_folder folder;
    const char *path;    /* of the recipe */
    char base[RUN_PATH]; /* its folder */
    const char *cpu, *until; /* until: the last stage to do, or NULL: all */
    bool resume, quiet;
    int32_t n_done;
};

/* Every stage that is not done, in order. 0, MK_ECANCELLED after Ctrl-C, or another error: what is
 * done stays. */
int pipeline_run(struct pipeline_run *run, struct mk_error *err);

/* ---- Parts ---------------------------------------------------------------------------------- */

/* One stage in its folder, whose recipe is resolved; result: what it made, a path in the folder. */
int pipeline_run_stage(struct pipeline_run *run, const struct pipeline_stage *s,
                       char result[RUN_PATH], struct mk_error *err);
/* Those of kind corpus and sample. */
int pipeline_run_corpus(struct pipeline_run *run, const struct pipeline_stage *s,
                        const char *result, struct mk_error *err);
int pipeline_run_sample(struct pipeline_run *run, const struct pipeline_stage *s,
                        const char *result, struct mk_error *err);
/* Whether their tasks are there and their rules have a meaning. */
int pipeline_check_texts(const struct pipeline_run *run, const struct pipeline_stage *s,
                         struct mk_error *err);
/* The list of stages: which are done, which is next; in the work: `now` is. */
void pipeline_show(const struct pipeline_run *run, const struct pipeline_stage *now);
/* What would be done: the list, and every recipe with all its keys, as YAML. */
int pipeline_plan(const struct pipeline_run *run, struct mk_error *err);

#endif
