/* records.h: OUT/SUITE.jsonl: one JSON object a question, appended and never rewritten.
 *
 * Line i holds "id": i. A kill may leave half a line, which is cut when the evaluation goes on. One
 * process writes a file at a time; one owner. */
#ifndef MK_EVAL_RECORDS_H
#define MK_EVAL_RECORDS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "eval/score.h"

struct records {
    FILE *file; /* owned, locked */
    char *path; /* owned */
    int64_t n;  /* whole lines so far */
};

/* Called with every line that is there, in order; what it returns other than 0 ends the reading. */
typedef int records_line_fn(void *user, int64_t id, const json_t *line, struct mk_error *err);

/* Reads what is there and stands behind it. */
int  records_open(struct records *r, const char *dir, const char *name, records_line_fn *each,
                  void *user, struct mk_error *err);
/* Takes over `line` and adds "id" to it. */
int  records_append(struct records *r, json_t *line, struct mk_error *err);
/* On the disk. */
int  records_sync(struct records *r, struct mk_error *err);
void records_close(struct records *r);
/* Reads the lines of a file that somebody else may be writing. */
int  records_read(const char *path, records_line_fn *each, void *user, struct mk_error *err);

/* Adds "scores": {NAME: NUMBER, ..} of a line to a table. */
int  records_scores(const json_t *line, struct score_table *t, struct mk_error *err);
/* Text of a model as JSON; null where it cannot be (never, for what a decoder wrote). */
json_t *records_text(const char *at, size_t n);

#endif
