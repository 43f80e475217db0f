/* math_lex.h: an answer, in LaTeX or typed, as a row of tokens. For src/verify alone.
 *
 * Decoration is dropped here: \left, thin spaces, $, fonts, units and other words behind a value; a
 * comma that groups thousands belongs to its number. Everything is bounded; what does not fit or
 * holds an unknown command is refused, and compared as text. */
#ifndef MK_VERIFY_MATH_LEX_H
#define MK_VERIFY_MATH_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "verify/text_span.h"

#define MATH_MAX_BYTES 4096
#define MATH_MAX_TOKENS 512
#define MATH_MAX_DEPTH 48 /* of brackets and braces */

enum math_token_kind {
    TOKEN_END,
    TOKEN_NUMBER,   /* 12, 1,000, .5, 1e-3 */
    TOKEN_VARIABLE, /* one letter, or a Greek one's command; with its index: x_1 */
    TOKEN_FUNCTION, /* id: enum number_function */
    TOKEN_LOG,      /* \log: base 10, or its subscript */
    TOKEN_FRACTION,
    TOKEN_BINOMIAL,
    TOKEN_ROOT,
    TOKEN_OVERLINE, /* of the digits that repeat */
    TOKEN_PI,
    TOKEN_INFINITY,
    TOKEN_EMPTY_SET,
    TOKEN_MATRIX, /* \begin{pmatrix} and its kin; id 1: a determinant's bars */
    TOKEN_MATRIX_END,
    TOKEN_ROW, /* \\ */
    TOKEN_AND, /* a word that parts a list: "and", "or" */
    TOKEN_UNION,
    TOKEN_PLUS_MINUS,
    TOKEN_MINUS_PLUS,
    TOKEN_RELATION, /* id: enum math_relation */
    TOKEN_SIGN      /* one character: + - * / ^ _ ! % ( ) [ ] { } | , ; & and S, T for \{ and \} */
};

enum math_relation {
    RELATION_EQUAL,
    RELATION_LESS,
    RELATION_AT_MOST,
    RELATION_MORE,
    RELATION_AT_LEAST,
    RELATION_UNEQUAL,
    RELATION_IN,
    RELATION_RATIO
};

struct math_token {
    enum math_token_kind kind;
    int id;
    char sign;             /* of TOKEN_SIGN */
    bool spaced;           /* a blank stands before it */
    struct text_span text; /* borrowed */
};

struct math_tokens {
    int n;        /* without the TOKEN_END behind them */
    int unit;     /* of math_unit, 0: none */
    bool grouped; /* a comma could be a thousands separator or part a list */
    struct math_token at[MATH_MAX_TOKENS + 1];
};

/* False when the text is too long or holds what is no mathematics. join: "1,200" is one number;
 * otherwise its comma parts two ("1,000" is always one). */
bool math_lex(struct text_span text, bool join, struct math_tokens *out);

/* The unit a word means ("cm" and "centimeters" are one): 1 and up; 0 for words around units that
 * mean nothing ("square"), -1 for any other word. */
int math_unit(struct text_span word);

/* "wrong", "less": a word that is no mere unit of the number before it. */
bool math_tells(struct text_span word);
/* "1000" for "thousand"; NULL for a word that multiplies nothing. */
const char *math_multiple(struct text_span word);

/* Can the text be read as an answer? (math.c) */
bool math_reads(struct text_span text);

/* True when s[n] begins with the word. */
bool math_starts(const char *s, size_t n, const char *word);

#endif
