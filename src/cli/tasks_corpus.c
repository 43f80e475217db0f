/* tasks_corpus.c: `minke tasks corpus`: documents for training, written to a file. */
#include "cli/tasks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/part_file.h"
#include "cli/cli.h"
#include "cli/interrupt.h"

#define MAX_LINE ((size_t)256 << 20)

static int write_documents(struct blend *b, uint64_t n, struct part_file *f, struct mk_error *err)
{
    struct buf line;
    int rc = 0;

    buf_init(&line, MAX_LINE);
    for (uint64_t i = 0; !rc && i < n; i++) {
        buf_clear(&line);
        rc = blend_next(b, &line, err);
        rc = rc ? rc : part_file_write(f, line.data, line.n, err);
        if (!rc && interrupt_asked())
            rc = mk_error_set(err, MK_ECANCELLED, "stopped: nothing of the corpus stays");
    }
    buf_release(&line);
    return rc;
}

int tasks_write_corpus(struct blend *b, uint64_t n, const char *path, struct mk_error *err)
{
    struct part_file f = {0};
    int rc = part_file_open(&f, path, err);

    rc = rc ? rc : write_documents(b, n, &f, err);
    rc = rc ? rc : part_file_sync(&f, err);
    rc = rc ? rc : part_file_rename(&f, err);
    if (rc)
        part_file_discard(&f);
    else
        part_file_keep(&f);
    return rc;
}

static void report(const struct blend *b, const char *path)
{
    printf("%" PRId64 " documents in %s\n", b->n_written, path);
    for (int i = 0; i < b->n_parts; i++)
        printf("  %-30s %10" PRId64 "\n", task_name(b->parts[i].task), b->parts[i].n_drawn);
    for (int i = 0; i < TASK_N_TRACES; i++)
        if (b->n_of_trace[i])
            printf("  %-30s %10" PRId64 "\n", task_trace_name(i), b->n_of_trace[i]);
}

static int make_corpus(struct blend *b, char **specs, int n_specs, uint64_t n, const char *path,
                       struct mk_error *err)
{
    int rc = 0;

    b->parts = calloc((size_t)n_specs, sizeof *b->parts);
    if (!b->parts)
        return mk_error_memory(err, (size_t)n_specs * sizeof *b->parts);
    while (!rc && b->n_parts < n_specs) {
        rc = blend_part_open(&b->parts[b->n_parts], specs[b->n_parts], err);
        b->n_parts += !rc;
    }
    rc = rc ? rc : tasks_write_corpus(b, n, path, err);
    if (!rc)
        report(b, path);
    for (int i = 0; i < b->n_parts; i++)
        blend_part_close(&b->parts[i]);
    free(b->parts);
    return rc;
}

int tasks_corpus_command(int argc, char **argv)
{
    struct blend b = {.seed = 0};
    const char *path = NULL;
    uint64_t n = 10000;
    int form = BLEND_MESSAGES;
    const struct cli_option options[] = {
        {"n", 'n', CLI_U64, &n, "N", "documents (10000)", 0, 0, NULL},
        {"out", 'o', CLI_STRING, &path, "FILE", "JSONL to be written", 0, 0, NULL},
        {"form", 0, CLI_CHOICE, &form, "FORM", "of a document (messages)", 0, 0,
         "messages|text"},
        {"seed", 's', CLI_U64, &b.seed, "S", "the same seed writes the same bytes (0)", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "tasks corpus", "SPEC...",
        "Writes train questions with a teacher's answers as documents, a JSON object a\n"
        "line.\n"
        "A SPEC is a task, with commas behind it what is not to be as usual:\n"
        "  weight=W                its documents among those of all (1)\n"
        "  level=L, level=L-H      difficulty (all levels equally often)\n"
        "  scratchpad=S, search=S, impatient=S\n"
        "                          share of documents with such a thought; the others\n"
        "                          answer at once\n\n"
        "example: minke tasks corpus parity,scratchpad=0.15 step,weight=0.5 --out c.jsonl",
        1, 64, options};
    struct mk_error err = {0};
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (!path)
        return cli_usage("tasks corpus", "--out is missing");
    b.form = form;
    interrupt_catch();
    return make_corpus(&b, argv + 1, n_args, n, path, &err) ? cli_fail(&err) : 0;
}
