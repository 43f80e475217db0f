/* json_walk.h: strict JSON read once from front to back, without building a tree.
 *
 * Headers of models list up to 500,000 tensors; a general library's tree of one would take several
 * times the size of the file, which a hostile file could use. Here nothing is allocated at all.
 * Strings must be UTF-8 without U+0000, nesting is bounded, errors name the byte. Every function
 * returns 0, or MK_EFORMAT with the reader left where the mistake is. */
#ifndef MK_FORMATS_JSON_WALK_H
#define MK_FORMATS_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct json_walk {
    const unsigned char *begin, *at, *end; /* borrowed */
    bool first;                            /* no member of the innermost container was read yet */
};

void json_walk_init(struct json_walk *w, const void *text, size_t bytes);
/* Steps into '{' or '['. */
int json_walk_enter(struct json_walk *w, char open, struct mk_error *err);
/* Another member? Steps over the comma before it, or out of the container over '}' or ']'. */
int json_walk_more(struct json_walk *w, char close, bool *more, struct mk_error *err);
/* A string into out[size], NUL-terminated; one that is longer is an error. out may be NULL. */
int json_walk_string(struct json_walk *w, char *out, size_t size, struct mk_error *err);
/* A member's name and its colon. */
int json_walk_key(struct json_walk *w, char *out, size_t size, struct mk_error *err);
/* A whole number without sign, fraction or exponent. */
int json_walk_uint(struct json_walk *w, uint64_t *out, struct mk_error *err);
/* Any value. */
int json_walk_skip(struct json_walk *w, struct mk_error *err);
/* Nothing but blanks may follow. */
int json_walk_end(struct json_walk *w, struct mk_error *err);

#endif
