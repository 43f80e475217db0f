/* kind.h: a built-in task is a row of a table; a family of them is a file. For this folder only.
 *
 * Checker and trace writer know nothing but the text of the question: they read it again, so that
 * questions from a person or a file in the same form work as well. */
#ifndef MK_TASKS_KIND_H
#define MK_TASKS_KIND_H

#include "tasks/dice.h"
#include "tasks/pen.h"
#include "tasks/scan.h"
#include "tasks/task.h"

#define TASK_BIT(trace) (1u << (trace))
#define TASK_BITS_SCRATCHPAD (TASK_BIT(TASK_TRACE_DIRECT) | TASK_BIT(TASK_TRACE_SCRATCHPAD))
#define TASK_BITS_ALL                                                                              \
    (TASK_BITS_SCRATCHPAD | TASK_BIT(TASK_TRACE_SEARCH) | TASK_BIT(TASK_TRACE_IMPATIENT))

struct task_kind {
    const char *name, *about; /* one line of `minke tasks` */
    int max_level;
    unsigned traces; /* TASK_BIT of those that it can write */
    int variant;     /* which of its family; the family's own numbers */
    /* Writes a question of the level and its answer. Always succeeds, but for the pens. */
    void (*ask)(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer);
    /* Is `given`, without blanks around it, right? NULL: it must be the reference's text. */
    bool (*accepts)(const struct task_kind *k, const char *question, const char *reference,
                    struct scan given);
    /* Writes what stands between the think tags, and into `answer`, where it is not the reference,
     * what stands between the answer tags. false: the question is not one of its own. NULL when
     * there are only direct answers; not called for those. */
    bool (*think)(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer);
};

/* The rows of each file; each table ends with a row without a name. */
extern const struct task_kind running_tasks[], arithmetic_tasks[], order_tasks[], letter_tasks[],
    base_tasks[], equation_tasks[], graph_tasks[], maze_tasks[], sudoku_tasks[], knight_tasks[],
    countdown_tasks[], step_tasks[], unknown_tasks[];

#endif
