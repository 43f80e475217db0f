/* code.h: runs a program that a model wrote against tests, in a sandbox of its own.
 *
 * Nothing here runs unless a person asked for it (--allow-code, allow_code in a recipe): callers
 * check that, this file does the work. The program is Python; program and tests are two texts, run
 * one after the other in one interpreter with the same globals, as HumanEval does. It passes when
 * the end of the tests was reached, so a program that leaves early (sys.exit, os._exit) fails.
 *
 * The sandbox: user, mount, pid, network, ipc, uts and cgroup namespaces, a root of its own (/usr
 * read-only, /tmp small, no /proc, no /etc), no network at all, an allow-list of system calls, no
 * capabilities, no_new_privs, an environment of one fixed hash seed, limits of time, memory,
 * processes and output. Where the kernel forbids one of these nothing is run: MK_EUNSUPPORTED.
 *
 * Linux, x86-64 and arm64. May be called from several threads at once; the calling process must not
 * reap children it does not know (wait(-1), SIGCHLD ignored). */
#ifndef MK_VERIFY_CODE_H
#define MK_VERIFY_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct code_limits {
    int32_t wall_ms;      /* 5000: from start to end */
    int32_t cpu_s;        /* 5: of each process */
    int32_t memory_mb;    /* 512: address space, shared out among n_processes */
    int32_t n_processes;  /* 1: none may be started (threads may); at most 64 */
    int32_t file_mb;      /* 16: all of /tmp */
    int32_t output_bytes; /* 65536: stdout and stderr together */
    const char *python;   /* "/usr/bin/python3": below /usr */
};
struct code_limits code_limits_default(void);

enum code_reason {
    CODE_PASSED,
    CODE_FAILED,  /* an exception, an assertion, a syntax error, or it left before the tests' end */
    CODE_TIMEOUT, /* wall or processor time */
    CODE_MEMORY,
    CODE_OUTPUT, /* more than output_bytes */
    CODE_CRASHED /* ended by a signal */
};
/* "passed", "failed", "timeout", "memory", "output", "crashed". */
const char *code_reason_name(enum code_reason reason);

struct code_verdict {
    bool passed; /* reason == CODE_PASSED */
    enum code_reason reason;
    char last_line[256]; /* of what it printed, usually the exception; control characters as '?' */
};

/* 0 with a verdict, whatever the program did. MK_EUNSUPPORTED: the kernel or the machine has not
 * what the sandbox needs (the text names it); MK_EINVAL: a limit out of range; MK_ENOTFOUND: no
 * Python; MK_EIO: the system refused a pipe or a process. */
int verify_code(const char *program, size_t n_program, const char *tests, size_t n_tests,
                const struct code_limits *limits, struct code_verdict *v, struct mk_error *err);

#endif
