/* buf.h: bytes that grow up to a stated maximum. Always followed by a NUL that `n` does not count.
 * One owner. */
#ifndef MK_BASE_BUF_H
#define MK_BASE_BUF_H

#include <stddef.h>

#include "base/error.h"

struct buf {
    char *data; /* owned; never NULL after the first append */
    size_t n, capacity, max;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_release(struct buf *b);
void buf_clear(struct buf *b);
/* 0, MK_EMEMORY, or MK_ELIMIT when the maximum would be passed; on failure the buffer is as it was.
 */
int buf_append(struct buf *b, const void *data, size_t n, struct mk_error *err);
int buf_append_string(struct buf *b, const char *s, struct mk_error *err);
int buf_printf(struct buf *b, struct mk_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Makes room for n more bytes without changing the contents. */
int buf_reserve(struct buf *b, size_t n, struct mk_error *err);

#endif
