/* teachers.h: models whose probabilities others learn from (knowledge distillation, Hinton et al.
 * 2015, 1503.02531), of any size and kind but of one vocabulary, token by token.
 *
 * Several teachers are one: the mean of their probabilities by weight, at one temperature. Of each
 * position that is learned the top_k most probable tokens are kept, and the probability of all
 * others together. What was computed once is kept in a file (formats/rows_file.h) and read from
 * it the next time, to the bit: later epochs and later runs need no pass of the teachers. One
 * owner. */
#ifndef MK_TRAIN_TEACHERS_H
#define MK_TRAIN_TEACHERS_H

#include "formats/rows_file.h"
#include "tokenizer/tokenizer.h"
#include "train/pass.h"

#define TEACHERS_MAX 8

struct teachers_options {
    const char *paths[TEACHERS_MAX]; /* [n] folders or GGUF files */
    double weights[TEACHERS_MAX];    /* > 0; only their ratios count */
    int32_t n;
    double temperature;
    int32_t top_k;        /* 0, or no less than the vocabulary: all, and no file */
    int64_t pass_tokens;  /* computed together; changes no number */
    int32_t n_vocab;      /* rows of the student's head */
    enum mk_mla mla;
    const char *cache;    /* the file; NULL: none is kept */
    /* The student's; teachers with another one are refused. NULL: not looked at. */
    const struct tokenizer *vocabulary;
};

struct teachers {
    struct model models[TEACHERS_MAX];
    double weights[TEACHERS_MAX]; /* their sum is 1 */
    int32_t n, n_loaded;
    int32_t n_vocab; /* tokens that the student and all teachers have a row for */
    int32_t top_k;   /* n_vocab: all */
    double temperature;
    int64_t pass_tokens;
    struct compute *c;        /* borrowed */
    struct rows_file *cache;  /* or NULL */
    struct arena memory;      /* of a pass */
    int64_t n_computed, n_read; /* positions, since it was opened */
};

/* MK_EINVAL when a teacher has another vocabulary, with the first token that differs. On failure
 * nothing is held. */
int teachers_open(struct teachers *t, const struct teachers_options *o, struct compute *c,
                  struct mk_error *err);
void teachers_release(struct teachers *t);
/* Bytes that grading n_batch sequences of `longest` tokens will take beside the weights, which are
 * there: about, and rather more. */
uint64_t teachers_need(const struct teachers *t, int32_t longest, int64_t n_batch);
/* Sets what the teachers say of every target of the sequences; memory is the caller's and outlives
 * them. */
int teachers_grade(struct teachers *t, struct train_seq *seqs, int32_t n_seqs,
                   struct arena *memory, struct mk_error *err);

#endif
