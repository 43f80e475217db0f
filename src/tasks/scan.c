/* scan.c: reading hostile text. */
#include "tasks/scan.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

struct scan scan_text(const char *text)
{
    return (struct scan){text, text + strlen(text)};
}

struct scan scan_trim(struct scan s)
{
    scan_blanks(&s);
    while (s.end > s.at && is_blank(s.end[-1]))
        s.end--;
    return s;
}

bool scan_ended(const struct scan *s)
{
    return s->at >= s->end;
}

bool scan_char(struct scan *s, char c)
{
    if (s->at >= s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

bool scan_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n))
        return false;
    s->at += n;
    return true;
}

void scan_blanks(struct scan *s)
{
    while (s->at < s->end && is_blank(*s->at))
        s->at++;
}

bool scan_uint(struct scan *s, int64_t max, int64_t *value)
{
    const char *at = s->at;
    int64_t v = 0;

    for (; at < s->end && *at >= '0' && *at <= '9'; at++) {
        int digit = *at - '0';

        if (v > max / 10 || 10 * v > max - digit)
            return false;
        v = v * 10 + digit;
    }
    if (at == s->at)
        return false;
    s->at = at;
    *value = v;
    return true;
}

bool scan_int(struct scan *s, int64_t max, int64_t *value)
{
    struct scan before = *s;
    bool negative = scan_char(s, '-');

    if (!scan_uint(s, max, value)) {
        *s = before;
        return false;
    }
    if (negative)
        *value = -*value;
    return true;
}

bool scan_equals(struct scan s, const char *text)
{
    return scan_word(&s, text) && scan_ended(&s);
}
