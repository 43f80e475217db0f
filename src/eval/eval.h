/* eval.h: what a model can do, measured: suites of questions, scores with standard errors, and
 * everything that was asked and answered in files.
 *
 *   OUT/config.json     what the scores depend on; the same command goes on where it was stopped
 *   OUT/SUITE.jsonl     a line a question: prompt, answers, what was taken for the answer, verdict
 *   OUT/SUITE.overlap.jsonl  where asked for, questions that a text holds
 *   OUT/results.json    scores, in the shape of lm-evaluation-harness
 *
 * Answers follow from the model, the options and a question's number alone: those of an evaluation
 * that was stopped and goes on are those of one that was not. */
#ifndef MK_EVAL_EVAL_H
#define MK_EVAL_EVAL_H

#include "eval/prompt.h"
#include "eval/score.h"
#include "eval/suite.h"
#include "minke.h"

/* How multiple choice is asked. */
enum eval_choices {
    EVAL_LETTERS, /* choices stand below the question; the most probable letter */
    EVAL_TEXTS,   /* they do not; the most probable text */
    EVAL_WRITTEN  /* the model writes its answer */
};

struct eval_progress {
    const char *suite;
    int64_t done, total; /* questions, or windows of text */
    int64_t done_before; /* by an earlier process */
    int64_t n_tokens;    /* sampled by this one */
};

struct eval_options {
    const char *out;        /* folder; made when it is not there */
    const char *model_name; /* as scores name it */
    enum prompt_style style;
    const char *form;       /* of PROMPT_FORM */
    int32_t n_shots;        /* worked examples before each question */
    const char *shots_from; /* a task that they come from; NULL: the first questions of the suite's
                               own file, which are not asked then, or train questions of a built-in
                               task */
    int64_t limit;          /* questions of a suite; 0: all of a file, 100 of a built-in task */
    int32_t n_samples;      /* answers to a question; 0: as many as R1's evaluation takes */
    int32_t k;              /* of pass@k, besides 1 and n_samples; 0: none */
    float temperature, top_p; /* temperature 0: greedy */
    int32_t max_tokens;
    uint64_t seed;
    enum eval_choices choices;
    bool allow_code;  /* run programs that the model wrote (verify/code.h) */
    int32_t n_slots;  /* answers at a time; changes speed and memory alone */
    int32_t context;  /* tokens of a window of text; 0: the model's own, at most 2048 */
    enum mk_kv kv;
    const char *const *texts; /* [n_texts] texts, shards or runs, which may hold the questions */
    int32_t n_texts;
    bool (*stop)(void *user); /* may be NULL; true ends with MK_ECANCELLED, what is done is kept */
    void (*progress)(void *user, const struct eval_progress *p); /* may be NULL */
    void *user;
};
struct eval_options eval_options_default(void);
/* DeepSeek-R1's settings: T 0.6, top-p 0.95, 32,768 tokens, 64, 16 or 8 answers a question. */
void eval_preset_deepseek(struct eval_options *o);

struct eval_score {
    char name[32]; /* "pass@1", "acc_norm", "bits_per_byte" */
    struct estimate estimate;
};
/* Questions that share 13 words with a text (overlap.h). */
struct eval_overlap {
    bool looked;
    int64_t n_judged, n_found; /* judged: those of 13 words or more */
    struct eval_score clean;   /* the first score, of all questions that were not found */
};
struct eval_result {
    char *suite;                               /* owned */
    struct eval_score scores[SCORE_MAX_SERIES];
    int32_t n_scores;
    struct eval_overlap overlap;
    int64_t n_asked, n_all;                    /* questions; n_all -1: without end */
    char config[512];                          /* one line */
};
void eval_result_release(struct eval_result *r);

/* Runs all suites; results [suites->n] of those that are done, *n_results of them. MK_EINVAL when
 * `out` holds another evaluation. */
int eval_run(struct mk_model *m, const struct suites *suites, const struct eval_options *o,
             struct eval_result *results, int32_t *n_results, struct mk_error *err);

#endif
