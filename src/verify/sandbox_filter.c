/* sandbox_filter.c: the system calls a program in the box may make: an allow-list in classic BPF.
 *
 * Everything else is answered EPERM, as if the box had no right to it (which is true as well: the
 * filter is the second fence). Left out on purpose: sockets, ptrace and its kin, memory that no
 * limit counts (memfd_create, shmget, io_uring), namespaces, mounts, keys, bpf, perf, userfaultfd.
 * clone3 hides its flags in memory that a filter cannot read: ENOSYS makes libc use clone. */
#include "verify/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define BOX_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define BOX_ARCH AUDIT_ARCH_AARCH64
#else
#define BOX_ARCH 0
#endif

static const int allowed[] = {
    /* files */
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_openat,
    SYS_close,
    SYS_close_range,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlinkat,
    SYS_getcwd,
    SYS_chdir,
    SYS_fchdir,
    SYS_mkdirat,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_linkat,
    SYS_symlinkat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_truncate,
    SYS_ftruncate,
    SYS_lseek,
    SYS_dup,
    SYS_dup3,
    SYS_pipe2,
    SYS_fcntl,
    SYS_flock,
    SYS_fsync,
    SYS_fdatasync,
    SYS_getdents64,
    SYS_utimensat,
    SYS_umask,
    SYS_sendfile,
    SYS_copy_file_range,
    SYS_statfs,
    SYS_fstatfs,
    SYS_pselect6,
    SYS_ppoll,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    /* memory */
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_brk,
    SYS_msync,
    /* signals and time */
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_kill,
    SYS_tkill,
    SYS_tgkill,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_times,
    SYS_getitimer,
    SYS_setitimer,
    SYS_restart_syscall,
    /* itself */
    SYS_getpid,
    SYS_gettid,
    SYS_getppid,
    SYS_getpgid,
    SYS_getsid,
    SYS_setsid,
    SYS_setpgid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getgroups,
    SYS_getresuid,
    SYS_getresgid,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_getrusage,
    SYS_sysinfo,
    SYS_uname,
    SYS_prlimit64,
    SYS_getrandom,
    SYS_futex,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_set_tid_address,
    SYS_rseq,
    SYS_membarrier,
    SYS_execve,
    SYS_exit,
    SYS_exit_group,
    SYS_wait4,
    SYS_waitid,
#ifdef __x86_64__ /* the older spellings, which arm64 never had */
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_readlink,
    SYS_mkdir,
    SYS_rmdir,
    SYS_unlink,
    SYS_rename,
    SYS_link,
    SYS_symlink,
    SYS_chmod,
    SYS_dup2,
    SYS_pipe,
    SYS_getdents,
    SYS_select,
    SYS_poll,
    SYS_epoll_create,
    SYS_epoll_wait,
    SYS_eventfd,
    SYS_pause,
    SYS_alarm,
    SYS_time,
    SYS_getpgrp,
    SYS_getrlimit,
    SYS_setrlimit,
    SYS_arch_prctl,
#endif
};

/* Calls that depend on an argument: allowed when its low half is one of these values. */
static const struct {
    int call, argument;
    uint32_t values[4];
    int refused; /* errno for other values */
} checked[] = {
    {SYS_socketpair, 0, {1, 1, 1, 1}, EPERM}, /* AF_UNIX */
    {SYS_prctl, 0, {PR_SET_NAME, PR_GET_NAME, PR_GET_NAME, PR_GET_NAME}, EPERM},
    {SYS_ioctl, 1, {0x5401, 0x5413, 0x5451, 0x5421}, ENOTTY}, /* TCGETS, TIOCGWINSZ, FIOCLEX,
                                                                 FIONBIO */
};

#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define LOW_HALF(i) (offsetof(struct seccomp_data, args) + 8 * (i)) /* both are little-endian */
#define MAX_PROGRAM 512

struct program {
    struct sock_filter code[MAX_PROGRAM];
    unsigned short n;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
    if (p->n < MAX_PROGRAM)
        p->code[p->n++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct program *p, size_t offset)
{
    emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct program *p, uint32_t what)
{
    emit(p, BPF_RET | BPF_K, what, 0, 0);
}

static void allow(struct program *p, int call)
{
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
    answer(p, SECCOMP_RET_ALLOW);
}

/* Eight instructions: skipped together when it is another call. */
static void allow_checked(struct program *p, int call, int argument, const uint32_t values[4],
                          int refused)
{
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 7);
    load(p, LOW_HALF(argument));
    for (uint8_t i = 0; i < 4; i++)
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, values[i], (uint8_t)(4 - i), 0);
    answer(p, SECCOMP_RET_ERRNO | (uint32_t)refused);
    answer(p, SECCOMP_RET_ALLOW);
}

/* Never a new namespace; a new process, and no thread, only when allowed. */
static void allow_clone(struct program *p, bool processes)
{
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 5);
    load(p, LOW_HALF(0));
    emit(p, BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 1, 0);
    emit(p, BPF_JMP | BPF_JSET | BPF_K, processes ? 0xffffffffu : CLONE_THREAD, 1, 0);
    answer(p, SECCOMP_RET_ERRNO | EPERM);
    answer(p, SECCOMP_RET_ALLOW);
}

bool sandbox_filter_known(void)
{
    return BOX_ARCH != 0;
}

int sandbox_filter_install(bool processes)
{
    struct program p = {.n = 0};
    struct sock_fprog filter;

    load(&p, offsetof(struct seccomp_data, arch));
    emit(&p, BPF_JMP | BPF_JEQ | BPF_K, BOX_ARCH, 1, 0);
    answer(&p, SECCOMP_RET_KILL_PROCESS); /* 32-bit calls have other numbers */
    load(&p, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        allow(&p, allowed[i]);
    emit(&p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
    answer(&p, SECCOMP_RET_ERRNO | ENOSYS);
#ifdef __x86_64__
    if (processes) {
        allow(&p, SYS_fork);
        allow(&p, SYS_vfork);
    }
#endif
    for (size_t i = 0; i < sizeof checked / sizeof *checked; i++)
        allow_checked(&p, checked[i].call, checked[i].argument, checked[i].values,
                      checked[i].refused);
    allow_clone(&p, processes);
    answer(&p, SECCOMP_RET_ERRNO | EPERM); /* x32 calls too: their numbers are none of these */
    if (p.n == MAX_PROGRAM)
        return E2BIG;
    filter = (struct sock_fprog){p.n, p.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0))
        return errno;
    return 0;
}
