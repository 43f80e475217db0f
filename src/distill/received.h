/* received.h: answers of a server that came and stand in no line yet, one JSON object a line in
 * FILE.received: {"question", "sample", "text", "stopped", "tokens", "logprobs"}. Each is written
 * as it comes, so that a killed process loses only what was on its way. For traces.c only. */
#ifndef MK_DISTILL_RECEIVED_H
#define MK_DISTILL_RECEIVED_H

#include "distill/teacher.h"

struct received {
    char path[4096];
    int fd;       /* -1: nothing was written yet */
    int64_t last; /* highest number of a question in the file; -1: none */
};

/* Beside the file at `path`; what lies there is kept. */
int  received_init(struct received *r, const char *path, struct mk_error *err);
/* Removes the file when all that it held has its line by now. */
void received_release(struct received *r);

/* Appends a line. */
int received_add(struct received *r, int64_t question, int32_t sample,
                 const struct teacher_answer *a, struct mk_error *err);
/* Fills those of answers[n * n_samples], to the questions from number `first` on, that are there,
 * with text in `memory`, and leaves the others as they are. Lines that are none are passed over;
 * one without its end is cut off. */
int received_give(struct received *r, int64_t first, int32_t n, int32_t n_samples,
                  struct teacher_answer *answers, struct arena *memory, struct mk_error *err);
/* Questions below `end` have their lines: forgets all, unless there are later ones. */
int received_settle(struct received *r, int64_t end, struct mk_error *err);

#endif
