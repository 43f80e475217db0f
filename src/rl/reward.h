/* reward.h: what an answer is worth: right or wrong, and what the recipe adds for its form.
 *
 * Rules alone, as R1-Zero (DeepSeek-R1, section 2.2.2); a recipe may have a model judge too
 * (reward_model.h). */
#ifndef MK_RL_REWARD_H
#define MK_RL_REWARD_H

#include "rl/questions.h"

struct reward {
    double total;
    double score; /* of the reward model, which counts in total; 0 without */
    bool correct, well_formed;
    bool truncated; /* the limit cut it: never correct */
    bool timed_out; /* a program that did not end in rl.code_ms: wrong */
};

/* Programs are run, in the sandbox of verify/code.h, which rl.allow_code has asked for; whatever
 * one does is a verdict, and an error only what the machine lacks to run any.
 *
 * text: the answer with its tags; n_tokens of it, the end token included; stopped: it ended by
 * itself. r->total = correct + format_reward * well_formed + language_reward * share of words of
 * the thought in the script - what the soft limit costs (DAPO, eq. 13). */
int reward_of(const struct questions *q, const struct question *asked, const char *text, size_t n,
              int32_t n_tokens, bool stopped, struct reward *r, struct mk_error *err);

#endif
