/* error.h: how a function says what went wrong.
 *
 * A function that can fail returns 0 or a negative MK_E* code and takes a last `struct mk_error
 * *err` (never NULL inside src/). The text is one English sentence: what, where (file, tensor,
 * field), what to do. No newline, no full stop. */
#ifndef MK_BASE_ERROR_H
#define MK_BASE_ERROR_H

#include "minke.h"

/* Sets code and text and returns code, so that `return mk_error_set(...)` is the usual exit. Text
 * longer than the buffer is cut; control characters from hostile names are shown as '?'. */
int mk_error_set(struct mk_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "where: " before the text that is already there and returns the code that is already there.
 */
int mk_error_wrap(struct mk_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* MK_EMEMORY with the number of bytes that were asked for. */
int mk_error_memory(struct mk_error *err, size_t bytes);

#endif
