/* answers.h: what a run of minke rl answered along its way: RUN/samples/step-N.jsonl.
 *
 * Of at most ANSWERS_STEPS steps, the first and the last among them and the others evenly between;
 * of each the first answers to at most ANSWERS_EACH of its questions, as many tasks as possible:
 * chosen by their place alone, so that what is seen is neither the best nor the worst. The files
 * are hostile: a line that is no object is refused by its number. */
#ifndef MK_RUNS_ANSWERS_H
#define MK_RUNS_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define ANSWERS_STEPS 6
#define ANSWERS_EACH 4

struct answer {
    int64_t step, line;     /* of its file, from 1 */
    int64_t level, tokens;
    char *task, *question, *reference, *response; /* owned; cut as samples are, see samples.h */
    double reward;
    bool correct, truncated;
};
struct answers { struct answer *items; size_t n; }; /* owned; steps ascending */

/* folder: of a run. None are no error. */
int answers_read(struct answers *a, const char *folder, struct mk_error *err);
void answers_release(struct answers *a);

#endif
