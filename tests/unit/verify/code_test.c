/* code_test.c: programs pass and fail by their tests, and every way out of the box is shut.
 *
 * Where the kernel forbids namespaces (many containers do) the tests see that nothing runs and skip
 * the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "verify/code.h"

static struct code_verdict run_with(const char *program, const char *tests,
                                    const struct code_limits *limits)
{
    struct code_verdict v;
    struct mk_error err = {0};

    if (verify_code(program, strlen(program), tests, strlen(tests), limits, &v, &err)) {
        print_message("%s\n", err.text);
        fail();
    }
    return v;
}

static struct code_limits patient(void)
{
    struct code_limits l = code_limits_default();

    l.wall_ms = 60000; /* a busy machine is no reason to fail */
    l.cpu_s = 30;
    return l;
}

static void ends(const char *program, const char *tests, enum code_reason reason)
{
    struct code_limits l = patient();
    struct code_verdict v = run_with(program, tests, &l);

    if (v.reason != reason)
        print_message("%s instead of %s: %s\n", code_reason_name(v.reason),
                      code_reason_name(reason), v.last_line);
    assert_int_equal(v.reason, reason);
    assert_int_equal(v.passed, reason == CODE_PASSED);
}

/* The attempt raises OSError inside; the test program checks that and passes. */
static void refused(const char *attempt)
{
    char program[2048];

    snprintf(program, sizeof program,
             "import os, sys, socket, signal, ctypes, threading\n"
             "def attempt():\n    %s\n"
             "try:\n    attempt()\nexcept (OSError, AttributeError) as e:\n    refusal = e\n",
             attempt);
    ends(program, "assert refusal", CODE_PASSED);
}

/* A kernel that forbids the sandbox must be named, and nothing may have run. */
static int setup(void **state)
{
    struct code_limits l = patient();
    struct code_verdict v;
    struct mk_error err = {0};
    int rc = verify_code("", 0, "", 0, &l, &v, &err);

    *state = NULL;
    if (!rc)
        return 0;
    assert_false(v.passed);
    assert_int_equal(rc, MK_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "nothing was run"));
    print_message("no sandbox here: %s\n", err.text);
    *state = (void *)1;
    return 0;
}

static void needs_box(void **state)
{
    if (*state)
        skip();
}

/* ---- Verdicts -------------------------------------------------------------------------------- */

static void tests_decide(void **state)
{
    needs_box(state);
    ends("def f(x):\n    return x + 1\n", "assert f(1) == 2\n", CODE_PASSED);
    ends("def f(x):\n    return x - 1\n", "assert f(1) == 2\n", CODE_FAILED);
    ends("from typing import List\nimport math, re, collections, itertools, heapq, json\n"
         "def f(x: List[int]) -> int:\n    return sum(x)\n",
         "def check(candidate):\n    assert candidate([1, 2]) == 3\ncheck(f)", CODE_PASSED);
    ends("def f(x:\n", "assert f(1) == 2\n", CODE_FAILED);
    ends("raise ValueError", "", CODE_FAILED);
    ends("", "", CODE_PASSED);
    ends("print('\xc3\xa9', end='')", "assert 'f' not in dir()", CODE_PASSED);
}

static void leaving_early_is_no_way_to_pass(void **state)
{
    needs_box(state);
    ends("import sys\nsys.exit(0)", "assert False", CODE_FAILED);
    ends("import os\nos._exit(0)", "assert False", CODE_FAILED);
    ends("import os\ndef f():\n    os._exit(0)\n", "f()\nassert False", CODE_FAILED);
    ends("x = '''", "'''\nassert False", CODE_FAILED);
    ends("import os\nos.write(3, b'x' * 32)\nos._exit(0)", "", CODE_FAILED);
    ends("quit()", "assert False", CODE_FAILED);
}

static void the_last_line_tells_why(void **state)
{
    struct code_limits l = patient();
    struct code_verdict v;

    needs_box(state);
    v = run_with("print('\\x1b[31m')", "assert 1 == 2, 'one is not two'", &l);
    assert_string_equal(v.last_line, "AssertionError: one is not two");
    v = run_with("import os", "os.write(1, b'\\x1b]0;x\\x07'); os._exit(1)", &l);
    assert_string_equal(v.last_line, "?]0;x?");
}

