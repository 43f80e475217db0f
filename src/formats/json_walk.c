/* json_walk.c: RFC 8259, one token after the other. */
#include "formats/json_walk.h"

#include <string.h>
#include <utf8proc.h>

#define MAX_DEPTH 32

static int fail(const struct json_walk *w, const char *what, struct mk_error *err)
{
    return mk_error_set(err, MK_EFORMAT, "byte %zu: %s", (size_t)(w->at - w->begin), what);
}

static void skip_blanks(struct json_walk *w)
{
    while (w->at < w->end && memchr(" \t\n\r", *w->at, 4))
        w->at++;
}

static bool take(struct json_walk *w, char c)
{
    skip_blanks(w);
    if (w->at == w->end || *w->at != (unsigned char)c)
        return false;
    w->at++;
    return true;
}

static int expect(struct json_walk *w, char c, struct mk_error *err)
{
    char what[] = "expected ' '";

    if (take(w, c))
        return 0;
    what[sizeof what - 3] = c;
    return fail(w, what, err);
}

void json_walk_init(struct json_walk *w, const void *text, size_t bytes)
{
    if (!text) /* an empty file; NULL + 0 is not defined */
        text = "";
    *w = (struct json_walk){.begin = text, .at = text, .end = (const unsigned char *)text + bytes};
}

int json_walk_enter(struct json_walk *w, char open, struct mk_error *err)
{
    int rc = expect(w, open, err);

    w->first = true;
    return rc;
}

int json_walk_more(struct json_walk *w, char close, bool *more, struct mk_error *err)
{
    bool first = w->first;

    w->first = false;
    *more = false;
    if (take(w, close))
        return 0;
    if (!first && expect(w, ',', err))
        return err->code;
    *more = true;
    return 0;
}

/* Four hex digits; false when they are not there. */
static bool read_hex4(struct json_walk *w, uint32_t *out)
{
    if (w->end - w->at < 4)
        return false;
    *out = 0;
    for (int i = 0; i < 4; i++, w->at++) {
        unsigned char c = *w->at, lower = c | 0x20;

        if (c >= '0' && c <= '9')
            *out = *out << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            *out = *out << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* What follows a backslash, as UTF-8 in out; its length, or 0 when it is no escape. */
static int read_escape(struct json_walk *w, unsigned char out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t c, low;
    const char *simple;

    if (w->at == w->end)
        return 0;
    simple = *w->at ? strchr(from, *w->at) : NULL;
    if (simple) {
        w->at++;
        out[0] = (unsigned char)to[simple - from];
        return 1;
    }
    if (*w->at++ != 'u' || !read_hex4(w, &c) || c == 0 || (c >= 0xdc00 && c < 0xe000))
        return 0;
    if (c >= 0xd800 && c < 0xdc00) {
        if (w->end - w->at < 2 || w->at[0] != '\\' || w->at[1] != 'u')
            return 0;
        w->at += 2;
        if (!read_hex4(w, &low) || low < 0xdc00 || low >= 0xe000)
            return 0;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    return (int)utf8proc_encode_char((utf8proc_int32_t)c, out);
}

/* One character of a string, escaped or not, as UTF-8; its length, or 0 when it is not allowed. */
static int read_character(struct json_walk *w, unsigned char out[4])
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n;

    if (*w->at == '\\') {
        w->at++;
        return read_escape(w, out);
    }
    if (*w->at < 0x20)
        return 0;
    n = utf8proc_iterate(w->at, w->end - w->at < 4 ? w->end - w->at : 4, &c);
    if (n <= 0)
        return 0;
    memcpy(out, w->at, (size_t)n);
    w->at += n;
    return (int)n;
}

int json_walk_string(struct json_walk *w, char *out, size_t size, struct mk_error *err)
{
    size_t used = 0;

    if (!take(w, '"'))
        return fail(w, "expected a string", err);
    while (w->at < w->end && *w->at != '"') {
        unsigned char c[4];
        int n = read_character(w, c);

        if (n == 0)
            return fail(w, "this is not a character of a JSON string", err);
        if (!out)
            continue;
        if (used + (size_t)n >= size)
            return mk_error_set(err, MK_EFORMAT, "byte %zu: a string is longer than %zu bytes",
                                (size_t)(w->at - w->begin), size - 1);
        memcpy(out + used, c, (size_t)n);
        used += (size_t)n;
    }
    if (w->at == w->end)
        return fail(w, "a string does not end", err);
    w->at++;
    if (out)
        out[used] = 0;
    return 0;
}

int json_walk_key(struct json_walk *w, char *out, size_t size, struct mk_error *err)
{
    int rc = json_walk_string(w, out, size, err);

    return rc ? rc : expect(w, ':', err);
}

static bool is_digit(const struct json_walk *w)
{
    return w->at < w->end && *w->at >= '0' && *w->at <= '9';
}

int json_walk_uint(struct json_walk *w, uint64_t *out, struct mk_error *err)
{
    const unsigned char *start;

    skip_blanks(w);
    start = w->at;
    *out = 0;
    for (; is_digit(w); w->at++)
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, (uint64_t)(*w->at - '0'), out))
            return fail(w, "a number is larger than 64 bits", err);
    if (w->at == start || (*start == '0' && w->at - start > 1) ||
        (w->at < w->end && memchr(".eE", *w->at, 3)))
        return fail(w, "expected a whole number that is not negative", err);
    return 0;
}

