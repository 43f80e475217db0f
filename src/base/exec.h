/* exec.h: the standing pool of threads that kernels run on.
 *
 * The caller is worker 0; n_threads - 1 helpers wait, first spinning for a moment and then asleep.
 * Work is a range of independent tasks claimed one at a time, so a result may never depend on which
 * worker ran a task. One exec runs one job at a time; it belongs to the thread that calls exec_run.
 * Kernels get a `struct exec *` and never create threads. */
#ifndef MK_BASE_EXEC_H
#define MK_BASE_EXEC_H

#include <stdint.h>

#include "base/error.h"

struct exec;
typedef void exec_task_fn(void *context, int64_t task, int worker);

/* n_threads 1..MK_MAX_THREADS. */
int exec_create(struct exec **ex, int n_threads, struct mk_error *err);
void exec_free(struct exec *ex);
int exec_n_threads(const struct exec *ex);
/* Calls fn(context, i, worker) once for every i in 0..n_tasks-1 and returns when all are done. */
void exec_run(struct exec *ex, int64_t n_tasks, exec_task_fn *fn, void *context);
/* Cores this process may use. */
int exec_cores(void);

#define MK_MAX_THREADS 256

#endif
