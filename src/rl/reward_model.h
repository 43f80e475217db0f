/* reward_model.h: what a trained head (train/reward.h) thinks of answers, beside the rules of
 * reward.h: DeepSeek-R1's last stage, "all scenarios" (section 2.3.4).
 *
 * A model folder with score.weight, as `minke train` makes it with reward.head and transformers of
 * ...ForSequenceClassification with one label, and the same vocabulary as the policy's: what the
 * policy wrote is read token by token. Its weights never change. One owner. */
#ifndef MK_RL_REWARD_MODEL_H
#define MK_RL_REWARD_MODEL_H

#include "tokenizer/tokenizer.h"
#include "train/pass.h"

/* What is read of an answer; of the question all. */
enum reward_reads {
    REWARD_READS_ALL,
    REWARD_READS_ANSWER /* what stands behind </think>: the summary alone (R1: helpfulness) */
};

struct reward_model {
    struct params params;
    struct model model;
    struct compute *c;         /* borrowed */
    const struct tokenizer *t; /* borrowed; the policy's */
    struct arena memory;       /* of a pass */
    int64_t pass_tokens;       /* computed together; changes no number */
};

/* One answer to be scored. */
struct reward_text {
    const int32_t *prompt, *ids; /* [n_prompt], [n] with the end token if there is one */
    int32_t n_prompt, n;
    const char *text; /* of ids, the end token left out */
    bool stopped;     /* the last id is the end token */
    double score;     /* out */
};

/* MK_EINVAL when it has no head or another vocabulary. On failure nothing is held. */
int reward_model_open(struct reward_model *r, const char *folder, const struct tokenizer *t,
                      struct compute *c, int64_t pass_tokens, struct mk_error *err);
void reward_model_release(struct reward_model *r);
/* memory: for the sequences; the caller's. */
int reward_model_score(struct reward_model *r, struct reward_text *texts, int32_t n,
                       enum reward_reads reads, struct arena *memory, struct mk_error *err);

#endif
