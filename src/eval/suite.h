/* suite.h: what a model can be asked: a table of kinds, and the list that a person gives.
 *
 *   gsm8k:FILE math500:FILE aime:FILE humaneval:FILE mmlu:FILE jsonl:FILE   tasks of files, whole
 *   text:FILE                 a text (or texts: JSONL, a folder) whose probability is measured
 *   parity, parity:3          test questions of a built-in task, of all levels in turn or of one
 *   tasks:all                 every built-in task
 */
#ifndef MK_EVAL_SUITE_H
#define MK_EVAL_SUITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum suite_way { SUITE_ANSWERS, SUITE_CHOICES, SUITE_TEXT };

#define SUITE_MAX_STOPS 6
#define SUITE_HOLE "{question}"

/* What differs between kinds; static. */
struct suite_kind {
    const char *name;
    enum suite_way way;
    const char *home;           /* where a file of it is to be had; NULL: one's own */
    const char *raw, *chat;     /* text around {question}, without a template and in a message */
    int32_t samples;            /* of --preset deepseek; 0: not asked that way */
    const char *stops[SUITE_MAX_STOPS]; /* a raw answer ends before these; NULL behind the last */
};

struct suite {
    const struct suite_kind *kind;
    char *name; /* owned; of files and results, unique: "gsm8k", "parity-3", "gsm8k-2" */
    char *task; /* owned; what task_open takes; of a text its path */
    int32_t level; /* -1: all in turn, or the task has none */
};

#define SUITE_MAX 64
struct suites {
    struct suite items[SUITE_MAX];
    int32_t n;
};

/* Adds the suites of a list with commas between. MK_ENOTFOUND: one that is not known, or that lacks
 * its file; the text says where that is to be had. */
int  suites_add(struct suites *s, const char *list, struct mk_error *err);
void suites_release(struct suites *s);
/* The i-th name that a list may begin with; NULL behind the last. */
const char *suite_name_at(int32_t i);
/* Is the suite of a task that makes its own questions? */
bool suite_is_built_in(const struct suite *s);

#endif
