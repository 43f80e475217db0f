/* added.h: finding added tokens in a text, the leftmost first, the longest among those that begin
 * at one place. */
#ifndef MK_TOKENIZER_ADDED_H
#define MK_TOKENIZER_ADDED_H

#include "formats/vocab.h"

struct added_set {
    const struct vocab *v;              /* borrowed */
    const uint8_t *classes;             /* borrowed, see unicode.h */
    const struct vocab_added **sorted;  /* owned; [n] by bytes */
    int32_t n;
    bool first[256];                    /* bytes that some token begins with */
};

struct added_match { size_t begin, end, next; int32_t id; }; /* next: where to look on */

/* The added tokens with this `normalized` flag; control tokens among them only if `controls`. */
int added_set_init(struct added_set *s, const struct vocab *v, const uint8_t *classes,
                   bool normalized, bool controls, struct mk_error *err);
void added_set_release(struct added_set *s);
/* The next match in text[n] at or after `from`, white space that its token swallows included but
 * nothing in front of `floor`. false when there is none. */
bool added_set_find(const struct added_set *s, const unsigned char *text, size_t n, size_t from,
                    size_t floor, struct added_match *match);

#endif
