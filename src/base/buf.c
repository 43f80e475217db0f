/* buf.c: the one growing byte buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_release(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    if (b->data)
        b->data[0] = 0;
}

int buf_reserve(struct buf *b, size_t n, struct mk_error *err)
{
    size_t want = b->capacity ? b->capacity : 64;
    char *data;

    if (n > b->max || b->n > b->max - n)
        return mk_error_set(err, MK_ELIMIT, "more than %zu bytes", b->max);
    if (b->data && b->capacity - b->n > n)
        return 0;
    while (want <= b->n + n)
        want *= 2;
    data = realloc(b->data, want);
    if (!data)
        return mk_error_memory(err, want);
    b->data = data;
    b->capacity = want;
    b->data[b->n] = 0;
    return 0;
}

int buf_append(struct buf *b, const void *data, size_t n, struct mk_error *err)
{
    int rc = buf_reserve(b, n, err);

    if (rc)
        return rc;
    if (n)
        memcpy(b->data + b->n, data, n);
    b->n += n;
    b->data[b->n] = 0;
    return 0;
}

int buf_append_string(struct buf *b, const char *s, struct mk_error *err)
{
    return buf_append(b, s, strlen(s), err);
}

int buf_printf(struct buf *b, struct mk_error *err, const char *format, ...)
{
    va_list args, again;
    int n, rc;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    rc = n < 0 ? mk_error_set(err, MK_EINTERNAL, "bad format") : buf_reserve(b, (size_t)n, err);
    if (!rc) {
        vsnprintf(b->data + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return rc;
}
