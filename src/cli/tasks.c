/* tasks.c: `minke tasks`: which there are, and what they ask and would answer. */
#include "cli/tasks.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/safe_text.h"
#include "tasks/task.h"

#define MAX_TEXT ((size_t)64 << 20)

/* ---- the list -------------------------------------------------------------------------------- */

static const struct { const char *name, *about; } of_files[] = {
    {"gsm8k:FILE", "word problems; \"#### \" before the reference"},
    {"math500:FILE", "contest problems; \"problem\", \"answer\""},
    {"aime:FILE", "the same for the AIME"},
    {"mmlu:FILE", "multiple choice; \"question\", \"choices\", \"answer\""},
    {"humaneval:FILE", "Python functions; \"prompt\", \"test\", \"entry_point\""},
    {"jsonl:FILE", "\"question\", \"answer\""}};
enum { N_OF_FILES = sizeof of_files / sizeof *of_files };

static void list_row(const struct task *t)
{
    bool search = task_has_trace(t, TASK_TRACE_SEARCH);
    bool scratchpad = task_has_trace(t, TASK_TRACE_SCRATCHPAD);

    printf("%-14s  0-%-4d  %-10s  %s\n", task_name(t), task_max_level(t),
           search ? "search" : scratchpad ? "scratchpad" : "direct", task_about(t));
}

static json_t *describe(const struct task *t)
{
    json_t *traces = json_array();

    for (int kind = 0; kind < TASK_N_TRACES; kind++)
        if (task_has_trace(t, kind))
            json_array_append_new(traces, json_string(task_trace_name(kind)));
    return json_pack("{s:s,s:i,s:s,s:o}", "name", task_name(t), "max_level", task_max_level(t),
                     "asks", task_about(t), "traces", traces);
}

static int print_json(json_t *json, struct mk_error *err)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    if (!text)
        return mk_error_set(err, MK_EFORMAT, "the text is not UTF-8");
    puts(text);
    free(text);
    return 0;
}

static int list_tasks(bool as_json, struct mk_error *err)
{
    int rc = 0;

    if (!as_json)
        printf("%-14s  %-6s  %-10s  %s\n", "task", "levels", "traces", "asks");
    for (int i = 0; !rc && task_builtin(i); i++) {
        struct task *t;

        rc = task_open(&t, task_builtin(i), err);
        if (rc)
            return rc;
        if (as_json)
            rc = print_json(describe(t), err);
        else
            list_row(t);
        task_close(t);
    }
    for (int i = 0; !as_json && i < N_OF_FILES; i++)
        printf("%-14s  %s\n", of_files[i].name, of_files[i].about);
    return rc;
}

/* ---- samples --------------------------------------------------------------------------------- */

struct sampler {
    struct task *task;
    int32_t level; /* -1: all of them */
    uint64_t n, seed;
    int split; /* enum task_split */
    bool json, skip_bad;
};

/* Lines behind the first one are set in under it. */
static void print_indented(const char *label, const char *text)
{
    printf("  %-10s  ", label);
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        char *line = strndup(text, (size_t)(end - text));

        safe_text_print(stdout, line ? line : "");
        free(line);
        printf("\n%14s", "");
    }
    safe_text_print(stdout, text);
    putchar('\n');
}

/* A trace of each kind that the task has, into texts[kind]. */
static int write_traces(const struct sampler *s, const struct task_item *item,
                        struct buf texts[TASK_N_TRACES], struct mk_error *err)
{
    int rc = 0;

    for (int kind = 0; !rc && kind < TASK_N_TRACES; kind++) {
        buf_init(&texts[kind], MAX_TEXT);
        if (task_has_trace(s->task, kind))
            rc = task_write_trace(s->task, item, kind, s->seed, &texts[kind], err);
    }
    return rc;
}

static int show_json(const struct task_item *item, int level, const struct buf *texts,
                     struct mk_error *err)
{
    json_t *traces = json_object();

