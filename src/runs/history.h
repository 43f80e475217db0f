/* history.h: what a run wrote about itself, read back as curves: metrics.jsonl and timing.jsonl.
 *
 * The files are hostile: a line that is no object of a step is refused by its number, except a last
 * one without line break, which a killed run leaves. Read-only once read; one owner. */
#ifndef MK_RUNS_HISTORY_H
#define MK_RUNS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runs/answers.h"
#include "runs/samples.h"

struct history_point { int64_t step; double x, y; }; /* x: tokens seen; of minke rl: the step */
struct history_series {
    char *name;                    /* owned; any text */
    struct history_point *points;  /* [n] owned, steps ascending; y is finite */
    size_t n, capacity;
};

enum history_kind {
    HISTORY_LOSS, HISTORY_VALID, HISTORY_MTP, HISTORY_BALANCE, HISTORY_LR, HISTORY_NORM,
    HISTORY_DIVERGENCE, /* from teachers */
    /* Of minke rl alone, means over the answers of a step: */
    HISTORY_REWARD, HISTORY_PASS, HISTORY_LENGTH, HISTORY_TRUNCATED, HISTORY_FORMED,
    HISTORY_ENTROPY, HISTORY_KL, HISTORY_MISMATCH, HISTORY_MEAN_MISMATCH, HISTORY_CLIPPED,
    HISTORY_TEST, HISTORY_TEST_LENGTH, /* greedy answers to test questions */
    HISTORY_LIVE,                      /* share of the groups that were asked */
    /* Of pairs alone (direct preference optimisation, reward models), means over a step's pairs or,
     * VALID, over those of the validation share: */
    HISTORY_MARGIN, HISTORY_RIGHT, HISTORY_CHOSEN, HISTORY_REJECTED, HISTORY_VALID_MARGIN,
    HISTORY_VALID_RIGHT,
    /* Of timing.jsonl: */
    HISTORY_SPEED, /* tokens a second; of minke rl those of answers */
    HISTORY_UTILISATION, /* of the machine's arithmetic */
    HISTORY_MS,
    HISTORY_N
};

#define HISTORY_MAX_EXPERTS 4096
struct history_load {
    int64_t step, *tokens;         /* of each expert, [n] owned; n 0: never told */
    size_t n;
};
struct history_map {
    struct history_load *sources;  /* [n] by place in history.sources; owned */
    size_t n;
};

#define HISTORY_MAX_PARTS 1024 /* sources, layers */
struct history_parts { struct history_series *items; size_t n; }; /* owned */

struct history {
    char *name;                            /* the folder's own; owned */
    bool rl;                               /* written by minke rl, not by minke train */
    int64_t step, n_skipped;               /* of the last line; steps that changed nothing */
    double tokens, seconds;                /* seen; spent in steps */
    struct history_series series[HISTORY_N];
    struct history_parts sources;          /* loss of each */
    struct history_parts source_valid, source_tokens, source_epochs; /* the same names */
    struct history_parts layers;           /* busiest expert's load in means; name: the number */
    struct history_parts entropy, information, dropped; /* of layers, see docs/training.md */
    struct history_load *loads;            /* [layers.n] the last that was told; owned */
    struct history_parts task_reward, task_pass, task_level, task_test; /* by name of the task */
    char *recipe;                          /* recipe.yaml as it is; owned; NULL: there is none */
    struct samples samples;
    struct answers answers;
    struct history_map *maps;              /* [layers.n] of the validation text, the last; owned */
};

/* folder: of a run. MK_ENOTFOUND when it holds no metrics.jsonl; timing.jsonl may be absent. */
int history_read(struct history *h, const char *folder, struct mk_error *err);
void history_release(struct history *h);
/* The last value, or NAN. */
double history_last(const struct history_series *s);
bool history_of_pairs(const struct history *h);
/* The series that metrics.jsonl calls so, or HISTORY_N; and its name. */
enum history_kind history_kind_named(const char *name);
const char *history_kind_name(enum history_kind kind);
/* The largest value of all the parts, or 0. */
double history_most(const struct history_parts *p);

#endif
