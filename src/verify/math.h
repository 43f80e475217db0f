/* math.h: does an answer say the same as the reference?
 *
 * Pure functions of text: nothing is allocated, nothing is kept, no locale, no thread state; any
 * bytes are allowed (malformed UTF-8, NULs, megabytes) and the time is linear in the length, plus a
 * bounded amount for the answers found.
 *
 * First the answer is found in each text (verify_math_extract), then the two are read as
 * mathematics and compared:
 *
 *   numbers     integers, 1,000 and 1{,}000, decimals, fractions (a/b, \frac \dfrac \tfrac), mixed
 *               numbers, percent, powers, roots, pi, e-notation, \times 10^n
 *   around them units, degrees, currency, \left \right, \, \! \cdot, \text{...}
 *   expressions identities of polynomials, rational functions and elementary functions
 *   groups      tuples (ordered), sets and bare lists (unordered), intervals (open or closed
 *               matters), unions, matrices, equations and inequalities, \pm
 *   words       letters of multiple choice, names; case and blanks do not matter
 *
 * What is rational is compared exactly (number.h), identities at several fixed points; what needs
 * roots or pi is compared within the rounding error that its own evaluation could have made. 0.33
 * is not 1/3. Two texts that cannot be read are equal only when they are spelled the same. */
#ifndef MK_VERIFY_MATH_H
#define MK_VERIFY_MATH_H

#include <stdbool.h>
#include <stddef.h>

#include "verify/text_span.h"

struct math_verdict {
    bool equal;
    struct text_span gold, answer; /* what was found in each; at is NULL when nothing was */
};

/* Compares the answers found in both texts; also returned is v->equal. v may be NULL. Nothing found
 * in either of them: not equal. */
bool verify_math(const char *gold, size_t n_gold, const char *answer, size_t n_answer,
                 struct math_verdict *v);

/* The answer in a text, without the blanks around it. The first of these that is there:
 * 1. the inside of the last complete \boxed{...} or \fbox{...};
 * 2. what follows the last "####" on its line;
 * 3. what follows the last "answer is", "answer:" or "answer =", to the end of the sentence;
 * 4. all of a text that is an expression and no sentence;
 * 5. the last $...$, \(...\) or \[...\] whose inside ends in something with a value;
 * 6. the last number. */
struct text_span verify_math_extract(const char *text, size_t n);

/* The same for the text of a reference: marked as above, or else all of a short line as it is. */
struct text_span verify_math_reference(const char *text, size_t n);

/* Compares two answers that were found already: 'gold' is all of the reference, and so on. */
bool verify_math_equal(struct text_span gold, struct text_span answer);

#endif
