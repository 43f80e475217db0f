/* compare.h: evaluations side by side, from their folders.
 *
 * Where two answered the same questions their difference is one of pairs: its error is that of the
 * mean of each question's difference, smaller than that of two samples where models find the same
 * questions hard. */
#ifndef MK_EVAL_COMPARE_H
#define MK_EVAL_COMPARE_H

#include "eval/score.h"

#define COMPARE_MAX 16

struct compare_row {
    char *suite; /* owned */
    char score[32];
    struct estimate value[COMPARE_MAX];      /* of each folder; n 0: it has not this score */
    struct estimate difference[COMPARE_MAX]; /* from the first folder's; of [0] nothing */
    bool paired[COMPARE_MAX];
};
struct comparison {
    char *model[COMPARE_MAX]; /* owned */
    int32_t n_models;
    struct compare_row *rows; /* owned, [n_rows] suite by suite */
    int32_t n_rows;
};

/* Is this the folder of an evaluation? */
bool compare_is_folder(const char *path);
/* Reads results.json and SUITE.jsonl of 1 to COMPARE_MAX folders. MK_EFORMAT names the damage. */
int  compare_read(struct comparison *c, const char *const *folders, int32_t n,
                  struct mk_error *err);
void compare_release(struct comparison *c);

#endif