static bool skip_digits(struct json_walk *w)
{
    const unsigned char *start = w->at;

    while (is_digit(w))
        w->at++;
    return w->at > start;
}

static int skip_number(struct json_walk *w, struct mk_error *err)
{
    bool good;

    if (*w->at == '-')
        w->at++;
    if (w->at < w->end && *w->at == '0') {
        w->at++;
        good = true;
    } else {
        good = skip_digits(w);
    }
    if (good && w->at < w->end && *w->at == '.') {
        w->at++;
        good = skip_digits(w);
    }
    if (good && w->at < w->end && (*w->at | 0x20) == 'e') {
        w->at++;
        if (w->at < w->end && (*w->at == '+' || *w->at == '-'))
            w->at++;
        good = skip_digits(w);
    }
    return good ? 0 : fail(w, "expected a value", err);
}

static int skip_scalar(struct json_walk *w, struct mk_error *err)
{
    static const char *const words[] = {"true", "false", "null"};

    if (w->at == w->end)
        return fail(w, "expected a value", err);
    if (*w->at == '"')
        return json_walk_string(w, NULL, 0, err);
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);

        if ((size_t)(w->end - w->at) >= n && !memcmp(w->at, words[i], n)) {
            w->at += n;
            return 0;
        }
    }
    return skip_number(w, err);
}

/* The stack of open containers is an array of their closing characters. */
int json_walk_skip(struct json_walk *w, struct mk_error *err)
{
    char close[MAX_DEPTH];
    int depth = 0, rc;

    do {
        bool more = true;

        skip_blanks(w);
        if (w->at < w->end && (*w->at == '{' || *w->at == '[')) {
            if (depth == MAX_DEPTH)
                return fail(w, "nested too deeply", err);
            close[depth++] = *w->at == '{' ? '}' : ']';
            w->at++;
            w->first = true;
        } else {
            rc = skip_scalar(w, err);
            if (rc)
                return rc;
            w->first = false;
        }
        while (depth > 0) {
            rc = json_walk_more(w, close[depth - 1], &more, err);
            if (rc)
                return rc;
            if (more)
                break;
            depth--;
        }
        if (depth > 0 && close[depth - 1] == '}') {
            rc = json_walk_key(w, NULL, 0, err);
            if (rc)
                return rc;
        }
    } while (depth > 0);
    return 0;
}

int json_walk_end(struct json_walk *w, struct mk_error *err)
{
    skip_blanks(w);
    return w->at == w->end ? 0 : fail(w, "something follows the end", err);
}
