/* sandbox.h: a program nobody trusts, in namespaces of its own. For src/verify alone.
 *
 *   minke            clones box_main into new user, mount, pid, net, ipc, uts and cgroup namespaces
 *     box_main       process 1 of the box: builds the root, gives up everything, starts the
 *                    program, waits for it; then the kernel ends whatever is left in the box
 *       the program  under the filter of sandbox_filter.c
 *
 * Between clone and exec nothing is allocated and no lock is taken: other threads of minke may have
 * held them. */
#ifndef MK_VERIFY_SANDBOX_H
#define MK_VERIFY_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "verify/text_span.h"

#define SANDBOX_FILES 3

struct sandbox_file {
    const char *path; /* inside the box, below /run */
    struct text_span text;
};

struct sandbox {
    const char *const *argv; /* of the program; argv[0] is its path, below /usr */
    const char *const *envp;
    struct sandbox_file files[SANDBOX_FILES]; /* laid into the box, read-only */
    int in, out,
        status; /* become its standard input, standard output and error, and descriptor 3 */
    int32_t cpu_s, memory_mb, n_processes, file_mb;
};

/* What process 1 tells: what it could not do, or how the program ended. */
struct sandbox_report {
    int32_t step;  /* enum sandbox_step; SANDBOX_ENDED: the program ran */
    int32_t value; /* errno, or the status of wait */
    int64_t cpu_ms;
};

enum sandbox_step {
    SANDBOX_ENDED,
    SANDBOX_USER,
    SANDBOX_ROOT,
    SANDBOX_USR,
    SANDBOX_DEV,
    SANDBOX_TMP,
    SANDBOX_FILE,
    SANDBOX_PIVOT,
    SANDBOX_LIMIT,
    SANDBOX_PRIVILEGE,
    SANDBOX_FILTER,
    SANDBOX_START,
    SANDBOX_EXEC
};

/* Starts it. *pid: process 1, to be killed (which ends all of the box) and waited for by the
 * caller; *report: a descriptor that yields a struct sandbox_report and then ends. MK_EUNSUPPORTED
 * when the kernel forbids the namespaces. */
int sandbox_start(const struct sandbox *box, pid_t *pid, int *report, struct mk_error *err);
/* The sentence for a report that is not SANDBOX_ENDED; returns MK_EUNSUPPORTED or MK_ENOTFOUND. */
int sandbox_failure(const struct sandbox_report *r, const struct sandbox *box,
                    struct mk_error *err);

/* Allows the system calls that a Python program needs and no others, for this process and all that
 * it becomes. processes: it may start some. Returns 0 or an errno. */
int sandbox_filter_install(bool processes);
/* False where no filter is known for this machine. */
bool sandbox_filter_known(void);

#endif
