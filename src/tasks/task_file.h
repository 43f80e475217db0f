/* task_file.h: questions from a JSONL file of a known kind. For task.c only.
 *
 *   gsm8k      "question", "answer": a worked solution and "#### " with the reference
 *   math500    "problem", "answer", "solution"
 *   aime       "problem" or "question", "answer": a number or text
 *   mmlu       "question", "choices" [..] or "A" .. "D", "answer": an index or a letter
 *   humaneval  "prompt", "canonical_solution", "test", "entry_point"
 *   jsonl      "question", "answer": text or a number
 *
 * Files may be packed (.gz, .zst) or a folder of files. Everything is read and checked at open. */
#ifndef MK_TASKS_TASK_FILE_H
#define MK_TASKS_TASK_FILE_H

#include "tasks/task.h"

struct task_row {
    struct task_item item; /* owned */
    char *solution;        /* owned; how it is worked out, or NULL */
    char *worked;          /* owned; solution and reference as the file has them; NULL: solution is
                              that */
};

struct task_file {
    const struct task_file_kind *kind; /* static */
    char *name;                        /* owned; "gsm8k:PATH" */
    struct task_row *rows;             /* owned, [n], in the order of the file */
    int64_t n, capacity, n_skipped;
    int64_t *of_split[2];              /* owned; row numbers of train and test */
    int64_t n_split[2];
};

/* Is `name` "KIND:..." with a known kind? */
bool task_file_is(const char *name);
int  task_file_open(struct task_file *f, const char *name, bool skip_bad, struct mk_error *err);
void task_file_close(struct task_file *f);
const char *task_file_about(const struct task_file *f);
bool task_file_is_code(const struct task_file *f);
int64_t task_file_count(const struct task_file *f, enum task_split split);
/* The row that stands at `index` of the split; its count must not be 0. */
const struct task_row *task_file_row(const struct task_file *f, enum task_split split,
                                     uint64_t seed, int64_t index);
/* The row with this question, or NULL. */
const struct task_row *task_file_find(const struct task_file *f, const char *question);

#endif
