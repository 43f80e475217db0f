/* job.h: one suite being run: its questions, its prompts, its file. For src/eval alone. */
#ifndef MK_EVAL_JOB_H
#define MK_EVAL_JOB_H

#include "eval/eval.h"
#include "eval/records.h"
#include "generate/engine.h"

struct asked {
    struct task_item item;
    struct prompt prompt;
};

/* A piece of a text, whose ids [begin, end) are predicted one after the other. */
struct window {
    int64_t document;
    size_t context, begin, end; /* in text_ids; [context, begin) stand before it, or BOS does */
    bool first;                 /* of its document: BOS */
    int64_t n_bytes, n_words;
};

struct job {
    struct mk_model *m;            /* borrowed, as are the next three */
    const struct eval_options *o;
    const struct suite *suite;
    enum suite_way way;
    enum prompt_style style;
    const char *form;
    struct task *task;             /* owned; NULL for a text */
    struct shots shots;
    struct asked *asked;           /* owned, [n] */
    struct window *windows;        /* owned, [n] of a text, else NULL */
    struct ids text_ids;
    int64_t n, n_all, longest;     /* longest prompt, in ids */
    int32_t n_samples, max_tokens; /* of answers; of a text max_tokens is that of a window */
    struct records records;
    struct score_table table;
    int64_t n_before;              /* lines of an earlier process */
};

/* Reads the questions alone. */
int  job_draw(struct job *j, struct mk_model *m, const struct suite *s,
              const struct eval_options *o, struct mk_error *err);
/* Reads the questions, makes the prompts, takes the scores of those that were answered before. */
int  job_open(struct job *j, struct mk_model *m, const struct suite *s,
              const struct eval_options *o, struct mk_error *err);
void job_close(struct job *j);
/* Appends the line and adds its scores; takes it over. */
int  job_append(struct job *j, json_t *line, struct mk_error *err);
void job_tell(const struct job *j, int64_t n_tokens);
/* The question without the choices below it: how many bytes of it. */
size_t job_stem(const struct task_item *item);
/* Of question i; 0 where there are none. */
int job_level(const struct job *j, int64_t i);
/* How the suite was run, in one line. */
void job_describe(const struct job *j, char *line, size_t size);

/* What is scored by its probability alone: `one` appends the line of number `at`, from the first
 * that has none on. context: rows of the cache. */
struct likelihood;
typedef int job_one_fn(struct job *j, struct likelihood *l, int64_t at, struct mk_error *err);
int job_score_each(struct job *j, int32_t context, job_one_fn *one, struct mk_error *err);

/* The rest of the questions; each kind has its file. */
int answers_run(struct job *j, struct mk_error *err);
int choices_run(struct job *j, struct mk_error *err);
int texts_run(struct job *j, struct mk_error *err);
/* Reads a text and cuts it into windows. */
int texts_read(struct job *j, struct mk_error *err);
/* Whether a line is that of window id. */
bool texts_is_line_of(const struct job *j, int64_t id, const json_t *line);
/* Scores of a text, from the lines of its windows. */
int texts_score(const struct job *j, struct eval_result *r, struct mk_error *err);

#endif
