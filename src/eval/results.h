/* results.h: results.json, in the shape of lm-evaluation-harness, and the check of config.json. For
 * src/eval alone. */
#ifndef MK_EVAL_RESULTS_H
#define MK_EVAL_RESULTS_H

#include <jansson.h>

#include "eval/job.h"

/* What the scores of a folder depend on; names are UTF-8. NULL: no memory. */
json_t *results_config(const struct mk_model *m, const struct suites *suites,
                       const struct eval_options *o);
/* Compares with OUT/config.json where that is there. MK_EINVAL names what differs. */
int results_check(const char *out, const json_t *config, struct mk_error *err);
/* Writes it where it is not: once the first suite is sure to begin. */
int results_begin(const char *out, const json_t *config, struct mk_error *err);

/* Starts an object; suites are added to it as they are done; then it is written. */
json_t *results_create(const struct eval_options *o, const json_t *config);
int results_add(json_t *root, const struct job *j, const struct eval_result *r,
                struct mk_error *err);
int results_write(const json_t *root, const char *out, struct mk_error *err);

#endif
