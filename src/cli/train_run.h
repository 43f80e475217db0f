/* train_run.h: one training run in its folder (runs/run_folder.h). Parts of `minke train`. */
#ifndef MK_CLI_TRAIN_RUN_H
#define MK_CLI_TRAIN_RUN_H

#include <stdbool.h>

#include "cli/cli.h"
#include "cli/memory_told.h"
#include "kernels/kernels.h"
#include "runs/run_folder.h"
#include "train/distill.h"
#include "train/prepare.h"
#include "train/dpo_reference.h"
#include "train/trainer.h"

struct train_run {
    const struct recipe *recipe;
    const char *base;    /* folder of the recipe */
    const char *command; /* for messages: "minke train" */
    const char *cpu;
    bool resume, quiet;
    char path[RUN_PATH]; /* of the run */
    struct run_folder folder;
    struct compute compute;
    struct prepared data;
    struct trainer trainer;
    struct dpo_reference reference; /* of pairs */
    struct teachers teachers;       /* with distill.teachers */
    int64_t last_saved; /* step of the last checkpoint, 0: none */
    /* For the progress line. */
    bool terminal;
    double begun_ms, shown_ms;
    double trained_ms; /* in steps, without evaluations */
    double token_ops, peak_ops; /* see train/speed.h */
    double peak_ms; /* when a step last asked for another measurement of the peak, 0: none did */
    struct memory_told memory;
    struct evaluation valid; /* the last one */
    double valid_ema;        /* its loss with the mean of weights */
    int64_t begun_tokens;
};

/* Until the recipe's tokens are seen, or Ctrl-C. Returns 0, MK_ECANCELLED after Ctrl-C (the run can
 * be resumed), or another error; the last checkpoint stays whatever happens. */
int train_run(struct train_run *run, struct mk_error *err);

/* What a run says on its way goes to stderr unless it is quiet. */
void train_listen(struct train_run *run);

/* Prints what would be done, and nothing else happens: the recipe with every key, behind comments
 * with sizes. Reads the model's header alone. */
int train_plan(const struct train_run *run, struct mk_error *err);

/* ---- Parts ---------------------------------------------------------------------------------- */

/* A recipe as it was read, with the paths that models' names in the store stand for. */
struct train_recipe {
    struct recipe r;
    struct arena memory;
    char base[RUN_PATH]; /* its folder */
};
/* run: its run's folder, what it names, or runs/ and its own name. */
int train_read_recipe(struct train_recipe *t, const char *path, const struct cli_list *sets,
                      char run[RUN_PATH], struct mk_error *err);
void train_recipe_release(struct train_recipe *t);
/* With --resume, of a run that has nothing to go on from: a folder that is called by a wrong name,
 * perhaps. */
void train_say_begins(const char *run, bool resume, bool quiet);
/* run_folder_open with the recipe as it was resolved. */
int train_open_folder(struct run_folder *f, const struct recipe *r, const char *run,
                      const char *command, bool resume, struct mk_error *err);
/* Of a recipe, before the model is known; experts are divided among as many devices as there are
 * groups unless the recipe says. */
struct trainer_options train_options(const struct recipe *r);
int train_set_devices(struct trainer_options *o, const struct arch *a, struct mk_error *err);
/* Tells what the run will need and what the machine can do; refuses when it is too little. */
int train_announce(struct train_run *run, struct mk_error *err);
/* Behind a step of this speed: measures the machine again when no machine could be so fast. */
int train_correct_peak(struct train_run *run, double tokens_per_s, struct mk_error *err);
/* Tells how it went: each source's part, memory. */
void train_finish(const struct train_run *run);

/* A line of metrics.jsonl and one of timing.jsonl; in detail: with the load of every expert, and
 * `valid`, which is of this step then. before: the mixture's counters in front of the step. */
int train_write_metrics(struct train_run *run, const struct step_report *r,
                        const struct mixture_state *before, bool in_detail, double step_ms,
                        struct mk_error *err);
/* The line on a terminal; in a pipe a line every so often. */
void train_show(struct train_run *run, const struct step_report *r, bool last);
/* RUN/samples/step-N.txt */
int train_sample(struct train_run *run, struct mk_error *err);

#endif
