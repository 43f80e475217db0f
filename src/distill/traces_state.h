/* traces_state.h: how far a file of answers is. For traces.c only. */
#ifndef MK_DISTILL_TRACES_STATE_H
#define MK_DISTILL_TRACES_STATE_H

#include <jansson.h>

#include "distill/traces.h"

struct traces_state {
    char path[4096];    /* FILE.state */
    json_t *settings;   /* owned; an object */
    int64_t bytes;      /* of the file that are whole */
    struct traces_counts counts;
    /* Owned: answers that came and stand in no line yet: [{"question", "sample", "text", "stopped",
     * "tokens", "logprobs"}, ..]. */
    json_t *held;
};

/* For the file at `path`. settings: JSON of an object, and who answers. */
int traces_state_init(struct traces_state *s, const char *path, const char *settings,
                      const char *teacher, struct mk_error *err);
void traces_state_release(struct traces_state *s);
/* *found = false: there is none. MK_EINVAL names the setting that is another now. */
int traces_state_read(struct traces_state *s, bool *found, struct mk_error *err);
int traces_state_write(const struct traces_state *s, struct mk_error *err);

/* Keeps those of a batch that have come in place of what was held: n * n_samples answers to the
 * questions from number `first` on. */
int traces_state_hold(struct traces_state *s, int64_t first, int32_t n, int32_t n_samples,
                      const struct teacher_answer *answers, struct mk_error *err);
/* The other way round. */
int traces_state_give(const struct traces_state *s, int64_t first, int32_t n, int32_t n_samples,
                      struct teacher_answer *answers, struct arena *memory, struct mk_error *err);

#endif
