/* scheduler.h: continuous batching: the answers to many prompts, so many at a time; an answer that
 * ends makes room for the next one.
 *
 * All answers in the slots take one step of one forward pass together. Samples of a group share
 * their prompt: it is computed once and its cached rows are copied. What an answer is follows from
 * the model, its prompt, the options and its sequence number alone, not from the number of slots or
 * from what else is being answered.
 *
 * Works on a bare model: rollouts run on the very weights that are being trained. One owner. */
#ifndef MK_GENERATE_SCHEDULER_H
#define MK_GENERATE_SCHEDULER_H

#include "generate/kv_cache.h"
#include "generate/sampler.h"
#include "kernels/kernels.h"
#include "model/model.h"

struct schedule_group {
    const int32_t *prompt; /* [n_prompt] at least one id */
    int32_t n_prompt, n_samples;
    /* Of its first sample; sample i has sequence + i. Keys the draws, see sampler.h. */
    uint64_t sequence;
};

struct schedule_answer {
    int32_t *ids;    /* [n] without the prompt; a stop id is the last */
    float *logprobs; /* [n] nats, at temperature 1 among the tokens that the filters left */
    int32_t n;
    bool stopped;   /* by a stop id; else its limit cut it */
    int32_t forced; /* index of the token that the thinking budget put there, -1: none */
    double entropy; /* mean over its tokens of what the draws were made from, nats */
    /* Where asked for, else NULL: [n, set_words] bit i of a token's row: the filters left id i; and
     * the experts of all rows that were computed, [n_prompt + n - 1, n_layers, n_experts_used]. */
    uint32_t *sets;
    int32_t *experts;
};

struct schedule_options {
    int32_t n_slots;    /* answers at a time, >= 1 */
    int32_t max_tokens; /* of an answer, >= 1 */
    int32_t max_prompt; /* ids of the longest prompt */
    enum dtype kv;      /* MK_F32: the numbers that training computes */
    struct mk_sampling sampling;
    const int32_t *stop_ids; /* [n_stop_ids] must outlive the scheduler */
    int32_t n_stop_ids;
    /* Thoughts are ended with think_end when they are think_budget tokens long together, once in an
     * answer; 0: none is. One begins with think_begin, or with the answer when the prompt's last id
     * is that. */
    int32_t think_budget, think_begin, think_end;
    bool keep_sets, keep_experts;
    /* Asked behind each token of an answer, ids [n] so far: true ends it there (stopped stays
     * false). Must follow from the ids alone. May be NULL. */
    bool (*ended)(void *user, const int32_t *ids, int32_t n);
    void *ended_user;
};

/* Bits as 32-bit words for a set of token ids. */
static inline int32_t schedule_set_words(int32_t n_vocab)
{
    return (n_vocab + 31) / 32;
}

struct scheduler;
/* Takes memory for the slots' caches. m and c must outlive it; m may be packed anew in between. */
int scheduler_create(struct scheduler **s, const struct model *m, struct compute *c,
                     const struct schedule_options *o, struct mk_error *err);
void scheduler_free(struct scheduler *s);

/* Answers all samples of all groups: answers[sum of n_samples], group by group; what they point to
 * comes from `memory`. stop: asked before each step, true ends with MK_ECANCELLED; may be NULL. */
int scheduler_run(struct scheduler *s, const struct schedule_group *groups, int32_t n_groups,
                  struct schedule_answer *answers, struct arena *memory,
                  bool (*stop)(void *user), void *user, struct mk_error *err);

/* What the last run took. */
struct schedule_counts {
    int64_t n_steps, n_prompt_tokens, n_tokens; /* n_tokens: sampled */
};
struct schedule_counts scheduler_counts(const struct scheduler *s);

#endif
