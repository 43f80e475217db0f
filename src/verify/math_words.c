/* math_words.c: answers that are compared by their spelling, read in step and never copied. */
#include <string.h>

#include "verify/math_same.h"

/* Yields a text's bytes without its decoration. */
struct cursor {
    const char *at, *end;
    uint64_t dropped; /* bit d: the brace of depth d is left out, with the command before it */
    int depth;
    int last; /* what was yielded last, -1: nothing */
    bool fold, blank;
};

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static const char *decoration_end(struct cursor *c)
{
    static const char *const bare[] = {
        "\\left", "\\right",        "\\,", "\\!", "\\;", "\\:", "\\ ",
        "\\quad", "\\displaystyle", "\\$", "**"};
    static const char *const fonts[] = {"\\text{",   "\\mbox{",         "\\textbf{",
                                        "\\textit{", "\\textrm{",       "\\mathrm{",
                                        "\\mathbf{", "\\operatorname{", "\\boxed{"};
    size_t n = (size_t)(c->end - c->at);

    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++) {
        size_t k = strlen(bare[i]);

        if (math_starts(c->at, n, bare[i]) &&
            !(is_letter(bare[i][k - 1]) && k < n && is_letter(c->at[k])))
            return c->at + k;
    }
    for (size_t i = 0; i < sizeof fonts / sizeof *fonts; i++)
        if (c->depth < 63 && math_starts(c->at, n, fonts[i])) {
            c->dropped |= 1ull << c->depth++;
            return c->at + strlen(fonts[i]);
        }
    return NULL;
}

/* The next byte, -1 at the end. A blank is yielded where it keeps two digits apart, and between two
 * letters as one '_'-like blank. */
static int next(struct cursor *c)
{
    const char *skip;
    int out;

    for (; c->at < c->end; c->at++) {
        if (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r') {
            c->blank = true;
            continue;
        }
        if (*c->at == '$')
            continue;
        if (*c->at == '{' && c->depth < 63)
            c->dropped &= ~(1ull << c->depth++);
        else if (*c->at == '}' && c->depth > 0 && (c->dropped >> --c->depth & 1))
            continue;
        skip = *c->at == '\\' || *c->at == '*' ? decoration_end(c) : NULL;
        if (!skip)
            break;
        c->at = skip - 1;
    }
    if (c->at == c->end)
        return -1;
    out = (unsigned char)*c->at;
    if (c->blank && is_digit(c->last) && is_digit(out)) {
        c->blank = false;
        return c->last = ' ';
    }
    c->blank = false;
    c->at++;
    c->last = out;
    return c->fold && out >= 'A' && out <= 'Z' ? out + 32 : out;
}

/* Letters, blanks, braces and points alone, and two letters somewhere. */
static bool is_words(struct text_span t)
{
    bool pair = false;

    for (size_t i = 0; i < t.n; i++) {
        unsigned char c = (unsigned char)t.at[i];

        if (c < 128 && !is_letter(c) && !strchr(" \t\n\r{}$.\\*'-&", c))
            return false;
        pair |= i && is_letter(c) && is_letter(t.at[i - 1]);
    }
    return pair;
}

bool math_same_words(struct text_span a, struct text_span b)
{
    bool fold = is_words(a) && is_words(b), any = false;
    struct cursor x = {.at = a.at, .end = a.at + a.n, .last = -1, .fold = fold};
    struct cursor y = {.at = b.at, .end = b.at + b.n, .last = -1, .fold = fold};

    for (;;) {
        int c = next(&x), d = next(&y);

        if (c != d)
            return false;
        if (c < 0)
            return any;
        any = true;
    }
}

char math_choice_letter(struct text_span text, bool whole)
{
    struct cursor c = {.at = text.at, .end = text.at + text.n, .last = -1};
    int first = next(&c), letter = first == '(' ? next(&c) : first, after = next(&c);
    bool marked = first == '(' ? after == ')' : after == ')' || after == '.' || after == ':';

    if (letter >= 'a' && letter <= 'j')
        letter -= 32;
    if (letter < 'A' || letter > 'J' || (first == '(' && !marked))
        return 0;
    if (!marked)
        return (char)(after < 0 ? letter : 0);
    return (char)(!whole || next(&c) < 0 ? letter : 0);
}
