/* traces.h: a file of a teacher's answers to train questions, one JSON object a line:
 *
 *   messages   [{"role": "user", ..}, {"role": "assistant", ..}], or instead
 *   text       the form around the question, and the answer behind it
 *   task, level, question (its number), sample, reference
 *   correct, well_formed, stopped
 *   tokens     of the answer, where the teacher tells
 *   logprobs   [n] of each token, nats
 *   ids        [n], prompt_ids: where the teacher is a model in this process
 *
 * `data.format: text` and `chat` read it as it is, `pairs` one of TRACES_PAIRS. Beside it
 * FILE.state says how far it is: a run that was killed goes on where it stood and writes the same
 * bytes; a run with more questions goes on behind. Answers of an endpoint are kept in FILE.received
 * from when they come until they have their lines. One process works on a file at a time. */
#ifndef MK_DISTILL_TRACES_H
#define MK_DISTILL_TRACES_H

#include "distill/keep.h"
#include "tasks/blend.h"

enum traces_keep {
    TRACES_ALL, /* judged, none left out */
    TRACES_CORRECT,
    TRACES_BEST,
    /* A good answer beside one that is not, as many pairs as a question gives; instead of messages:
     * prompt, chosen, rejected; of its answers no tokens, both numbers in sample. */
    TRACES_PAIRS
};

struct traces_counts {
    int64_t n_questions, n_answers, n_solved; /* solved: at least one answer is right */
    int64_t n_kept, n_tokens; /* kept: lines */
    int64_t n_of_fault[KEEP_N_FAULTS]; /* of all answers */
};

struct traces_options {
    const char *path; /* of the file */
    bool resume;
    int64_t n_questions;
    int32_t n_samples;
    enum traces_keep keep;
    struct keep_rules rules;
    const char *form; /* for `text`; may be NULL when blend->form is BLEND_MESSAGES */
    /* What else the answers follow from, as JSON: a file is only gone on with under the same. */
    const char *settings;
    bool (*stop)(void *user); /* may be NULL */
    void (*show)(void *user, const struct traces_counts *c); /* after every batch; may be NULL */
    void *user;
};

/* The blend's parts, seed and form say what is asked (shares of traces mean nothing here); it must
 * be new. MK_EINVAL: the file is there and `resume` is not set, or it was begun otherwise. After an
 * error everything that was received is in these files. */
int traces_write(const struct traces_options *o, struct blend *blend, struct teacher *teacher,
                 struct traces_counts *counts, struct mk_error *err);

#endif
