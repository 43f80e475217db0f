/* suite.c: the table of kinds; from "gsm8k:FILE,parity:3" to suites. */
#include "eval/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/task.h"

#define MAX_NAME 64
#define BOXED "\nPlease reason step by step, and put your final answer within \\boxed{}."
#define FUNCTION \
    "Complete this Python function. Answer with the whole function in a code block.\n\n"

/* Raw forms and stops are lm-evaluation-harness's (gsm8k, minerva_math, humaneval, mmlu); the
 * sentence about \boxed is the one that R1's notes recommend. Samples: R1's paper, appendix D.1. */
static const struct suite_kind kinds[] = {
    {.name = "gsm8k", .home = "test.jsonl of github.com/openai/grade-school-math",
     .raw = "Question: {question}\nAnswer:", .chat = "{question}" BOXED, .samples = 16,
     .stops = {"Question:", "</s>", "<|im_end|>"}},
    {.name = "math500", .home = "test.jsonl of github.com/openai/prm800k (math_splits)",
     .raw = "Problem:\n{question}\n\nSolution:", .chat = "{question}" BOXED, .samples = 16,
     .stops = {"Problem:"}},
    {.name = "aime", .home = "lines {\"problem\":.., \"answer\":..} of any year",
     .raw = "Problem:\n{question}\n\nSolution:", .chat = "{question}" BOXED, .samples = 64,
     .stops = {"Problem:"}},
    {.name = "humaneval", .home = "HumanEval.jsonl.gz of github.com/openai/human-eval",
     .raw = "{question}", .chat = FUNCTION "```python\n{question}```", .samples = 8,
     .stops = {"\nclass", "\ndef", "\n#", "\nif", "\nprint"}},
    {.name = "mmlu", .way = SUITE_CHOICES,
     .home = "lines {\"question\":.., \"choices\":[..], \"answer\":..}, from "
             "github.com/hendrycks/test",
     .raw = "{question}\nAnswer:",
     .chat = "{question}\nAnswer with the letter of the right choice.", .samples = 8,
     .stops = {"\n\n"}},
    {.name = "jsonl", .home = "lines {\"question\":.., \"answer\":..} of your own",
     .raw = "Question: {question}\nAnswer:", .chat = "{question}", .samples = 8,
     .stops = {"Question:"}},
    {.name = "text", .way = SUITE_TEXT, .home = "any text of your own"},
    {0}};

/* Tasks that make their own questions. */
static const struct suite_kind built_in = {.name = "task", .raw = "Question: {question}\nAnswer:",
                                           .chat = "{question}", .samples = 8,
                                           .stops = {"Question:"}};

bool suite_is_built_in(const struct suite *s)
{
    return s->kind == &built_in;
}

const char *suite_name_at(int32_t i)
{
    int32_t n = sizeof kinds / sizeof *kinds - 1;

    if (i < n)
        return kinds[i].name;
    return i == n ? "tasks" : task_builtin(i - n - 1);
}

static const struct suite_kind *find_kind(const char *name)
{
    for (const struct suite_kind *k = kinds; k->name; k++)
        if (!strcmp(k->name, name))
            return k;
    for (int i = 0; task_builtin(i); i++)
        if (!strcmp(task_builtin(i), name))
            return &built_in;
    return NULL;
}

static bool is_taken(const struct suites *s, const char *name)
{
    for (int32_t i = 0; i < s->n; i++)
        if (!strcmp(s->items[i].name, name))
            return true;
    return false;
}

static int add(struct suites *s, const struct suite_kind *kind, const char *name, const char *task,
               int32_t level, struct mk_error *err)
{
    struct suite *added = &s->items[s->n];
    char unique[MAX_NAME];

    if (s->n == SUITE_MAX)
        return mk_error_set(err, MK_ELIMIT, "more than %d suites", SUITE_MAX);
    snprintf(unique, sizeof unique, level < 0 ? "%s" : "%s-%d", name, level);
    for (int n = 2; is_taken(s, unique); n++)
        snprintf(unique, sizeof unique, "%s-%d", name, n);
    *added = (struct suite){kind, strdup(unique), strdup(task), level};
    s->n++; /* released with the others, whatever there is of it */
    return added->name && added->task ? 0 : mk_error_memory(err, sizeof unique);
}

/* rest: what stands behind the colon, NULL: nothing. */
static int add_built_in(struct suites *s, const char *name, const char *rest, struct mk_error *err)
{
    struct task *t;
    int max;
    long level = -1;
    char *end;

    if (task_open(&t, name, err))
        return err->code;
    max = task_max_level(t);
    task_close(t);
    if (rest) {
        errno = 0;
        level = strtol(rest, &end, 10);
        if (end == rest || *end || errno || level < 0 || level > max)
            return mk_error_set(err, MK_EINVAL, "suite %s:%.40s: its levels are 0 to %d", name,
                                rest, max);
    }
    return add(s, &built_in, name, name, (int32_t)level, err);
}

static int add_tasks(struct suites *s, const char *rest, struct mk_error *err)
{
    if (!rest || strcmp(rest, "all") != 0)
        return mk_error_set(err, MK_ENOTFOUND,
                            "suite tasks: say tasks:all, or the name of one task; minke tasks "
                            "lists them");
    for (int i = 0; task_builtin(i); i++)
        if (add_built_in(s, task_builtin(i), NULL, err))
            return err->code;
    return 0;
}

static int add_one(struct suites *s, char *word, struct mk_error *err)
{
    char whole[4096], *colon = strchr(word, ':'), *rest = NULL;
    const struct suite_kind *kind;

    snprintf(whole, sizeof whole, "%s", word);
    if (colon) {
        *colon = '\0';
        rest = colon + 1;
    }
    if (!strcmp(word, "tasks"))
        return add_tasks(s, rest, err);
    kind = find_kind(word);
    if (!kind)
        return mk_error_set(err, MK_ENOTFOUND, "there is no suite '%.60s'", word);
    if (kind == &built_in)
        return add_built_in(s, word, rest, err);
    if (!rest || !*rest)
        return mk_error_set(err, MK_ENOTFOUND, "suite %s needs its file, %s:FILE: %s", word, word,
                            kind->home);
    if (strlen(whole) + 1 == sizeof whole)
        return mk_error_set(err, MK_ELIMIT, "suite %s: the path is too long", word);
    return add(s, kind, word, kind->way == SUITE_TEXT ? rest : whole, -1, err);
}

int suites_add(struct suites *s, const char *list, struct mk_error *err)
{
    char *copy = strdup(list), *at = copy, *word;
    int rc = copy ? 0 : mk_error_memory(err, strlen(list) + 1);

    while (!rc && (word = strsep(&at, ",")) && (word += strspn(word, " ")))
        rc = *word ? add_one(s, word, err)
                   : mk_error_set(err, MK_EINVAL, "'%.60s': a suite without a name", list);
    free(copy);
    return rc;
}

void suites_release(struct suites *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        free(s->items[i].name);
        free(s->items[i].task);
    }
    s->n = 0;
}
