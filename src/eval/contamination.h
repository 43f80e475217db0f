/* contamination.h: which questions of an evaluation stand in given texts. For src/eval alone. */
#ifndef MK_EVAL_CONTAMINATION_H
#define MK_EVAL_CONTAMINATION_H

#include "eval/job.h"
#include "eval/overlap.h"

/* Reads o->texts once for the questions of all suites. */
int contamination_look(struct overlap **out, struct mk_model *m, const struct suites *suites,
                       const struct eval_options *o, struct mk_error *err);
/* Fills r->overlap and writes OUT/SUITE.overlap.jsonl: {"id", "words", "source"} of each question
 * that was found. All of the suite is answered. */
int contamination_judge(const struct overlap *overlap, const struct job *j, struct eval_result *r,
                        struct mk_error *err);

#endif
