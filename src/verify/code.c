/* code.c: a program and its tests in the sandbox, watched from outside. See code.h. */
#include "verify/code.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "verify/sandbox.h"

/* Program and tests share their globals, as in HumanEval. The token comes by standard input, which
 * is empty afterwards, and goes out by descriptor 3 once the tests have ended: leaving early is no
 * way to pass. (Both run in one interpreter: a program that searches its callers' frames for the
 * token would find it. The sandbox protects the machine, not the score.) */
static const char driver[] = "import os\n"
                             "token, write = os.read(0, 64), os.write\n"
                             "def run(name, scope):\n"
                             "    with open('/run/' + name, encoding='utf-8') as f:\n"
                             "        text = f.read()\n"
                             "    exec(compile(text, name, 'exec'), scope)\n"
                             "scope = {'__name__': '__main__'}\n"
                             "try:\n"
                             "    run('program.py', scope)\n"
                             "    run('tests.py', scope)\n"
                             "except MemoryError:\n"
                             "    write(3, b'M')\n"
                             "    raise\n"
                             "write(3, token)\n";

#define TOKEN_BYTES 32
#define TAIL_BYTES 512

struct watch {
    struct sandbox box;
    const struct code_limits *limits;
    int out, status, report;   /* our ends of its pipes; -1: closed */
    size_t n_out, n_status;    /* bytes that came */
    char tail[TAIL_BYTES];     /* the last of out */
    char token[TOKEN_BYTES];   /* what the driver sends when the tests have ended */
    char sent[TOKEN_BYTES];    /* the first that came by descriptor 3 */
    struct sandbox_report end; /* step -1: none came */
};

struct code_limits code_limits_default(void)
{
    return (struct code_limits){5000, 5, 512, 1, 16, 65536, "/usr/bin/python3"};
}

const char *code_reason_name(enum code_reason reason)
{
    static const char *const names[] = {"passed", "failed", "timeout",
                                        "memory", "output", "crashed"};

    return (unsigned)reason < sizeof names / sizeof *names ? names[reason] : "unknown";
}

static int check_limits(const struct code_limits *l, struct mk_error *err)
{
    if (l->wall_ms < 1 || l->cpu_s < 1 || l->memory_mb < 1 || l->n_processes < 1 ||
        l->n_processes > 64 || l->file_mb < 1 || l->output_bytes < 0)
        return mk_error_set(err, MK_EINVAL, "a limit of the code sandbox is out of range");
    if (!l->python || strncmp(l->python, "/usr/", 5) || strstr(l->python, ".."))
        return mk_error_set(err, MK_EINVAL, "%s is not below /usr, the only folder in the sandbox",
                            l->python ? l->python : "no Python");
    return 0;
}

/* ---- What it says ---------------------------------------------------------------------------- */

static void keep_tail(struct watch *w, const char *data, size_t n)
{
    size_t kept = w->n_out < TAIL_BYTES ? w->n_out : TAIL_BYTES;

    w->n_out += n;
    if (n >= TAIL_BYTES) {
        memcpy(w->tail, data + n - TAIL_BYTES, TAIL_BYTES);
        return;
    }
    if (kept + n > TAIL_BYTES) {
        memmove(w->tail, w->tail + (kept + n - TAIL_BYTES), TAIL_BYTES - n);
        kept = TAIL_BYTES - n;
    }
    memcpy(w->tail + kept, data, n);
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Reads what is there from one pipe; closes our end at its end. */
static void take(struct watch *w, int *fd)
{
    char data[4096];
    ssize_t n = read(*fd, data, sizeof data);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_end(fd);
        return;
    }
    if (fd == &w->out) {
        keep_tail(w, data, (size_t)n);
    } else if (fd == &w->status) {
        for (ssize_t i = 0; i < n && w->n_status < TOKEN_BYTES; i++)
            w->sent[w->n_status++] = data[i];
    } else if (n >= (ssize_t)sizeof w->end) { /* the first report counts: why it did not start */
        memcpy(&w->end, data, sizeof w->end);
        close_end(fd);
    }
}

/* The last line that holds something, for people: control characters as '?'. */
static void last_line(const struct watch *w, char *out, size_t size)
{
    size_t n = w->n_out < TAIL_BYTES ? w->n_out : TAIL_BYTES, start, i = 0;

    while (n && (w->tail[n - 1] == '\n' || w->tail[n - 1] == '\r'))
        n--;
    for (start = n; start && w->tail[start - 1] != '\n'; start--)
        ;
    for (; start < n && i + 1 < size; start++) {
        unsigned char c = (unsigned char)w->tail[start];

        out[i++] = (char)(c < 32 || c >= 127 ? '?' : c);
    }
    out[i] = 0;
}

/* ---- Watching -------------------------------------------------------------------------------- */

