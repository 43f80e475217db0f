/* search.h: the habit of trying, checking and trying again, shared by all tasks that search.
 *
 * A small model that cannot see whether a try was a hit cannot learn when to stop: retries die out
 * under reinforcement learning. One check token after each try changes that (docs/reasoning.md). */
#ifndef MK_TASKS_SEARCH_H
#define MK_TASKS_SEARCH_H

#include "tasks/kind.h"

/* One try, written into the thought and kept in the context; returns whether it was a hit.
 * must_hit: the solution is to be tried. */
typedef bool search_try_fn(void *context, struct dice *d, bool must_hit, struct pen *thought);

/* Tries, each with its check behind it and a blank between two, until the habit of the trace says
 * stop. No miss comes twice. SCRATCHPAD: the solution at once. The last try is the answer. */
void search_run(enum task_trace trace, struct dice *d, struct pen *thought, search_try_fn *attempt,
                void *context);

#endif
