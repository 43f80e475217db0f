/* rl_run.h: one run of reinforcement learning in its folder. Parts of `minke rl`. */
#ifndef MK_CLI_RL_RUN_H
#define MK_CLI_RL_RUN_H

#include "cli/cli.h"
#include "cli/memory_told.h"
#include "rl/learner.h"
#include "runs/run_folder.h"
#include "train/prepare.h"

struct rl_run {
    const struct recipe *recipe;
    const char *base;    /* folder of the recipe */
    const char *command; /* for messages: "minke rl" */
    const char *cpu;
    bool resume, quiet;
    char path[RUN_PATH];
    struct run_folder folder;
    struct compute compute;
    struct prepared data;
    struct trainer trainer;
    struct learner learner;
    struct memory_told memory;
    int64_t last_saved; /* step of the last checkpoint, 0: none */
    struct learner_test test;
    bool tested, told_timeout;
    int32_t n_dead; /* last steps without a live group */
    /* The answer of the base to test question before_index of the first task; NULL: not asked. */
    char *before;
    int64_t before_index;
    bool before_correct;
    /* For the terminal. */
    bool terminal, drawn;
    double begun_ms, shown_ms;
    int64_t begun_step;
    float *pass, *length; /* [rl.steps] of each step so far, for the curves */
    int64_t n_curve;
};

/* Until the recipe's steps are done, or Ctrl-C: as train_run. */
int rl_run(struct rl_run *run, struct mk_error *err);

/* What is said while a run is prepared goes to the terminal. */
void rl_listen(struct rl_run *run);

/* Prints what would be done, and nothing else happens: as train_plan. */
int rl_plan(const struct rl_run *run, struct mk_error *err);

/* ---- Parts ---------------------------------------------------------------------------------- */

/* 0 of nothing. */
static inline double rl_share(int64_t n, int64_t of)
{
    return of > 0 ? (double)n / (double)of : 0;
}
/* rl_metrics.c: a line of metrics.jsonl and one of timing.jsonl; tested: run->test is of this
 * step. */
int rl_write_metrics(struct rl_run *run, const struct learner_report *r, bool tested,
                     struct mk_error *err);
/* RUN/samples/step-N.jsonl: answers of the step that was. */
int rl_write_samples(struct rl_run *run, struct mk_error *err);
/* rl_answers.c: asks before the first step, and asks the same and prints both after the last. */
int rl_answer_before(struct rl_run *run, struct mk_error *err);
int rl_answer_after(struct rl_run *run, struct mk_error *err);
/* rl_show.c: the step on the terminal, or now and then a line where there is none. */
void rl_show(struct rl_run *run, const struct learner_report *r, bool last);

#endif
