/* scan.h: reads text that may hold anything, piece by piece.
 *
 * Each function steps over what it reads and returns true, or returns false and leaves the place
 * where it was. No NUL is needed at the end; nothing is copied. */
#ifndef MK_TASKS_SCAN_H
#define MK_TASKS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan {
    const char *at, *end; /* borrowed */
};

struct scan scan_text(const char *text);
/* Without blanks at both ends. */
struct scan scan_trim(struct scan s);
bool scan_ended(const struct scan *s);
bool scan_char(struct scan *s, char c);
/* The very text. */
bool scan_word(struct scan *s, const char *word);
void scan_blanks(struct scan *s);
/* A whole number without sign, at most `max`. */
bool scan_uint(struct scan *s, int64_t max, int64_t *value);
/* The same with an optional '-'; -max .. max. */
bool scan_int(struct scan *s, int64_t max, int64_t *value);
/* Is all of s this text? */
bool scan_equals(struct scan s, const char *text);

#endif
