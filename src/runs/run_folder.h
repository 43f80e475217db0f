/* run_folder.h: the folder of a run: its name, its lock, its checkpoints and its metrics.
 *
 *   RUN/recipe.yaml          every key with the value it has
 *   RUN/recipe.to-step-N.yaml  what they were until then, where a resume has changed some
 *   RUN/metrics.jsonl        a line a step; nothing in it depends on the clock
 *   RUN/timing.jsonl         what does
 *   RUN/checkpoints/step-N/  the last few
 *   RUN/samples/             what the model wrote
 *
 * One process works on a run at a time. One owner. */
#ifndef MK_RUNS_RUN_FOLDER_H
#define MK_RUNS_RUN_FOLDER_H

#include <stdbool.h>

#include "base/buf.h"
#include "runs/metrics.h"

#define RUN_PATH 4096

struct run_folder {
    char path[RUN_PATH];
    struct metrics metrics, timing;
    struct buf recipe; /* text of recipe.yaml */
    int lock; /* file descriptor, or -1; held until run_folder_close */
    bool resume;
    int64_t step; /* of the checkpoint that the run goes on from; 0: none */
};

/* Makes the folder, or goes on with the one that is there. command: for messages, "minke train".
 * recipe: text of recipe.yaml, copied; written here only where nothing is learned yet. f->step is
 * that of the last whole checkpoint, 0 when there is none. On failure nothing is held. */
int run_folder_open(struct run_folder *f, const char *path, const char *command, bool resume,
                    const struct buf *recipe, struct mk_error *err);
/* Whether two texts of recipe.yaml ask for the same numbers: all keys but `threads` are equal. */
bool run_folder_same_recipe(const char *a, size_t n_a, const char *b, size_t n_b);
/* Once the run is sure to begin, so that one that fails before changes nothing: recipe.yaml says
 * what holds from here on; metrics and timing are opened, cut behind run_folder_open's step. */
int run_folder_start(struct run_folder *f, struct mk_error *err);
void run_folder_close(struct run_folder *f);
/* RUN/name */
int run_folder_path(const struct run_folder *f, char out[RUN_PATH], const char *name,
                    struct mk_error *err);
/* RUN/checkpoints/step-N */
int run_folder_checkpoint(const struct run_folder *f, char out[RUN_PATH], int64_t step,
                          struct mk_error *err);
/* A damaged checkpoint is not the end of a run: where *err speaks of `from`, the one at f->step,
 * and an earlier one is there, it says what to do as well. Returns err->code. */
int run_folder_say_earlier(const struct run_folder *f, const char *from, struct mk_error *err);
/* Metrics are on the disk: before a checkpoint is written. */
int run_folder_sync(struct run_folder *f, struct mk_error *err);
/* Whether something that comes every so many steps comes now; every 0: at the end alone. */
static inline bool run_folder_due(int64_t every, int64_t step, bool last)
{
    return last || (every > 0 && step % every == 0);
}
/* What is left when a run cannot go on: puts the last checkpoint, of step last_saved, in front of
 * the error; 0: there is none. Returns err->code. */
int run_folder_explain(const struct run_folder *f, int64_t last_saved, struct mk_error *err);
/* The recipe of the run in `folder`, its first 64 KB: *text is the caller's to free; NULL when none
 * is there. */
int run_folder_recipe(char **text, const char *folder, struct mk_error *err);
/* Removes the oldest checkpoints until `keep` are left. What somebody else has put in one stays,
 * and the folder with it. */
void run_folder_prune(const struct run_folder *f, int64_t keep);

#endif
