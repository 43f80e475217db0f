/* learner.h: one step of reinforcement learning after the other: ask, answer, judge, update.
 *
 * Rollouts run on the weights that are being trained, in the same forward pass: in exact runs the
 * sampler's log-probability of every token equals the trainer's to the bit, and a step in which one
 * does not ends the run (MK_EINTERNAL). A learner's numbers follow from the recipe and its state;
 * files, time and the terminal are its caller's. One owner. */
#ifndef MK_RL_LEARNER_H
#define MK_RL_LEARNER_H

#include "generate/scheduler.h"
#include "rl/objective.h"
#include "rl/reward.h"
#include "rl/reward_model.h"
#include "train/distill.h"
#include "train/trainer.h"

#define LEARNER_SHARED_ROWS 4096 /* of answers behind one computed prompt, at most */

/* One answer that a step has seen. */
struct rollout {
    int32_t question; /* index */
    struct schedule_answer answer;
    struct reward reward;
    double advantage;
    const char *text; /* with tags, NUL-terminated */
};

struct learner {
    const struct recipe *recipe; /* borrowed, as are the next three */
    struct trainer *trainer;
    const struct tokenizer *t;
    struct compute *c;
    struct questions questions;
    struct objective objective;
    struct scheduler *scheduler;
    struct model fast;       /* what the sampler runs on with numerics `fast` */
    struct params reference; /* with KL: weights and model of the reference policy */
    struct model reference_model;
    struct reward_model judge; /* with rl.reward_model */
    struct teachers teachers;  /* with distill.teachers; else their number is 0 */
    bool exact, has_reference, has_fast, has_judge;
    int64_t step;
    double passed;       /* share of the test that was right after this step; 0: not tested */
    struct arena memory; /* of one step: what follows */
    struct question *asked; /* [n_asked] */
    struct rollout *rollouts; /* [n_asked * rl.samples] group by group */
    bool *live;               /* [n_asked] */
    int32_t n_asked, room;
};

/* Of one step. Means are over all answers unless said otherwise. */
struct learner_task {
    int64_t n_answers, n_correct;
    double reward; /* sum */
};
struct learner_report {
    int64_t step;
    int32_t n_asked, n_live; /* groups */
    int64_t n_answers, n_correct, n_truncated, n_formed, n_timed_out, n_tokens;
    double reward, length, entropy;
    double score; /* of the reward model; judged: it counted in this step */
    bool judged;
    struct learner_task tasks[RECIPE_MAX_TASKS];
    /* Of the updates; 0 when nothing was live. */
    int32_t n_updates;
    double loss, kl, norm, lr;
    double divergence; /* from teachers, nats a token */
    int64_t n_trained, n_clipped; /* tokens */
    int32_t n_masked;             /* answers */
    /* |log pi_old - log mu| of the tokens trained on: the largest and the mean; 0 in exact runs. */
    double mismatch, mean_mismatch;
    /* Milliseconds; for timing.jsonl alone. */
    double rollout_ms, update_ms, rollout_cpu_ms, update_cpu_ms;
    int64_t n_decodes, n_prompt_tokens; /* passes of the sampler by one token; rows of prompts */
};

/* The trainer's schedule must count steps. base: the recipe's folder. */
int learner_init(struct learner *l, const struct recipe *r, const char *base, struct trainer *t,
                 const struct tokenizer *tokenizer, struct mk_error *err);
void learner_release(struct learner *l);
/* stop: asked while answers are being written; true ends with MK_ECANCELLED and weights as before
 * the step. May be NULL. */
int learner_step(struct learner *l, struct learner_report *r, bool (*stop)(void *user), void *user,
                 struct mk_error *err);

/* Greedy answers to the first n test questions of each task that has any, each once. */
struct learner_test {
    int64_t n_answers, n_correct;
    double length; /* mean tokens */
    struct learner_task tasks[RECIPE_MAX_TASKS];
};
int learner_evaluate(struct learner *l, int32_t n, struct learner_test *out, struct mk_error *err);

/* The greedy answer to one test question; the texts live until the next step or test. */
struct learner_try {
    const char *question, *reference, *text; /* NUL-terminated; text: with tags */
    int32_t n_tokens;
    bool correct;
};
int learner_try(struct learner *l, int32_t task, int64_t index, struct learner_try *out,
                struct mk_error *err);

/* What a checkpoint keeps besides the trainer's: rl.json and, with KL, reference.safetensors.
 * learner_save is a checkpoint_more's write. */
int learner_save(void *learner, const char *dir, struct mk_error *err);
int learner_restore(struct learner *l, const char *dir, struct mk_error *err);

/* ---- Parts ---------------------------------------------------------------------------------- */

/* rollout.c: asks and answers until there are rl.questions live groups, or too many were asked. */
int learner_collect(struct learner *l, struct learner_report *r, bool (*stop)(void *user),
                    void *user, struct mk_error *err);
/* Answers prompts of `asked` into rollouts [n * n_samples], with text and reward. */
int learner_answer(struct learner *l, struct scheduler *s, const struct question *asked, int32_t n,
                   int32_t n_samples, uint64_t sequence, struct rollout *rollouts,
                   bool (*stop)(void *user), void *user, struct mk_error *err);
/* room.c: bytes that steps take of memory beside the trainer's passes, with prompts of at most
 * n_prompt ids. */
uint64_t learner_room(const struct learner *l, int32_t n_prompt);
/* Rows that must be in one pass: a prompt and the answers behind it. */
int64_t learner_longest(const struct recipe *r, int32_t n_prompt);
/* The most answers that a step may see, refills included. */
int64_t learner_most_answers(const struct recipe *r);
/* Whether groups that are all right or all wrong are dropped: not where teachers grade each token,
 * who have something to say about those too. */
bool learner_filters(const struct recipe *r);
struct schedule_options learner_schedule(const struct learner *l, bool greedy);
/* update.c: the objective's gradients through the trainer. */
int learner_update(struct learner *l, struct learner_report *r, struct mk_error *err);
/* learner.c: the reference becomes the policy as it is now. */
int learner_take_reference(struct learner *l, struct mk_error *err);

#endif