static void a_seed_of_hashes_is_fixed(void **state)
{
    needs_box(state);
    ends("import os", "assert dict(os.environ).keys() <= {'PYTHONHASHSEED', 'LC_CTYPE'}",
         CODE_PASSED);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void time_ends_a_program(void **state)
{
    struct code_limits l = patient();

    needs_box(state);
    l.wall_ms = 1500;
    assert_int_equal(run_with("import time\ntime.sleep(100)", "", &l).reason, CODE_TIMEOUT);
    assert_int_equal(run_with("import signal, os\nfor s in range(1, 65):\n    try:\n"
                              "        signal.signal(s, signal.SIG_IGN)\n"
                              "    except (OSError, ValueError):\n        pass\n"
                              "while True: pass",
                              "", &l)
                         .reason,
                     CODE_TIMEOUT);
    l = patient();
    l.cpu_s = 1;
    assert_int_equal(run_with("while True: pass", "", &l).reason, CODE_TIMEOUT);
    assert_int_equal(run_with("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
                              "while True: pass",
                              "", &l)
                         .reason,
                     CODE_TIMEOUT);
}

static void memory_ends_a_program(void **state)
{
    needs_box(state);
    ends("x = bytearray(1 << 40)", "", CODE_MEMORY);
    ends("x = []\nwhile True:\n    x.append(bytes(1 << 20))", "", CODE_MEMORY);
    ends("def f():\n    return bytearray(1 << 33)\n", "f()", CODE_MEMORY);
    refused("os.memfd_create('m')");
    refused("f = open('/tmp/f', 'wb'); [f.write(bytes(1 << 20)) for i in range(64)]; f.flush()");
    refused("[open('/tmp/%d' % i, 'wb').write(bytes(1 << 22)) for i in range(64)]");
}

static void output_ends_a_program(void **state)
{
    struct code_limits l = patient();

    needs_box(state);
    ends("while True:\n    print('x' * 1000)", "", CODE_OUTPUT);
    ends("import sys\nwhile True:\n    sys.stderr.write('x' * 1000)", "", CODE_OUTPUT);
    ends("print('x' * 65000, end='')", "", CODE_PASSED);
    l.cpu_s = 1; /* what comes by descriptor 3 is read and dropped until the time is up */
    assert_int_equal(
        run_with("import os\nwhile True:\n    os.write(3, bytes(1 << 16))", "", &l).reason,
        CODE_TIMEOUT);
}

static void a_crash_is_told(void **state)
{
    needs_box(state);
    ends("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "", CODE_CRASHED);
    ends("def f(x):\n    return f(x)\n", "f(1)", CODE_FAILED); /* RecursionError */
}

/* ---- Ways out -------------------------------------------------------------------------------- */

static void there_is_no_network(void **state)
{
    needs_box(state);
    refused("socket.socket(socket.AF_INET, socket.SOCK_STREAM)");
    refused("socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)");
    refused("socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)");
    refused("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)");
    refused("socket.create_connection(('127.0.0.1', 22), 1)");
    refused("socket.getaddrinfo('localhost', 80)");
}

static void there_are_no_files_of_the_host(void **state)
{
    needs_box(state);
    refused("open('/etc/shadow')");
    refused("open('/etc/passwd')");
    refused("open('/root/.bashrc')");
    refused("os.listdir('/home')");
    refused("os.listdir('/root')");
    refused("os.listdir('/var')");
    refused("os.listdir('/sys')");
    refused("os.listdir('/proc')");
    refused("open('/proc/self/mem', 'wb')");
    refused("open('/proc/1/environ', 'rb')");
    refused("open('/dev/mem', 'rb')");
    refused("open('/dev/kmsg', 'rb')");
    refused("os.listdir('/../../etc')");
    ends("import os",
         "assert sorted(os.listdir('/')) == sorted(x for x in "
         "['bin', 'dev', 'lib', 'lib64', 'run', 'tmp', 'usr'] if os.path.exists('/' "
         "+ x))\nassert os.listdir('/tmp') == []",
         CODE_PASSED);
}

/* A name that exists outside and whose contents would show. */
static void the_tmp_outside_is_another(void **state)
{
    char path[64], program[256];
    FILE *f;

    needs_box(state);
    snprintf(path, sizeof path, "/tmp/minke-code-test-%ld", (long)getpid());
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    snprintf(program, sizeof program,
             "import os\nassert not os.path.exists('%s')\n"
             "open('%s.inside', 'w').write('x')\n",
             path, path);
    ends(program, "", CODE_PASSED);
    snprintf(program, sizeof program, "%s.inside", path);
    assert_int_equal(access(program, F_OK), -1);
    unlink(path);
}

static void nothing_outside_tmp_can_be_written(void **state)
{
    needs_box(state);
    refused("open('/x', 'w')");
    refused("open('/run/tests.py', 'w')");
    refused("os.unlink('/run/driver.py')");
    refused("open('/usr/x', 'w')");
    refused("open('/usr/bin/python3', 'ab')");
    refused("os.mkdir('/dev/x')");
    refused("os.chmod('/usr/bin', 0o777)");
    refused("os.mknod('/tmp/x', 0o20666, os.makedev(1, 1))");
    ends("open('/tmp/x', 'w').write('y')", "assert open('/tmp/x').read() == 'y'", CODE_PASSED);
    ends("open('/dev/null', 'w').write('y')", "", CODE_PASSED);
}

static void no_process_is_started(void **state)
{
    needs_box(state);
    refused("os.fork()");
    refused("os.posix_spawn('/usr/bin/id', ['id'], {})");
    refused("__import__('subprocess').run(['/usr/bin/id'])");
    ends("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()", "",
         CODE_PASSED);
}

static void a_fork_bomb_is_bounded(void **state)
{
    static const char bomb[] =
        "import os, time\nn = 0\n"
        "try:\n    while True:\n        if not os.fork():\n            time.sleep(100)\n"
        "            os._exit(0)\n        n += 1\n"
        "except OSError as e:\n    refusal = e\n";
    struct code_limits l = patient();

    needs_box(state);
    l.n_processes = 8;
    l.memory_mb = 4096;
    assert_int_equal(run_with(bomb, "assert refusal and n < 8", &l).reason, CODE_PASSED);
    ends("import threading, time\nn = 0\ntry:\n    while True:\n        "
         "threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n        n += 1\n"
         "except RuntimeError as e:\n    refusal = e\n",
         "assert refusal and n < 40", CODE_PASSED);
}

/* It would write to its end of the pipe later: what holds a pipe open does not hold us. */
static void what_is_left_behind_ends_too(void **state)
{
    struct code_limits l = patient();

    needs_box(state);
    l.n_processes = 4;
    l.memory_mb = 2048;
    assert_int_equal(run_with("import os, time\nif not os.fork():\n    os.setsid()\n"
                              "    if not os.fork():\n        time.sleep(50000)\n"
                              "    os._exit(0)\n",
                              "", &l)
                         .reason,
                     CODE_PASSED);
}

static void others_cannot_be_touched(void **state)
{
    char attempt[128];

    needs_box(state);
    refused("ctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0) == 0 or "
            "exec('raise OSError(ctypes.get_errno())')");
    refused("ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0) == 0 or "
            "exec('raise OSError(ctypes.get_errno())')");
    refused("ctypes.CDLL(None).process_vm_readv(1, 0, 0, 0, 0, 0) == 0 or exec('raise OSError')");
    snprintf(attempt, sizeof attempt, "os.kill(%ld, 9)", (long)getpid());
    refused(attempt); /* there is no such process inside */
    ends("import os\nassert os.getppid() == 1\nos.kill(1, 9)\nos.kill(os.getppid(), 15)",
         "assert os.getppid() == 1", CODE_PASSED); /* process 1 does not hear it */
    refused("os.kill(-1, 9)");
}

/* The numbers are those of x86-64; elsewhere they are other calls or none. */
static void privileges_cannot_be_won(void **state)
{
    needs_box(state);
    refused("os.setuid(0)");
    refused("os.chroot('/tmp')");
    refused("os.unshare(0x10000000) if hasattr(os, 'unshare') else exec('raise OSError')");
    ends("import ctypes\nlibc = ctypes.CDLL(None)\n"
         "assert libc.unshare(0x10000000) == -1 and libc.unshare(0x20000) == -1\n"
         "assert libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0) == -1\n"
         "assert libc.umount2(b'/tmp', 2) == -1 and libc.setns(0, 0) == -1\n"
         "assert libc.sethostname(b'x', 1) == -1 and libc.personality(0) == -1\n"
         "assert libc.prctl(38, 0, 0, 0, 0) == -1 and libc.prctl(4, 1, 0, 0, 0) == -1\n"
         "assert libc.shmget(0, 4096, 0o1600) == -1 and libc.syscall(0x40000000 + 39) == -1",
         "", CODE_PASSED);
    ends("import ctypes, platform\nlibc = ctypes.CDLL(None)\n"
         "if platform.machine() == 'x86_64':\n"
         "    for n in (425, 321, 298, 323, 250, 175, 246, 169, 435, 308, 272, 155, 165):\n"
         "        assert libc.syscall(n, 0, 0, 0, 0, 0) == -1, n\n",
         "", CODE_PASSED);
}

/* ---- Ourselves ------------------------------------------------------------------------------- */

static void limits_out_of_range_are_refused(void **state)
{
    struct code_limits l = code_limits_default();
    struct code_verdict v;
    struct mk_error err;

    (void)state;
    l.n_processes = 65;
    assert_int_equal(verify_code("", 0, "", 0, &l, &v, &err), MK_EINVAL);
    l = code_limits_default();
    l.python = "/bin/python3";
    assert_int_equal(verify_code("", 0, "", 0, &l, &v, &err), MK_EINVAL);
    l.python = "/usr/../tmp/python3";
    assert_int_equal(verify_code("", 0, "", 0, &l, &v, &err), MK_EINVAL);
}

static void a_python_that_is_not_there_is_named(void **state)
{
    struct code_limits l = patient();
    struct code_verdict v;
    struct mk_error err;

    needs_box(state);
    l.python = "/usr/bin/no-such-python";
    assert_int_equal(verify_code("", 0, "", 0, &l, &v, &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "/usr/bin/no-such-python"));
}

static int n_open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += !access("/dev/null", F_OK) && dup2(fd, fd) == fd;
    return n;
}

static void nothing_is_left_open(void **state)
{
    int before = n_open_descriptors();

    needs_box(state);
    ends("", "", CODE_PASSED);
    ends("while True:\n    print('x' * 1000)", "", CODE_OUTPUT);
    assert_int_equal(n_open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_decide),
        cmocka_unit_test(leaving_early_is_no_way_to_pass),
        cmocka_unit_test(the_last_line_tells_why),
        cmocka_unit_test(a_seed_of_hashes_is_fixed),
        cmocka_unit_test(time_ends_a_program),
        cmocka_unit_test(memory_ends_a_program),
        cmocka_unit_test(output_ends_a_program),
        cmocka_unit_test(a_crash_is_told),
        cmocka_unit_test(there_is_no_network),
        cmocka_unit_test(there_are_no_files_of_the_host),
        cmocka_unit_test(the_tmp_outside_is_another),
        cmocka_unit_test(nothing_outside_tmp_can_be_written),
        cmocka_unit_test(no_process_is_started),
        cmocka_unit_test(a_fork_bomb_is_bounded),
        cmocka_unit_test(what_is_left_behind_ends_too),
        cmocka_unit_test(others_cannot_be_touched),
        cmocka_unit_test(privileges_cannot_be_won),
        cmocka_unit_test(limits_out_of_range_are_refused),
        cmocka_unit_test(a_python_that_is_not_there_is_named),
        cmocka_unit_test(nothing_is_left_open),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
