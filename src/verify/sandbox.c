/* sandbox.c: the box's namespaces, root, limits and process 1. See sandbox.h. */
#include "verify/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSIDE_ID 1000 /* user and group inside */
#define NOBODY 65534   /* whom root lends to the box */
#define MAX_THREADS 32 /* of a program that may start no process */
#define MAX_DESCRIPTORS 64
#define ROOT "/tmp" /* where the new root is built, in a mount namespace of its own */

/* ---- Process 1 ------------------------------------------------------------------------------- */

static void fail(int report, enum sandbox_step step)
{
    struct sandbox_report r = {step, errno, 0};

    if (write(report, &r, sizeof r) != (ssize_t)sizeof r) {
        /* minke is gone: nobody is left to be told */
    }
    _exit(1);
}

static bool set_read_only(const char *path, bool below, uint64_t more)
{
    struct {
        uint64_t set, clear, propagation, userns_fd;
    } attributes = {1 /* MOUNT_ATTR_RDONLY */ | more, 0, 0, 0};

    return !syscall(442 /* mount_setattr */, AT_FDCWD, path, below ? 0x8000 /* AT_RECURSIVE */ : 0,
                    &attributes, sizeof attributes);
}

#define NO_SUID_NO_DEV 6 /* MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV */

static bool make_file(const char *path, struct text_span text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    size_t done = 0;

    if (fd < 0)
        return false;
    while (done < text.n) {
        ssize_t n = write(fd, text.at + done, text.n - done);

        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return !close(fd);
}

/* /lib and so on: a link into /usr where the host has merged them, else its folder, read-only. */
static bool give_folder(const char *name)
{
    char to[32], target[64];
    struct stat st;
    ssize_t n;

    if (lstat(name, &st))
        return true; /* this host has none */
    snprintf(to, sizeof to, ROOT "%s", name);
    if (S_ISLNK(st.st_mode)) {
        n = readlink(name, target, sizeof target - 1);
        if (n < 0)
            return false;
        target[n] = 0;
        return !symlink(target, to);
    }
    return !mkdir(to, 0755) && !mount(name, to, NULL, MS_BIND | MS_REC, NULL) &&
           set_read_only(to, true, NO_SUID_NO_DEV);
}

static bool give_device(const char *name)
{
    char to[32];

    snprintf(to, sizeof to, ROOT "%s", name);
    return make_file(to, (struct text_span){"", 0}) && !mount(name, to, NULL, MS_BIND, NULL);
}

static void build_root(const struct sandbox *box, int report)
{
    static const char *const folders[] = {"/usr", "/lib", "/lib64", "/bin"};
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/urandom"};
    char options[64], path[64];
    size_t bytes = 1 << 20;

    for (int i = 0; i < SANDBOX_FILES; i++)
        bytes += box->files[i].text.n + 4096;
    snprintf(options, sizeof options, "size=%zu,mode=755", bytes);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("box", ROOT, "tmpfs", MS_NOSUID, options))
        fail(report, SANDBOX_ROOT);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (!give_folder(folders[i]))
            fail(report, SANDBOX_USR);
    if (mkdir(ROOT "/dev", 0755))
        fail(report, SANDBOX_DEV);
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (!give_device(devices[i]))
            fail(report, SANDBOX_DEV);
    snprintf(options, sizeof options, "size=%dm,nr_inodes=4096,mode=700", box->file_mb);
    if (mkdir(ROOT "/tmp", 0700) ||
        mount("tmp", ROOT "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options))
        fail(report, SANDBOX_TMP);
    if (mkdir(ROOT "/run", 0755))
        fail(report, SANDBOX_FILE);
    for (int i = 0; i < SANDBOX_FILES; i++) {
        snprintf(path, sizeof path, ROOT "%s", box->files[i].path);
        if (!make_file(path, box->files[i].text))
            fail(report, SANDBOX_FILE);
    }
}

/* The host's files go away: what is not in the box cannot be named any more. */
static void enter_root(int report)
{
    if (chdir(ROOT) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
        chdir("/") || !set_read_only("/", false, 0) || chdir("/tmp"))
        fail(report, SANDBOX_PIVOT);
}

static bool limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit had, now = {soft, hard};

    if (getrlimit((__rlimit_resource_t)what, &had))
        return false;
    if (now.rlim_max > had.rlim_max)
        now.rlim_max = had.rlim_max;
    if (now.rlim_cur > now.rlim_max)
        now.rlim_cur = now.rlim_max;
    return !setrlimit((__rlimit_resource_t)what, &now);
}

static void set_limits(const struct sandbox *box, int report)
{
    rlim_t memory = ((rlim_t)box->memory_mb << 20) / (rlim_t)box->n_processes;
    rlim_t files = (rlim_t)box->file_mb << 20, cpu = (rlim_t)box->cpu_s;
    rlim_t tasks = 1 + (rlim_t)(box->n_processes > 1 ? box->n_processes : MAX_THREADS);

    if (!limit(RLIMIT_AS, memory, memory) || !limit(RLIMIT_CPU, cpu, cpu + 1) ||
        !limit(RLIMIT_FSIZE, files, files) || !limit(RLIMIT_CORE, 0, 0) ||
        !limit(RLIMIT_NPROC, tasks, tasks) ||
        !limit(RLIMIT_NOFILE, MAX_DESCRIPTORS, MAX_DESCRIPTORS) || !limit(RLIMIT_MEMLOCK, 0, 0) ||
        !limit(RLIMIT_MSGQUEUE, 0, 0))
        fail(report, SANDBOX_LIMIT);
}

static void drop_privileges(int report)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

    for (int c = 0; c < 64; c++)
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) && errno != EINVAL)
            fail(report, SANDBOX_PRIVILEGE);
    if (syscall(SYS_capset, &head, none) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        fail(report, SANDBOX_PRIVILEGE);
}

