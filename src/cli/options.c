/* options.c: one parser for every subcommand's options, so that they all complain alike. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "cli/cli.h"

#define MAX_NAMES 64
#define MAX_WORD 48
#define COLUMNS 80 /* of the help */
#define LEFT 30    /* column where descriptions begin */

const char *cli_nearest(const char *given, const char *const *names, int n)
{
    int found = nearest_word(given, names, n);

    return found < 0 ? NULL : names[found];
}

int cli_fail(const struct mk_error *err)
{
    fflush(stdout);
    fprintf(stderr, "minke: %s\n", err->text);
    return err->code == MK_ECANCELLED ? 130 : 1;
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "minke %s: ", command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, ", see minke %s --help\n", command);
    return 2;
}

/* Words from column LEFT on, in lines that end before column 80. */
static void print_words(const char *text)
{
    int column = LEFT;

    for (const char *word = text; *word;) {
        int n = (int)strcspn(word, " ");

        if (n > COLUMNS - LEFT) /* many choices: cut behind a bar */
            for (n = COLUMNS - LEFT; n > 1 && word[n - 1] != '|'; n--)
                ;
        if (column > LEFT && column + 1 + n > COLUMNS) {
            printf("\n%*s", LEFT, "");
            column = LEFT;
        }
        column += printf("%s%.*s", column > LEFT && word[-1] == ' ' ? " " : "", n, word);
        word += n + strspn(word + n, " ");
    }
    putchar('\n');
}

static void print_option(const struct cli_option *o)
{
    char left[80], right[512];
    char letter[] = "    ";
    const char *value = o->value_name ? o->value_name : "";
    int n;

    if (o->letter) {
        letter[0] = '-';
        letter[1] = o->letter;
        letter[2] = ',';
    }
    n = snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, *value ? " " : "", value);

    if (n > LEFT - 4)
        printf("  %s\n%*s", left, LEFT, "");
    else
        printf("  %-*s  ", LEFT - 4, left);
    if (o->choices)
        snprintf(right, sizeof right, "%s (%s)", o->help, o->choices);
    else
        snprintf(right, sizeof right, "%s", o->help);
    print_words(right);
}

static int print_help(const struct cli_syntax *s)
{
    printf("usage: minke %s%s", s->command, s->options ? " [OPTIONS]" : "");
    if (s->arguments)
        printf(" %s", s->arguments);
    putchar('\n');
    if (s->about)
        printf("\n%s\n", s->about);
    printf("\nOptions:\n");
    for (const struct cli_option *o = s->options; o && o->name; o++)
        print_option(o);
    printf("  %-*s  this text\n", LEFT - 4, "-h, --help");
    return 0;
}

static int read_choice(const struct cli_syntax *s, const struct cli_option *o, const char *value)
{
    size_t n = strlen(value);
    int index = 0;

    for (const char *c = o->choices; *c; index++) {
        size_t len = strcspn(c, "|");

        if (len == n && !memcmp(c, value, n)) {
            *(int *)o->out = index;
            return CLI_RUN;
        }
        c += len + (c[len] == '|');
    }
    return cli_usage(s->command, "--%s: '%s' is none of %s", o->name, value, o->choices);
}

static int read_number(const struct cli_syntax *s, const struct cli_option *o, const char *value)
{
    bool whole = o->kind != CLI_FLOAT;
    long long i = 0;
    unsigned long long u = 0;
    double d = 0;
    char *end;

    errno = 0;
    if (o->kind == CLI_U64)
        u = strtoull(value, &end, 10);
    else if (o->kind == CLI_I32)
        d = (double)(i = strtoll(value, &end, 10));
    else
        d = strtod(value, &end);
    if (!*value || *end || strchr(" \t\n\v\f\r", *value) || isnan(d) ||
        (o->kind == CLI_U64 && *value == '-'))
        return cli_usage(s->command, "--%s: '%s' is not a%s number", o->name, value,
                         whole ? " whole" : "");
    if (errno == ERANGE || (o->kind == CLI_I32 && (i < INT32_MIN || i > INT32_MAX)))
        return cli_usage(s->command, "--%s: %s is too large", o->name, value);
    if (o->kind != CLI_U64 && o->min < o->max && (d < o->min || d > o->max))
        return cli_usage(s->command, "--%s: %s is not within %.10g and %.10g", o->name, value,
                         o->min, o->max);
    if (o->kind == CLI_U64)
        *(uint64_t *)o->out = u;
    else if (o->kind == CLI_I32)
        *(int32_t *)o->out = (int32_t)i;
    else
        *(float *)o->out = (float)d;
    return CLI_RUN;
}

