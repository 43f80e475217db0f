/* blend.h: documents for pre-training and fine-tuning out of a mixture of tasks.
 *
 * Train questions only. Document i follows from the parts, the seed and i documents before it: the
 * same call writes the same bytes. */
#ifndef MK_TASKS_BLEND_H
#define MK_TASKS_BLEND_H

#include "tasks/task.h"

struct blend_part {
    struct task *task;           /* owned */
    double weight;               /* of its documents among all, > 0; 1 */
    int level_low, level_high;   /* each level equally often; all levels */
    double share[TASK_N_TRACES]; /* of its documents, by kind of trace; their sum is 1 */
    int64_t n_drawn;
};

/* "parity,level=4,weight=3,scratchpad=0.15": a task, then what is not to be as the struct says.
 * What scratchpad, search and impatient leave is direct. "level=0-2" is a range. A file's name may
 * hold no comma. MK_EINVAL names what is wrong. */
int  blend_part_open(struct blend_part *p, const char *spec, struct mk_error *err);
void blend_part_close(struct blend_part *p);

enum blend_form {
    BLEND_MESSAGES, /* {"messages": [{"role": "user", ..}, {"role": "assistant", ..}]} */
    BLEND_TEXT      /* {"text": "<｜User｜>question<｜Assistant｜>response"}, DeepSeek's marks */
};

struct blend {
    struct blend_part *parts; /* borrowed, [n_parts] */
    int n_parts;
    uint64_t seed;
    enum blend_form form;
    int64_t n_written;
    int64_t n_of_trace[TASK_N_TRACES];
};

/* What document number n_written is about. */
struct blend_pick {
    struct blend_part *part;
    int level;
    enum task_trace trace;
    int64_t index, number; /* of the task's questions, for task_draw; of the document */
};
/* The next one; draws no question, so that many may be passed over. */
struct blend_pick blend_pick(struct blend *b);
/* Appends the next document as one line of JSON. */
int blend_next(struct blend *b, struct buf *out, struct mk_error *err);

#endif