/* Puts the descriptors of the program in their places and closes all others, after moving the
 * report's out of the way (it closes by itself at exec). */
static int place_descriptors(const struct sandbox *box, int report)
{
    int in = fcntl(box->in, F_DUPFD, 10), out = fcntl(box->out, F_DUPFD, 10);
    int status = fcntl(box->status, F_DUPFD, 10), kept = 4;

    report = fcntl(report, F_DUPFD_CLOEXEC, 10);
    if (in < 0 || out < 0 || status < 0 || report < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
        dup2(out, 2) < 0 || dup2(status, 3) < 0 || dup3(report, kept, O_CLOEXEC) < 0 ||
        syscall(SYS_close_range, kept + 1, ~0u, 0))
        fail(report, SANDBOX_START);
    return kept;
}

static void run_program(const struct sandbox *box, int report)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    errno = sandbox_filter_install(box->n_processes > 1);
    if (errno)
        fail(report, SANDBOX_FILTER);
    execve(box->argv[0], (char *const *)box->argv, (char *const *)box->envp);
    fail(report, SANDBOX_EXEC);
}

/* Waits for the program (and buries what it leaves behind), tells how it ended. */
static void wait_for(pid_t program, int report)
{
    struct sandbox_report r = {SANDBOX_ENDED, 0, 0};
    struct rusage used;
    int status;
    pid_t pid;

    while ((pid = wait4(-1, &status, 0, &used)) != program)
        if (pid < 0 && errno != EINTR)
            fail(report, SANDBOX_START);
    r.value = status;
    r.cpu_ms = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
               (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
    if (write(report, &r, sizeof r) != (ssize_t)sizeof r)
        _exit(1);
    _exit(0);
}

static void default_signals(void)
{
    struct sigaction act = {.sa_handler = SIG_DFL};

    for (int s = 1; s < 65; s++)
        sigaction(s, &act, NULL); /* those that cannot be set are as they should be */
}

/* go: a byte comes when the user map is written; its end means that minke is gone. */
static void box_main(const struct sandbox *box, int go, int report)
{
    pid_t program;
    char byte;

    default_signals();
    if (read(go, &byte, 1) != 1)
        _exit(1);
    if (byte)
        syscall(SYS_setgroups, 0, NULL);
    if (syscall(SYS_setresgid, INSIDE_ID, INSIDE_ID, INSIDE_ID) ||
        syscall(SYS_setresuid, INSIDE_ID, INSIDE_ID, INSIDE_ID) ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || setsid() < 0)
        fail(report, SANDBOX_USER);
    umask(022);
    if (sethostname("box", 3))
        fail(report, SANDBOX_USER);
    build_root(box, report);
    enter_root(report);
    drop_privileges(report);
    report = place_descriptors(box, report);
    set_limits(box, report);
    program = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (program < 0)
        fail(report, SANDBOX_START);
    if (!program)
        run_program(box, report);
    syscall(SYS_close_range, 0, report - 1, 0);
    wait_for(program, report);
}

/* ---- Outside --------------------------------------------------------------------------------- */

static bool write_text(pid_t pid, const char *name, const char *text)
{
    char path[64];
    size_t n = strlen(text);
    bool ok;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ok = write(fd, text, n) == (ssize_t)n;
    close(fd);
    return ok;
}

/* Root lends nobody's identity, so that the kernel's limits hold; others lend their own. */
static bool write_maps(pid_t pid, bool root)
{
    char users[48], groups[48];

    snprintf(users, sizeof users, "%d %u 1", INSIDE_ID, root ? NOBODY : (unsigned)geteuid());
    snprintf(groups, sizeof groups, "%d %u 1", INSIDE_ID, root ? NOBODY : (unsigned)getegid());
    return (root || write_text(pid, "setgroups", "deny")) && write_text(pid, "gid_map", groups) &&
           write_text(pid, "uid_map", users);
}

static int start_in(const struct sandbox *box, int go[2], int report[2], pid_t *pid,
                    struct mk_error *err)
{
    bool root = geteuid() == 0;
    char byte = root;
    int why;

    *pid = (pid_t)syscall(SYS_clone,
                          CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                              CLONE_NEWUTS | CLONE_NEWCGROUP | SIGCHLD,
                          0, 0, 0, 0);
    if (*pid < 0)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "the sandbox for code needs namespaces, which this kernel refuses "
                            "(%s): nothing was run; in a container allow them, or run minke "
                            "outside of it",
                            strerror(errno));
    if (!*pid) {
        close(go[1]);
        close(report[0]);
        box_main(box, go[0], report[1]);
    }
    if (write_maps(*pid, root) && write(go[1], &byte, 1) == 1)
        return 0;
    why = errno;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    return mk_error_set(err, MK_EUNSUPPORTED,
                        "the sandbox for code needs a user map, which this kernel refuses (%s): "
                        "nothing was run",
                        strerror(why));
}

