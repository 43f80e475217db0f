/* main.c: the minke command: finds the subcommand and runs it. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* In the order of `minke --help`: what a newcomer needs first. */
static const struct cli_command commands[] = {
    {"pull", "fetch a model into the local store", cmd_pull},
    {"list", "the models of the local store", cmd_list},
    {"remove", "take a model out of the local store", cmd_remove},
    {"chat", "talk with a model", cmd_chat},
    {"generate", "answer one prompt", cmd_generate},
    {"inspect", "what a model file holds", cmd_inspect},
    {"score", "log-probabilities and perplexity of a text", cmd_score},
    {"bench", "tokens a second of prefill and decode", cmd_bench},
    {"convert", "write a model in another number format", cmd_convert},
    {"tokenize", "text to token ids and back", cmd_tokenize},
    {"tokenizer", "learn a vocabulary from text", cmd_tokenizer},
    {"data", "texts to shards for training, and back", cmd_data},
    {"train", "pre-train, continue or fine-tune a model", cmd_train},
    {"rl", "let a model learn from rewards", cmd_rl},
    {"pipeline", "several runs in one file: the stages of R1", cmd_pipeline},
    {"eval", "measure what a model can do", cmd_eval},
    {"tasks", "questions with answers that can be checked", cmd_tasks},
    {"sample", "a teacher's answers to questions, to learn from", cmd_sample},
    {"report", "draw a training run, or compare several", cmd_report},
    {"verify", "check answers: mathematics, format, code", cmd_verify},
    {"grad", "the loss of a text and its gradients", cmd_grad},
    {NULL, NULL, NULL}};
enum { N_COMMANDS = sizeof commands / sizeof *commands - 1 };

static int print_overview(FILE *out)
{
    fprintf(out, "usage: minke COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s  %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nminke COMMAND --help tells more; minke --version prints the version.\n");
    return out == stdout ? 0 : 2;
}

static int unknown_command(const char *name)
{
    const char *names[N_COMMANDS + 1] = {0}, *near;

    for (int i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    near = cli_nearest(name, names, N_COMMANDS);
    if (near)
        fprintf(stderr, "minke: there is no command '%s', did you mean '%s'\n", name, near);
    else
        fprintf(stderr, "minke: there is no command '%s', see minke --help\n", name);
    return 2;
}

static int run_command(int argc, char **argv)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(argv[0], commands[i].name))
            return commands[i].run(argc, argv);
    return unknown_command(argv[0]);
}

static int run(int argc, char **argv)
{
    static char help[] = "--help";
    char *asked[3];

    if (argc < 2)
        return print_overview(stderr);
    if (!strcmp(argv[1], "--version")) {
        puts("minke " MK_VERSION);
        return 0;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        if (argc == 2)
            return print_overview(stdout);
        asked[0] = argv[2];
        asked[1] = help;
        asked[2] = NULL;
        return run_command(2, asked);
    }
    return run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int status = run(argc, argv);

    /* A full disk shows only when the last bytes are written. */
    if ((fflush(stdout) || ferror(stdout)) && !status) {
        fprintf(stderr, "minke: standard output cannot be written\n");
        return 1;
    }
    return status;
}
