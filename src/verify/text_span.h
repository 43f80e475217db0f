/* text_span.h: a piece of somebody else's text. Borrowed, not terminated; at is NULL when there is
 * none (n is 0 then too), which is not the same as a piece of no length. */
#ifndef MK_VERIFY_TEXT_SPAN_H
#define MK_VERIFY_TEXT_SPAN_H

#include <stddef.h>

struct text_span {
    const char *at;
    size_t n;
};

#endif