    for (int kind = 0; kind < TASK_N_TRACES; kind++)
        if (texts[kind].n)
            json_object_set_new(traces, task_trace_name(kind), json_string(texts[kind].data));
    return print_json(json_pack("{s:i,s:s,s:s?,s:s,s:o}", "level", level, "question",
                                item->question, "answer", item->answer, "split",
                                task_split_of(item->question) == TASK_TEST ? "test" : "train",
                                "traces", traces), err);
}

static void show_text(const struct sampler *s, const struct task_item *item, int level,
                      const struct buf *texts)
{
    printf("%s, level %d\n", task_name(s->task), level);
    print_indented("question", item->question);
    for (int kind = 0; kind < TASK_N_TRACES; kind++)
        if (texts[kind].n)
            print_indented(task_trace_name(kind), texts[kind].data);
}

static int show_sample(const struct sampler *s, int level, int64_t index, struct mk_error *err)
{
    struct buf texts[TASK_N_TRACES] = {{0}};
    struct task_item item;
    int rc = task_draw(s->task, s->split, level, s->seed, index, &item, err);

    if (rc)
        return rc;
    rc = write_traces(s, &item, texts, err);
    if (!rc && s->json)
        rc = show_json(&item, level, texts, err);
    else if (!rc)
        show_text(s, &item, level, texts);
    for (int kind = 0; kind < TASK_N_TRACES; kind++)
        buf_release(&texts[kind]);
    task_item_release(&item);
    return rc;
}

/* Of one level, or of all of them in turn. */
static int show_samples(const struct sampler *s, struct mk_error *err)
{
    int n_levels = task_max_level(s->task) + 1, rc = 0;

    for (uint64_t i = 0; !rc && i < s->n; i++)
        rc = show_sample(s, s->level < 0 ? (int)(i % (uint64_t)n_levels) : s->level, (int64_t)i,
                         err);
    return rc;
}

static int show_task(struct sampler *s, const char *name, struct mk_error *err)
{
    int rc = task_open_skipping(&s->task, name, s->skip_bad, err);

    if (rc)
        return rc;
    if (task_n_skipped(s->task))
        fprintf(stderr, "minke: %s: %" PRId64 " lines were skipped\n", name,
                task_n_skipped(s->task));
    rc = show_samples(s, err);
    task_close(s->task);
    return rc;
}

int cmd_tasks(int argc, char **argv)
{
    struct sampler s = {.level = -1, .n = 3, .split = TASK_TRAIN};
    const struct cli_option options[] = {
        {"level", 'l', CLI_I32, &s.level, "L", "difficulty (all levels in turn)", 0, 1000, NULL},
        {"n", 'n', CLI_U64, &s.n, "N", "how many questions (3)", 0, 0, NULL},
        {"split", 0, CLI_CHOICE, &s.split, "SPLIT", "of the questions (train)", 0, 0,
         "train|test|all"},
        {"seed", 's', CLI_U64, &s.seed, "S", "the same seed asks the same (0)", 0, 0, NULL},
        {"skip-bad", 0, CLI_FLAG, &s.skip_bad, NULL, "leave out bad lines of a file, count them",
         0, 0, NULL},
        {"json", 0, CLI_FLAG, &s.json, NULL, "a JSON object a line", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "tasks", "[NAME | KIND:FILE] | corpus SPEC...",
        "Lists the tasks: questions whose answers can be checked, for training by\n"
        "reinforcement and for evaluation. With a name, shows what the task asks and how\n"
        "a teacher would answer it. minke tasks corpus --help: documents for training.",
        0, 1, options};
    struct mk_error err = {0};
    int n_args, rc;

    if (argc > 1 && !strcmp(argv[1], "corpus"))
        return tasks_corpus_command(argc - 1, argv + 1);
    rc = cli_parse(&syntax, argc, argv, &n_args);
    if (rc != CLI_RUN)
        return rc;
    rc = n_args ? show_task(&s, argv[1], &err) : list_tasks(s.json, &err);
    return rc ? cli_fail(&err) : 0;
}
