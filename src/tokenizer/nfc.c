/* nfc.c: decomposition and composition are utf8proc's; the ordering of marks between them is ours,
 * because utf8proc's takes the square of the length of a run of marks (a text of nothing else is
 * one run). */
#include "tokenizer/nfc.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "tokenizer/unicode.h"

#define SHORT_RUN 16

struct codes { int32_t *data; size_t n, capacity; };

static int reserve(struct codes *c, size_t more, struct mk_error *err)
{
    size_t want = c->capacity ? c->capacity : 256;
    int32_t *data;

    if (c->capacity - c->n >= more)
        return 0;
    while (want < c->n + more)
        want *= 2;
    data = realloc(c->data, want * sizeof *data);
    if (!data)
        return mk_error_memory(err, want * sizeof *data);
    c->data = data;
    c->capacity = want;
    return 0;
}

static int mark_class(int32_t code)
{
    return utf8proc_get_property(code)->combining_class & 0xFF;
}

/* Stable; marks[n] all have a class other than 0. */
static void sort_short(int32_t *marks, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        int32_t mark = marks[i];
        size_t k = i;

        for (; k > 0 && mark_class(marks[k - 1]) > mark_class(mark); k--)
            marks[k] = marks[k - 1];
        marks[k] = mark;
    }
}

static int sort_long(int32_t *marks, size_t n, struct mk_error *err)
{
    int32_t *copy = malloc(n * sizeof *copy);
    size_t begin[257] = {0};

    if (!copy)
        return mk_error_memory(err, n * sizeof *copy);
    memcpy(copy, marks, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        begin[mark_class(copy[i]) + 1]++;
    for (int k = 1; k < 257; k++)
        begin[k] += begin[k - 1];
    for (size_t i = 0; i < n; i++)
        marks[begin[mark_class(copy[i])]++] = copy[i];
    free(copy);
    return 0;
}

static int order_marks(struct codes *c, struct mk_error *err)
{
    int rc = 0;

    for (size_t i = 0; !rc && i < c->n;) {
        size_t end = i;

        while (end < c->n && mark_class(c->data[end]))
            end++;
        if (end - i <= SHORT_RUN)
            sort_short(c->data + i, end - i);
        else
            rc = sort_long(c->data + i, end - i, err);
        i = end + (end < c->n);
    }
    return rc;
}

static int append_codes(struct buf *out, const struct codes *c, struct mk_error *err)
{
    int rc = buf_reserve(out, 4 * c->n, err);

    for (size_t i = 0; !rc && i < c->n; i++) {
        unsigned char bytes[4];
        int n = utf8_write((uint32_t)c->data[i], bytes);

        rc = buf_append(out, bytes, (size_t)n, err);
    }
    return rc;
}

/* One stretch of sound text that neither composes with what is before nor with what is behind
 * it. */
static int normalise(struct buf *out, struct codes *c, const unsigned char *s, size_t n,
                     struct mk_error *err)
{
    utf8proc_ssize_t left;
    int boundclass = 0, rc = 0;

    c->n = 0;
    for (size_t at = 0; !rc && at < n;) {
        struct utf8_char ch = utf8_at(s + at, n - at);

        rc = reserve(c, 8, err);
        if (!rc)
            c->n += (size_t)utf8proc_decompose_char((int32_t)ch.code, c->data + c->n, 8,
                                                    UTF8PROC_DECOMPOSE, &boundclass);
        at += (size_t)ch.n;
    }
    if (!rc)
        rc = order_marks(c, err);
    if (rc)
        return rc;
    left = utf8proc_normalize_utf32(c->data, (utf8proc_ssize_t)c->n,
                                    UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (left < 0)
        return mk_error_set(err, MK_EINTERNAL, "normalising a text failed: %s",
                            utf8proc_errmsg(left));
    c->n = (size_t)left;
    return append_codes(out, c, err);
}

/* A stretch is sound text above ASCII, with the ASCII character in front of it: that one may take
 * marks. */
int nfc_append(struct buf *out, const unsigned char *text, size_t n, struct mk_error *err)
{
    struct codes c = {0};
    size_t done = 0, at = 0;
    int rc = 0;

    while (!rc && at < n) {
        size_t begin, end = at;
        int length;

        while (end < n && text[end] >= 0x80 && (length = utf8_length(text + end, n - end)) > 0)
            end += (size_t)length;
        if (end == at) { /* ASCII, or a broken byte */
            at++;
            continue;
        }
        begin = at > done && text[at - 1] < 0x80 ? at - 1 : at;
        rc = buf_append(out, text + done, begin - done, err);
        if (!rc)
            rc = normalise(out, &c, text + begin, end - begin, err);
        done = at = end;
    }
    if (!rc)
        rc = buf_append(out, text + done, n - done, err);
    free(c.data);
    return rc;
}