int sandbox_start(const struct sandbox *box, pid_t *pid, int *report, struct mk_error *err)
{
    int go[2], tell[2], rc;

    if (!sandbox_filter_known())
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "the sandbox for code knows x86-64 and arm64 alone: nothing was run");
    if (pipe2(go, O_CLOEXEC))
        return mk_error_set(err, MK_EIO, "no pipe for the sandbox: %s", strerror(errno));
    if (pipe2(tell, O_CLOEXEC)) {
        close(go[0]);
        close(go[1]);
        return mk_error_set(err, MK_EIO, "no pipe for the sandbox: %s", strerror(errno));
    }
    rc = start_in(box, go, tell, pid, err);
    close(go[0]);
    close(go[1]);
    close(tell[1]);
    if (rc)
        close(tell[0]);
    else
        *report = tell[0];
    return rc;
}

int sandbox_failure(const struct sandbox_report *r, const struct sandbox *box, struct mk_error *err)
{
    static const char *const steps[] = {
        [SANDBOX_USER] = "change its user",         [SANDBOX_ROOT] = "mount a root of its own",
        [SANDBOX_USR] = "mount /usr read-only",     [SANDBOX_DEV] = "have /dev/null",
        [SANDBOX_TMP] = "mount its /tmp",           [SANDBOX_FILE] = "be given the program",
        [SANDBOX_PIVOT] = "enter its root",         [SANDBOX_LIMIT] = "limit itself",
        [SANDBOX_PRIVILEGE] = "give up privileges", [SANDBOX_FILTER] = "filter system calls",
        [SANDBOX_START] = "start a process",        [SANDBOX_EXEC] = "run",
    };

    if (r->step == SANDBOX_EXEC && r->value == ENOENT)
        return mk_error_set(err, MK_ENOTFOUND,
                            "there is no %s: install python3, or name another "
                            "below /usr",
                            box->argv[0]);
    return mk_error_set(
        err, MK_EUNSUPPORTED, "the sandbox for code cannot %s here (%s): nothing was run",
        r->step > 0 && r->step <= SANDBOX_EXEC ? steps[r->step] : "work", strerror(r->value));
}