/* Until process 1 has told how it ended, or a limit is passed: then *over tells which. */
static bool watch_until_end(struct watch *w, enum code_reason *over)
{
    double deadline = clock_ms() + w->limits->wall_ms;

    while (w->report >= 0) {
        struct pollfd fds[3] = {
            {w->out, POLLIN, 0}, {w->status, POLLIN, 0}, {w->report, POLLIN, 0}};
        double left = deadline - clock_ms();

        if (left <= 0) {
            *over = CODE_TIMEOUT;
            return false;
        }
        if (poll(fds, 3, (int)left + 1) < 0)
            continue; /* a signal */
        if (fds[0].revents)
            take(w, &w->out);
        if (fds[1].revents)
            take(w, &w->status);
        if (fds[2].revents)
            take(w, &w->report);
        if (w->n_out > (size_t)w->limits->output_bytes) {
            *over = CODE_OUTPUT;
            return false;
        }
    }
    return true;
}

static enum code_reason judge(const struct watch *w)
{
    int status = w->end.value, signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    if (w->n_out > (size_t)w->limits->output_bytes)
        return CODE_OUTPUT;
    if (signal == SIGXCPU ||
        (signal == SIGKILL && w->end.cpu_ms >= (int64_t)w->limits->cpu_s * 1000))
        return CODE_TIMEOUT;
    if (w->n_status && w->sent[0] == 'M')
        return CODE_MEMORY;
    if (signal == SIGKILL) /* the kernel was out of memory */
        return CODE_MEMORY;
    if (signal)
        return CODE_CRASHED;
    if (w->n_status == TOKEN_BYTES && !memcmp(w->sent, w->token, TOKEN_BYTES) &&
        WEXITSTATUS(status) == 0)
        return CODE_PASSED;
    return CODE_FAILED;
}

static int watch(struct watch *w, struct code_verdict *v, struct mk_error *err)
{
    enum code_reason over = CODE_FAILED;
    pid_t pid;
    int rc = sandbox_start(&w->box, &pid, &w->report, err);
    bool ended;

    if (rc)
        return rc;
    ended = watch_until_end(w, &over);
    kill(pid, SIGKILL); /* and all that is left in its namespace */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    for (int i = 0; i < 64 && w->out >= 0 && ended; i++) /* what is in the pipe still */
        take(w, &w->out);
    for (int i = 0; i < 64 && w->status >= 0 && ended; i++)
        take(w, &w->status);
    if (ended && w->end.step != SANDBOX_ENDED)
        return sandbox_failure(&w->end, &w->box, err);
    v->reason = ended ? judge(w) : over;
    v->passed = v->reason == CODE_PASSED;
    last_line(w, v->last_line, sizeof v->last_line);
    return 0;
}

/* ---- Starting -------------------------------------------------------------------------------- */

static bool open_pipes(int pipes[3][2])
{
    for (int i = 0; i < 3; i++)
        if (pipe2(pipes[i], O_CLOEXEC))
            return false;
    return true;
}

static void close_pipes(int pipes[3][2])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++)
            close_end(&pipes[i][j]);
}

static bool make_token(char token[TOKEN_BYTES])
{
    unsigned char random[TOKEN_BYTES];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (int i = 0; i < TOKEN_BYTES; i++)
        token[i] = (char)('a' + random[i] % 26); /* never 'M' */
    return true;
}

/* pipes: standard input, output, status; ours are the other ends. */
static int run_in(struct watch *w, int pipes[3][2], struct code_verdict *v, struct mk_error *err)
{
    int rc;

    if (!make_token(w->token) || write(pipes[0][1], w->token, TOKEN_BYTES) != TOKEN_BYTES ||
        fcntl(pipes[1][0], F_SETFL, O_NONBLOCK) || fcntl(pipes[2][0], F_SETFL, O_NONBLOCK))
        return mk_error_set(err, MK_EIO, "the sandbox's pipes do not work: %s", strerror(errno));
    close_end(&pipes[0][1]);
    w->box.in = pipes[0][0];
    w->box.out = pipes[1][1];
    w->box.status = pipes[2][1];
    w->out = pipes[1][0];
    w->status = pipes[2][0];
    pipes[1][0] = pipes[2][0] = -1; /* the watch closes them */
    rc = watch(w, v, err);
    close_end(&w->out);
    close_end(&w->status);
    close_end(&w->report);
    return rc;
}

int verify_code(const char *program, size_t n_program, const char *tests, size_t n_tests,
                const struct code_limits *limits, struct code_verdict *v, struct mk_error *err)
{
    const char *const argv[] = {limits->python, "-s", "-B", "-X", "utf8", "/run/driver.py", NULL};
    const char *const envp[] = {"PYTHONHASHSEED=0", NULL}; /* the same verdict each time */
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    struct watch w = {
        .box = {argv,
                envp,
                {{"/run/driver.py", {driver, sizeof driver - 1}},
                 {"/run/program.py", {program, n_program}},
                 {"/run/tests.py", {tests, n_tests}}},
                -1,
                -1,
                -1,
                limits->cpu_s,
                limits->memory_mb,
                limits->n_processes,
                limits->file_mb},
        .limits = limits,
        .report = -1,
        .end = {.step = -1},
    };
    int rc = check_limits(limits, err);

    *v = (struct code_verdict){.reason = CODE_FAILED};
    if (rc)
        return rc;
    if (open_pipes(pipes))
        rc = run_in(&w, pipes, v, err);
    else
        rc = mk_error_set(err, MK_EIO, "no pipe for the sandbox: %s", strerror(errno));
    close_pipes(pipes);
    return rc;
}
