/* thought.h: parts a reasoner's text, which arrives in pieces, into the thought and the answer.
 *
 *   <think>\n THOUGHT \n</think>\n\n ANSWER
 * A thought may only open the text (white space before it is dropped); R1's prompt may have opened
 * it already. The line breaks next to the tags belong to neither side. A text that never closes
 * its thought is all thought. */
#ifndef MK_GENERATE_THOUGHT_H
#define MK_GENERATE_THOUGHT_H

#include <stdbool.h>

#include "base/buf.h"

enum thought_place { THOUGHT_BEFORE, THOUGHT_INSIDE, THOUGHT_AFTER };

struct thought {
    enum thought_place place;
    bool at_start;   /* of the thought or the answer: line breaks are still dropped */
    struct buf held; /* what might be part of a tag, or of the line breaks before one */
};

/* in_thought: the text begins inside a thought. enabled false: everything is answer. */
void thought_init(struct thought *t, bool enabled, bool in_thought);
void thought_release(struct thought *t);
int thought_push(struct thought *t, const char *text, size_t n, struct buf *reasoning,
                 struct buf *answer, struct mk_error *err);
/* The text is over: what was held back is given to the side it stands on. */
int thought_finish(struct thought *t, struct buf *reasoning, struct buf *answer,
                   struct mk_error *err);

#endif
