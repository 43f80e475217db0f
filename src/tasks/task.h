/* task.h: questions whose answers can be checked, for corpora, reinforcement learning and
 * evaluation.
 *
 * A task is a generator of questions (built in: seeded, without end) or a file of them. Each has a
 * checker, most a difficulty dial, and a writer of traces: what a teacher would think and answer.
 * Questions and traces are short ASCII text with one symbol a thought, made for a vocabulary of
 * single characters.
 *
 * Train and test questions cannot overlap: a hash of the question's text decides which it is.
 *
 * Everything follows from (task, split, level, seed, index) alone. A task is immutable after
 * task_open and may be used from any thread. */
#ifndef MK_TASKS_TASK_H
#define MK_TASKS_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "verify/text_span.h"

/* TASK_ALL: either of the two; what an evaluation of a whole file asks for. */
enum task_split { TASK_TRAIN, TASK_TEST, TASK_ALL };
/* The split of a question: TASK_TEST for one text in eight. */
enum task_split task_split_of(const char *question);

#define TASK_MAX_CHOICES 26
struct task_item {
    char *question, *answer; /* owned; answer NULL: no reference */
    char *tests;             /* owned; of a program: what runs behind it; else NULL */
    char **choices;          /* owned, [n_choices]; of multiple choice: the texts of A, B, .. */
    int n_choices;
};

struct task;

/* name: of a built-in ("parity"), or "KIND:FILE" of an external one ("gsm8k:PATH", "math500:PATH",
 * "humaneval:PATH", "aime:PATH", "mmlu:PATH", "jsonl:PATH"). MK_ENOTFOUND: no such task or file. */
int  task_open(struct task **t, const char *name, struct mk_error *err);
/* The same; skip_bad: lines that are malformed or have no reference are left out and counted, else
 * the first one is an error that names file and line (MK_EFORMAT). */
int  task_open_skipping(struct task **t, const char *name, bool skip_bad, struct mk_error *err);
/* The first, of a recipe: a FILE that is no absolute path is in the folder `base`, "": here. */
int  task_open_in(struct task **t, const char *base, const char *name, struct mk_error *err);
int64_t task_n_skipped(const struct task *t);
void task_close(struct task *t);

/* The names of the built-in tasks, easy ones first; NULL behind the last. */
const char *task_builtin(int i);

const char *task_name(const struct task *t);
/* What it asks, in a few words. */
const char *task_about(const struct task *t);
/* Difficulty dial: level 0 .. max. */
int task_max_level(const struct task *t);
/* -1: without end. */
int64_t task_count(const struct task *t, enum task_split split);

/* Question `index` of (seed, split, level). A built-in task has one for every index; of a file,
 * index counts through the questions again and again in an order made by seed (0: the file's).
 * The item is the caller's, to be given back by task_item_release. */
int  task_draw(const struct task *t, enum task_split split, int level, uint64_t seed,
               int64_t index, struct task_item *item, struct mk_error *err);
void task_item_release(struct task_item *item);

/* ---- Checking ------------------------------------------------------------------------------- */

struct task_verdict {
    bool correct;     /* the answer is right, whatever the form around it */
    bool well_formed; /* tags once and in order, [<think>..</think>]<answer>..</answer>, no more */
    bool has_answer;  /* there is something between answer tags; of a file's question, that or
                         anything after the thought */
    struct text_span found; /* what was compared with the reference, in the response */
};

/* response: the model's text after the question, tags as text. Never fails, on any bytes. */
void task_check(const struct task *t, const struct task_item *item, const char *response, size_t n,
                struct task_verdict *v);

/* Answers that are programs (humaneval) are never correct for task_check: running them is for those
 * who were asked to (verify/code.h). This appends the program that a response stands for, to be run
 * with item->tests behind it. */
bool task_is_code(const struct task *t);
int  task_program(const struct task_item *item, const char *response, size_t n, struct buf *out,
                  struct mk_error *err);

/* ---- Traces --------------------------------------------------------------------------------- */

/* How a teacher would answer. SEARCH tries, checks itself after every try and stops at the first
 * hit. IMPATIENT is the same with the habits that a base model for reinforcement learning should
 * have seen: it sometimes goes on after a hit and often gives up after a miss, with a wrong answer.
 */
enum task_trace {
    TASK_TRACE_DIRECT,
    TASK_TRACE_SCRATCHPAD,
    TASK_TRACE_SEARCH,
    TASK_TRACE_IMPATIENT
};
#define TASK_N_TRACES 4
/* The check after every try of a search. */
#define TASK_CHECK_HIT ";1"
#define TASK_CHECK_MISS ";0"

bool task_has_trace(const struct task *t, enum task_trace kind);
/* "direct", "scratchpad", "search", "impatient". */
const char *task_trace_name(enum task_trace kind);
/* Appends a response in the form that task_check reads; random choices are keyed by seed. */
int task_write_trace(const struct task *t, const struct task_item *item, enum task_trace kind,
                     uint64_t seed, struct buf *out, struct mk_error *err);

/* How a file answers one of its questions, to the byte: GSM8K's "answer" with the calculator's
 * notes that traces leave out, MATH's "solution"; of others the reference. Borrowed from task and
 * item. */
const char *task_worked(const struct task *t, const struct task_item *item);

#endif
