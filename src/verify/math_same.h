/* math_same.h: comparison of two answers that were read, and of two that were not. For src/verify
 * alone. */
#ifndef MK_VERIFY_MATH_SAME_H
#define MK_VERIFY_MATH_SAME_H

#include "verify/math_tree.h"

/* Two trees mean the same. */
bool math_same(const struct math_tree *a, const struct math_tree *b);

/* Two texts are spelled the same when blanks, $, \left, \right and font commands are dropped; when
 * both are words alone, case does not count either. */
bool math_same_words(struct text_span a, struct text_span b);
/* The letter of a multiple choice, 'A' to 'J', when the text is one: B, (B), \text{(b)}, "B. 12"; 0
 * otherwise. whole: nothing may follow the letter. */
char math_choice_letter(struct text_span text, bool whole);
/* The answer in a text that begins with such a letter: "(B) 12"; none otherwise. (math_find.c) */
struct text_span math_find_choice(const char *text, size_t n);

#endif
