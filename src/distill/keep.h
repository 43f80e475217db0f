/* keep.h: which of a teacher's answers are worth learning from: right ones that can be read.
 *
 * Rejection sampling as in DeepSeek-R1 (2501.12948), section 2.3.3: answers that are wrong, mixed
 * up, or endless are left out. Pure functions. */
#ifndef MK_DISTILL_KEEP_H
#define MK_DISTILL_KEEP_H

#include "distill/teacher.h"
#include "tasks/task.h"
#include "verify/format.h"

enum keep_tags {
    KEEP_TAGS_ANY,
    KEEP_TAGS_THINK, /* <think>..</think>, then the answer */
    KEEP_TAGS_ANSWER /* [<think>..</think>]<answer>..</answer>, each once, nothing around */
};

struct keep_rules {
    enum keep_tags tags;
    double max_repetition;  /* share of runs of four words that stood there before; 1: any */
    int64_t max_characters; /* 0: any */
    double min_language;    /* share of the words that are in `script`, 0: any */
    enum format_script script;
};

enum keep_fault { /* the first that applies */
    KEEP_GOOD,
    KEEP_NO_TEXT, /* empty, or a NUL in it: no document could hold it */
    KEEP_CUT,     /* the limit ended it */
    KEEP_WRONG,
    KEEP_TAGS,
    KEEP_LONG,
    KEEP_REPEATS,
    KEEP_LANGUAGE,
    KEEP_N_FAULTS
};
/* "wrong" and so on, for reports. */
const char *keep_fault_name(enum keep_fault fault);

struct keep_verdict {
    enum keep_fault fault;
    bool correct, well_formed; /* as task_check says; one that was cut is never correct */
};
int keep_judge(const struct keep_rules *rules, const struct task *task,
               const struct task_item *item, const struct teacher_answer *a,
               struct keep_verdict *v, struct mk_error *err);

/* Of a question's answers with verdict KEEP_GOOD the one that the teacher thought most probable per
 * token; without log-probabilities the shortest. Ties go to the first. -1: there is none. */
int32_t keep_best(const struct teacher_answer *answers, const struct keep_verdict *verdicts,
                  int32_t n);

#endif