static int read_value(const struct cli_syntax *s, const struct cli_option *o, const char *value)
{
    struct cli_list *list;

    switch (o->kind) {
    case CLI_STRING:
        *(const char **)o->out = value;
        return CLI_RUN;
    case CLI_LIST:
        list = o->out;
        if (list->n >= CLI_MAX_LIST)
            return cli_usage(s->command, "--%s: given more than %d times", o->name, CLI_MAX_LIST);
        list->items[list->n++] = value;
        return CLI_RUN;
    case CLI_CHOICE:
        return read_choice(s, o, value);
    default:
        return read_number(s, o, value);
    }
}

static int unknown_option(const struct cli_syntax *s, const char *word, const char *name, int n)
{
    const char *names[MAX_NAMES], *near;
    char given[MAX_WORD + 1];
    int n_names = 0;

    for (const struct cli_option *o = s->options; o && o->name && n_names < MAX_NAMES; o++)
        names[n_names++] = o->name;
    snprintf(given, sizeof given, "%.*s", n, name);
    near = word[1] == '-' ? cli_nearest(given, names, n_names) : NULL;
    if (near)
        return cli_usage(s->command, "unknown option '%s', did you mean --%s", word, near);
    return cli_usage(s->command, "unknown option '%s'", word);
}

/* One option at argv[*i]; moves *i past a value that stands apart. */
static int read_option(const struct cli_syntax *s, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *name = word + 1 + (word[1] == '-');
    bool is_long = word[1] == '-';
    const char *value = is_long ? strchr(name, '=') : name[1] ? name + 1 : NULL;
    size_t n = is_long ? value ? (size_t)(value - name) : strlen(name) : 1;
    const struct cli_option *o = s->options;

    for (; o && o->name; o++)
        if (is_long ? strlen(o->name) == n && !memcmp(o->name, name, n) : o->letter == name[0])
            break;
    if (!o || !o->name)
        return unknown_option(s, word, name, (int)n);
    if (is_long && value)
        value++;
    if (o->kind == CLI_FLAG) {
        if (value)
            return cli_usage(s->command, "--%s takes no value", o->name);
        *(bool *)o->out = true;
        return CLI_RUN;
    }
    if (!value && *i + 1 >= argc)
        return cli_usage(s->command, "--%s needs a value", o->name);
    return read_value(s, o, value ? value : argv[++*i]);
}

/* The word behind the n arguments that are there: of "MODEL SPEC..." SPEC... behind one. */
static int missing(const struct cli_syntax *s, int n)
{
    const char *word = s->arguments;

    for (; n > 0 && *word; n--)
        word += strcspn(word, " "), word += strspn(word, " ");
    if (!*word || strchr("-[(", *word))
        return cli_usage(s->command, "too few arguments");
    return cli_usage(s->command, "%.*s is missing", (int)strcspn(word, " "), word);
}

int cli_parse(const struct cli_syntax *s, int argc, char **argv, int *n_args)
{
    bool options_end = false;
    int n = 0, rc;

    for (int i = 1; i < argc; i++) {
        char *word = argv[i];

        if (options_end || word[0] != '-' || !word[1]) { /* "-" alone: standard input */
            argv[++n] = word;
        } else if (!strcmp(word, "--")) {
            options_end = true;
        } else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            return print_help(s);
        } else {
            rc = read_option(s, argc, argv, &i);
            if (rc != CLI_RUN)
                return rc;
        }
    }
    if (n < s->min_args)
        return missing(s, n);
    if (n > s->max_args)
        return cli_usage(s->command, "unexpected argument '%s'", argv[s->max_args + 1]);
    *n_args = n;
    return CLI_RUN;
}
