/* cli.h: what the subcommands of minke share: the table's row, the option parser, errors, progress.
 *
 * A subcommand is one file with one function `int cmd_name(int argc, char **argv)`; argv[0] is the
 * subcommand's name and the return value is the exit status: 0 done, 1 it failed, 2 the command
 * line was wrong. To add one, write the file, declare the function below and add a row to the table
 * in main.c. Subcommands turn flags into calls and print; they hold no logic of their own.
 * Everything here belongs to the main thread. */
#ifndef MK_CLI_CLI_H
#define MK_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "minke.h"

struct cli_command {
    const char *name, *summary; /* one line of `minke --help` */
    int (*run)(int argc, char **argv);
};

/* ---- Options -------------------------------------------------------------------------------- */

enum cli_kind {
    CLI_FLAG,   /* out is bool *, set to true; takes no value */
    CLI_STRING, /* const char ** into argv */
    CLI_LIST,   /* struct cli_list *, appended: the option may be given several times */
    CLI_I32,    /* int32_t *, within min..max when they differ */
    CLI_U64,    /* uint64_t * */
    CLI_FLOAT,  /* float *, within min..max when they differ */
    CLI_CHOICE  /* int *, the index of the value in choices, "a|b|c" */
};

#define CLI_MAX_LIST 32
struct cli_list {
    const char *items[CLI_MAX_LIST];
    int32_t n;
};

struct cli_option {
    const char *name;       /* without the dashes: "max-tokens" */
    char letter;            /* 'n' for -n, or 0 */
    enum cli_kind kind;
    void *out;              /* written only when the option is given: fill in the default first */
    const char *value_name; /* "N" in the help; NULL for a flag */
    const char *help;
    double min, max;
    const char *choices;
};

struct cli_syntax {
    const char *command;   /* "pull"; may be NULL in tests */
    const char *arguments; /* "NAME..." in the usage line */
    const char *about;     /* paragraph of the help */
    int min_args, max_args;
    const struct cli_option *options; /* ends with an entry without a name; may be NULL */
};

#define CLI_RUN (-1)
/* Reads the options ("--name VALUE", "--name=VALUE", "-n VALUE", "--" ends them) and moves the
 * other arguments to argv[1] .. argv[*n_args]. Returns CLI_RUN to go on, or the exit status to
 * return at once: 0 after --help, 2 after saying what is wrong with the command line. */
int cli_parse(const struct cli_syntax *syntax, int argc, char **argv, int *n_args);

/* Rows of what runs a recipe: train_run.h, rl_run.h. */
/* clang-format off */
#define CLI_RUN_OPTIONS(run, sets, dry, example) \
    {"set", 's', CLI_LIST, sets, "KEY=VALUE", "over the recipe, e.g. " example, 0, 0, 0}, \
    {"resume", 'r', CLI_FLAG, &(run)->resume, 0, "go on after the last checkpoint", 0, 0, 0}, \
    {"cpu", 0, CLI_STRING, &(run)->cpu, "NAME", "lower the machine: ref, avx2, avx512", 0, 0, 0}, \
    {"dry-run", 'n', CLI_FLAG, dry, 0, "print the whole recipe and its sizes, then stop", 0, 0, \
     0}, \
    {"quiet", 'q', CLI_FLAG, &(run)->quiet, 0, "no progress", 0, 0, 0}
/* clang-format on */

/* ---- Errors --------------------------------------------------------------------------------- */

/* Prints "minke: text" on stderr; returns the status to end with: 1, or 130, as shells say it,
 * where Ctrl-C stopped the work (MK_ECANCELLED). */
int cli_fail(const struct mk_error *err);
/* Prints "minke COMMAND: ..., see minke COMMAND --help"; returns 2. */
int cli_usage(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The one of names[n] that `given` probably meant, or NULL. */
const char *cli_nearest(const char *given, const char *const *names, int n);

/* ---- Subcommands, one a file ---------------------------------------------------------------- */

int cmd_chat(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_remove(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_tokenizer(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_grad(int argc, char **argv);
int cmd_pipeline(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_tasks(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_rl(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
