/* expression.h: exact values of + - * / and parentheses over whole numbers. */
#ifndef MK_TASKS_EXPRESSION_H
#define MK_TASKS_EXPRESSION_H

#include "tasks/scan.h"

struct fraction { int64_t num, den; }; /* den >= 1, no common factor */

#define EXPRESSION_MAX_NUMBERS 16
struct expression {
    struct fraction value;
    int n_numbers;                              /* written in it, in their order */
    int64_t numbers[EXPRESSION_MAX_NUMBERS];
};

/* Reads an expression, with blanks anywhere, up to a character that cannot belong to it. false: it
 * is malformed, divides by zero, is nested too deep or does not fit 64 bits. */
bool expression_read(struct scan *s, struct expression *e);

#endif
