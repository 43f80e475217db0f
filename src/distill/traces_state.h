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
};

/* For the file at `path`. settings: JSON of an object, and who answers. */
int traces_state_init(struct traces_state *s, const char *path, const char *settings,
                      const char *teacher, struct mk_error *err);
void traces_state_release(struct traces_state *s);
/* *found = false: there is none. MK_EINVAL names the setting that is another now. */
int traces_state_read(struct traces_state *s, bool *found, struct mk_error *err);
int traces_state_write(const struct traces_state *s, struct mk_error *err);

#endif
