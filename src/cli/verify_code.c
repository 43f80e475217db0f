/* verify_code.c: `minke verify code`. */
#include "verify/code.h"

#include "cli/cli.h"
#include "cli/verify.h"

static int run_line(const json_t *line, void *context, json_t **out, struct mk_error *err)
{
    const struct code_limits *limits = context;
    struct code_verdict v;
    struct text_span program, tests;
    int rc = verify_text(line, "program", &program, err);

    if (!rc)
        rc = verify_text(line, "tests", &tests, err);
    if (!rc)
        rc = verify_code(program.at, program.n, tests.at, tests.n, limits, &v, err);
    if (rc)
        return rc;
    *out = json_pack("{s:b, s:s, s:s}", "passed", v.passed, "reason", code_reason_name(v.reason),
                     "last_line", v.last_line);
    return 0;
}

int verify_code_command(int argc, char **argv)
{
    struct code_limits limits = code_limits_default();
    bool allow = false;
    const char *path = NULL;
    const struct cli_option options[] = {
        {"jsonl", 0, CLI_STRING, &path, "F",
         "lines {\"program\":s,\"tests\":s}; - is standard input", 0, 0, NULL},
        {"allow-code", 0, CLI_FLAG, &allow, NULL, "run the programs; nothing runs without it", 0, 0,
         NULL},
        {"wall", 0, CLI_I32, &limits.wall_ms, "MS", "time of a program (5000)", 1, 3600000, NULL},
        {"cpu", 0, CLI_I32, &limits.cpu_s, "S", "processor time of a process (5)", 1, 3600, NULL},
        {"memory", 0, CLI_I32, &limits.memory_mb, "MB", "address space, of all processes (512)", 64,
         1 << 20, NULL},
        {"processes", 0, CLI_I32, &limits.n_processes, "N",
         "how many may run at once (1: none may be started)", 1, 64, NULL},
        {"files", 0, CLI_I32, &limits.file_mb, "MB", "room in its /tmp (16)", 1, 4096, NULL},
        {"output", 0, CLI_I32, &limits.output_bytes, "BYTES", "what it may print (65536)", 0,
         1 << 24, NULL},
        {"python", 0, CLI_STRING, &limits.python, "PATH", "below /usr (/usr/bin/python3)", 0, 0,
         NULL},
        {0}};
    const struct cli_syntax syntax = {
        "verify code",
        "--jsonl F --allow-code",
        "Runs each line's Python program, then its tests, in a sandbox without network,\n"
        "files and other programs: {\"passed\":false,\"reason\":\"timeout\",...}. The reasons\n"
        "are passed, failed, timeout, memory, output, crashed. Where the kernel forbids\n"
        "what the sandbox needs, nothing is run.",
        0,
        0,
        options};
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (!path)
        return cli_usage("verify code", "--jsonl is missing");
    if (!allow)
        return cli_usage("verify code", "it runs programs that a model wrote: say --allow-code");
    return verify_lines(path, run_line, &limits);
}
