/* math_find.c: where in a text is its answer? Every search is one pass, or a fixed number. */
#include <string.h>

#include "verify/math.h"
#include "verify/math_same.h"

#define MAX_TRIES 16  /* unclosed \boxed{ that are stepped over, from the end */
#define MAX_WHOLE 256 /* bytes of a text that may be an answer all by itself */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct text_span between(const char *from, const char *to)
{
    return (struct text_span){from, (size_t)(to - from)};
}

/* Without blanks, bold marks and the full stop around it; nothing left: none. */
static struct text_span trim(struct text_span s)
{
    while (s.n && (is_blank(s.at[0]) || s.at[0] == '*' || s.at[0] == ':')) {
        s.at++;
        s.n--;
    }
    while (s.n && (is_blank(s.at[s.n - 1]) || strchr("*.,;", s.at[s.n - 1])) &&
           !(s.n > 1 && (s.at[s.n - 2] == '\\' || (s.at[s.n - 1] == '.' && s.at[s.n - 2] == '.'))))
        s.n--;
    return s.n ? s : (struct text_span){0};
}

/* ---- \boxed{} -------------------------------------------------------------------------------- */

/* The inside of the braces that open at s[0]; none when they never close. */
static struct text_span inside_braces(const char *s, const char *end)
{
    long depth = 0;

    for (const char *p = s; p < end; p++) {
        if (*p == '\\' && p + 1 < end)
            p++;
        else if (*p == '{')
            depth++;
        else if (*p == '}' && !--depth)
            return between(s + 1, p);
    }
    return (struct text_span){0};
}

static struct text_span find_boxed(const char *text, size_t n)
{
    const char *end = text + n, *p = end;
    struct text_span found;

    for (int tries = 0; tries < MAX_TRIES; tries++) {
        while (p > text && !(*--p == '\\' && (math_starts(p, (size_t)(end - p), "\\boxed") ||
                                              math_starts(p, (size_t)(end - p), "\\fbox"))))
            ;
        if (!math_starts(p, (size_t)(end - p), "\\boxed") &&
            !math_starts(p, (size_t)(end - p), "\\fbox"))
            break;
        const char *open = p + (p[1] == 'b' ? 6 : 5);

        while (open < end && *open == ' ')
            open++;
        if (open == end || *open != '{')
            continue;
        found = trim(inside_braces(open, end));
        if (found.at)
            return found;
    }
    return (struct text_span){0};
}

/* ---- Marks ----------------------------------------------------------------------------------- */

static const char *line_end(const char *p, const char *end)
{
    const char *stop = memchr(p, '\n', (size_t)(end - p));

    return stop ? stop : end;
}

static struct text_span find_hashes(const char *text, size_t n)
{
    const char *p = text + n, *end = text + n;

    for (; p - text >= 4; p--)
        if (!memcmp(p - 4, "####", 4))
            return trim(between(p, line_end(p, end)));
    return (struct text_span){0};
}

/* The end of a sentence: a line's end, or a full stop before a blank. */
static const char *sentence_end(const char *p, const char *end)
{
    const char *stop = line_end(p, end);

    for (; p < stop; p++)
        if ((*p == '.' || *p == '!' || *p == '?') && (p + 1 == stop || is_blank(p[1])) &&
            !(p[-1] == '\\'))
            return p;
    return stop;
}

static bool same_letters(const char *p, const char *end, const char *word)
{
    for (; *word; p++, word++)
        if (p == end || (*p | 32) != *word)
            return false;
    return true;
}

/* Behind "answer": "is", ":", "=", with what may stand between; NULL for other uses of the word. */
static const char *after_mark(const char *p, const char *end)
{
    p += same_letters(p, end, "s");
    while (p < end && (is_blank(*p) || *p == '*') && *p != '\n')
        p++;
    if (same_letters(p, end, "is") && (p + 2 == end || !is_letter(p[2])))
        p += 2;
    else if (same_letters(p, end, "are") && (p + 3 == end || !is_letter(p[3])))
        p += 3;
    else if (p < end && (*p == ':' || *p == '='))
        p++;
    else
        return NULL;
    while (p < end && (is_blank(*p) || *p == ':' || *p == '*' || *p == '='))
        p++;
    return p < end ? p : NULL;
}

static struct text_span find_sentence(const char *text, size_t n)
{
    const char *end = text + n, *p;

    for (size_t i = n; i-- > 0;) {
        if ((text[i] | 32) != 'a' || !same_letters(text + i, end, "answer"))
            continue;
        p = after_mark(text + i + 6, end);
        if (p)
            return trim(between(p, sentence_end(p, end)));
    }
    return (struct text_span){0};
}

