/* questions.h: what is asked next: tasks by weight, levels by what the policy can do.
 *
 * Everything follows from the seed and the few integers of struct questions_place, which a
 * checkpoint keeps. One owner. */
#ifndef MK_RL_QUESTIONS_H
#define MK_RL_QUESTIONS_H

#include "tasks/task.h"
#include "tokenizer/tokenizer.h"
#include "train/recipe.h"
#include "verify/format.h"

/* Of one task. */
struct questions_place {
    int64_t n_drawn, n_groups; /* questions asked; groups judged since the level rose */
    int64_t level;
    double pass; /* mean pass rate of recent groups, see questions_judge */
};

struct questions {
    const struct recipe *recipe; /* borrowed */
    const struct tokenizer *t;   /* borrowed */
    struct task *tasks[RECIPE_MAX_TASKS];
    struct questions_place places[RECIPE_MAX_TASKS];
    int32_t n_tasks;
    int64_t n_asked;
    bool has_code; /* a task is judged by running programs */
    enum format_script language; /* of rl.language */
};

struct question {
    int32_t task, level;
    struct task_item item;
    struct ids prompt; /* around the question, as rollout.prompt says */
};

/* base: paths of external tasks begin there. t may be NULL where nothing will be asked and the
 * recipe is only to be checked. */
int questions_open(struct questions *q, const struct recipe *r, const char *base,
                   const struct tokenizer *t, struct mk_error *err);
void questions_close(struct questions *q);
/* The next one to learn from. The question is the caller's, to be given back by question_release,
 * also after an error. */
int questions_next(struct questions *q, struct question *out, struct mk_error *err);
/* Number `index` of a task's test questions, at the highest level that the recipe allows. */
int questions_test(const struct questions *q, int32_t task, int64_t index, struct question *out,
                   struct mk_error *err);
/* Ids of the longest prompt, as far as can be seen: of a file all, of a built-in task some at the
 * highest level and an eighth more. */
int questions_longest(const struct questions *q, int32_t *n, struct mk_error *err);
void question_release(struct question *q);
/* A group of answers was judged: `pass` of them right. The task's level rises when the mean of
 * recent groups reaches rl.raise_at. */
void questions_judge(struct questions *q, const struct question *asked, double pass);

#endif
