/* stops.h: finds stop strings in text that arrives in pieces.
 *
 * The match that is complete first counts, and of those that end together the longest; the text is
 * cut before it. So the outcome does not depend on how the text was cut into pieces. What might
 * still become a stop string is held back. */
#ifndef MK_GENERATE_STOPS_H
#define MK_GENERATE_STOPS_H

#include <stdbool.h>

#include "base/buf.h"
#include "minke.h"

struct stops {
    const char *strings[MK_MAX_STOPS]; /* borrowed, not empty */
    int32_t n_strings;
    struct buf held; /* a proper prefix of a stop string, and the piece being looked at */
};

/* MK_EINVAL: too many strings, or an empty one. */
int stops_init(struct stops *s, const char *const *strings, int32_t n, struct mk_error *err);
void stops_release(struct stops *s);
/* Appends to `out` what is certain to come before any stop. *stopped: one was found; the rest of
 * the text is dropped and nothing may be pushed again. */
int stops_push(struct stops *s, const char *text, size_t n, struct buf *out, bool *stopped,
               struct mk_error *err);
/* The text is over: what was held back is text after all. */
int stops_finish(struct stops *s, struct buf *out, struct mk_error *err);

#endif
