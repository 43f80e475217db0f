/* verify.c: `minke verify math`, `format` and `code`: the answer checkers on lines of JSON. */
#include "cli/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define MAX_LINE_BYTES ((size_t)64 << 20)

int verify_text(const json_t *line, const char *key, struct text_span *out, struct mk_error *err)
{
    const json_t *value = json_object_get(line, key);

    if (!json_is_string(value))
        return mk_error_set(err, MK_EFORMAT, "\"%s\" %s", key,
                            value ? "is not a string" : "is missing");
    *out = (struct text_span){json_string_value(value), json_string_length(value)};
    return 0;
}

json_t *verify_string(struct text_span s)
{
    return s.at ? json_stringn(s.at, s.n) : json_null();
}

static int answer_line(const char *text, size_t n, verify_line_fn *fn, void *context,
                       struct mk_error *err)
{
    json_error_t where;
    json_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    json_t *out = NULL;
    int rc;

    if (!line)
        return mk_error_set(err, MK_EFORMAT, "no JSON: %s", where.text);
    if (!json_is_object(line))
        rc = mk_error_set(err, MK_EFORMAT, "not a JSON object");
    else
        rc = fn(line, context, &out, err);
    if (!rc && (!out || json_dumpf(out, stdout, JSON_COMPACT)))
        rc = mk_error_set(err, MK_EIO, "the verdict cannot be written");
    if (!rc)
        putchar('\n');
    json_decref(out);
    json_decref(line);
    return rc;
}

static bool is_blank_line(const char *text, ssize_t n)
{
    return strspn(text, " \t\r\n") == (size_t)n;
}

/* One malformed line is no reason to lose the verdicts of the others. */
static int answer_all(FILE *f, const char *path, verify_line_fn *fn, void *context)
{
    struct mk_error err = {0};
    size_t capacity = 0, number = 0;
    char *text = NULL;
    int status = 0;
    ssize_t n;

    while ((n = getline(&text, &capacity, f)) >= 0) {
        int rc = 0;

        number++;
        if (is_blank_line(text, n))
            continue;
        if ((size_t)n > MAX_LINE_BYTES)
            rc = mk_error_set(&err, MK_EFORMAT, "longer than %zu bytes", MAX_LINE_BYTES);
        else
            rc = answer_line(text, (size_t)n, fn, context, &err);
        if (!rc)
            continue;
        mk_error_wrap(&err, "%s, line %zu", path, number);
        status = cli_fail(&err);
        if (rc != MK_EFORMAT)
            break;
    }
    if (ferror(f)) {
        mk_error_set(&err, MK_EIO, "%s cannot be read: %s", path, strerror(errno));
        status = cli_fail(&err);
    }
    free(text);
    return status;
}

int verify_lines(const char *path, verify_line_fn *fn, void *context)
{
    struct mk_error err;
    FILE *f;
    int status;

    if (!strcmp(path, "-"))
        return answer_all(stdin, "standard input", fn, context);
    f = fopen(path, "r");
    if (!f) {
        mk_error_set(&err, errno == ENOENT ? MK_ENOTFOUND : MK_EIO, "%s cannot be opened: %s", path,
                     strerror(errno));
        return cli_fail(&err);
    }
    status = answer_all(f, path, fn, context);
    fclose(f);
    return status;
}

int cmd_verify(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } parts[] = {{"math", verify_math_command},
                 {"format", verify_format_command},
                 {"code", verify_code_command}};
    const struct cli_syntax syntax = {"verify",
                                      "math|format|code [OPTIONS]",
                                      "math    do two answers say the same?\n"
                                      "format  tags, language, length and repetition of an answer\n"
                                      "code    does a program pass its tests? (in a sandbox)\n\n"
                                      "All read lines of JSON and print a line of JSON for each.\n"
                                      "minke verify math --help and so on tell more.",
                                      1,
                                      1,
                                      NULL};
    int n_args, rc;

    for (size_t i = 0; argc > 1 && i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(argv[1], parts[i].name))
            return parts[i].run(argc - 1, argv + 1);
    rc = cli_parse(&syntax, argc > 2 && argv[1][0] != '-' ? 2 : argc, argv, &n_args);
    return rc != CLI_RUN ? rc : cli_usage("verify", "there is no 'verify %s'", argv[1]);
}
