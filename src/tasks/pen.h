/* pen.h: writes text and remembers the first error, so that a page of writing needs one check. */
#ifndef MK_TASKS_PEN_H
#define MK_TASKS_PEN_H

#include "base/buf.h"

struct pen {
    struct buf *out;      /* borrowed */
    struct mk_error *err; /* borrowed */
    int rc;               /* 0, or the first error; nothing is written after it */
};

void pen_print(struct pen *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pen_char(struct pen *p, char c);
/* Takes back what was written behind the first n bytes. */
void pen_rewind(struct pen *p, size_t n);

#endif