/* ---- Mathematics between words --------------------------------------------------------------- */

static bool has_digit(struct text_span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (is_digit(s.at[i]))
            return true;
    return false;
}

/* The last pair of $, or \( \), or \[ \]. A dollar before a blank closes, it does not open. */
static struct text_span last_math(struct text_span s)
{
    const char *end = s.at + s.n, *close = NULL;

    for (const char *p = end; p-- > s.at;) {
        bool dollar = *p == '$' && !(p > s.at && p[-1] == '\\');
        bool round = *p == '\\' && p + 1 < end && (p[1] == ')' || p[1] == ']');
        bool opens = *p == '\\' && p + 1 < end && (p[1] == '(' || p[1] == '[');

        if (close && ((*close == '$') == dollar) && (dollar || opens)) {
            struct text_span found = trim(between(p + (dollar ? 1 : 2), close));

            if (found.at && math_reads(found))
                return found;
            close = dollar && !found.at ? p : NULL;
        } else if ((dollar && p > s.at && !is_blank(p[-1])) || round) {
            close = p;
        }
    }
    return (struct text_span){0};
}

/* How far a number reaches back from its last digit or percent sign. */
static struct text_span last_number(struct text_span s)
{
    const char *from, *to = s.at + s.n;

    while (to > s.at && !is_digit(to[-1]))
        to--;
    if (to == s.at)
        return (struct text_span){0};
    for (from = to; from > s.at; from--) {
        char c = from[-1];
        bool inner = (c == ',' || c == '.' || c == '/') && from < to && is_digit(*from) &&
                     from - 1 > s.at && is_digit(from[-2]);

        if (c == ',' && inner && to - from != 3 &&
            !(from + 3 < to && (from[3] == ',' || from[3] == '.')))
            inner = false; /* "1,2": not thousands */
        if (!is_digit(c) && !inner && !(c == '.' && from < to))
            break;
    }
    if (from > s.at && from[-1] == '-' &&
        (from - 1 == s.at || !(is_digit(from[-2]) || is_letter(from[-2]))))
        from--;
    if (to < s.at + s.n && *to == '%')
        to++;
    else if (to + 1 < s.at + s.n && to[0] == '\\' && to[1] == '%')
        to += 2;
    return between(from, to);
}

/* What stands before the first comma that a word follows: "6, not 5". */
static struct text_span first_clause(struct text_span s)
{
    for (size_t i = 1; i + 2 < s.n; i++)
        if (s.at[i] == ',' && s.at[i + 1] == ' ' && is_letter(s.at[i + 2]))
            return trim((struct text_span){s.at, i});
    return (struct text_span){0};
}

static bool is_one_word(struct text_span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_letter(s.at[i]))
            return false;
    return s.n > 1;
}

/* A sentence's answer: all of it, or the mathematics in it. */
static struct text_span narrow(struct text_span s)
{
    struct text_span found = first_clause(s);

    if (math_reads(s) || (!has_digit(s) && !memchr(s.at, '$', s.n) && s.n <= 64))
        return s;
    if (found.at && (math_reads(found) || is_one_word(found)))
        return found;
    found = last_math(s);
    if (!found.at)
        found = last_number(s);
    return found.at ? found : s;
}

static struct text_span find_marked(const char *text, size_t n)
{
    struct text_span found = find_boxed(text, n);

    return found.at ? found : find_hashes(text, n);
}

struct text_span math_find_choice(const char *text, size_t n)
{
    struct text_span found = find_marked(text, n);

    if (!found.at)
        found = find_sentence(text, n);
    if (!found.at && n <= MAX_WHOLE)
        found = trim((struct text_span){text, n});
    return found.at && math_choice_letter(found, false) ? found : (struct text_span){0};
}

struct text_span verify_math_extract(const char *text, size_t n)
{
    struct text_span all = {text, n}, found = find_marked(text, n);

    if (found.at)
        return found;
    found = find_sentence(text, n);
    if (found.at)
        return narrow(found);
    all = trim(all);
    if (!all.at)
        return all;
    if (all.n <= MAX_WHOLE &&
        (math_reads(all) || (!has_digit(all) && !memchr(all.at, '\n', all.n))))
        return all;
    found = last_math(all);
    return found.at ? found : last_number(all);
}

struct text_span verify_math_reference(const char *text, size_t n)
{
    struct text_span found = find_marked(text, n), all = trim((struct text_span){text, n});

    if (found.at || (all.n <= MAX_WHOLE && all.at && !memchr(all.at, '\n', all.n)))
        return found.at ? found : all;
    return verify_math_extract(text, n);
}
