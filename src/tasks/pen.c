/* pen.c: text with one error check at its end. */
#include "tasks/pen.h"

#include <stdarg.h>
#include <stdio.h>

void pen_print(struct pen *p, const char *format, ...)
{
    char text[512]; /* pieces are short: a number, a step, a line of a grid */
    va_list args;
    int n;

    if (p->rc)
        return;
    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        p->rc = mk_error_set(p->err, MK_EINTERNAL, "a piece of text of %d bytes", n);
    else
        p->rc = buf_append(p->out, text, (size_t)n, p->err);
}

void pen_char(struct pen *p, char c)
{
    if (!p->rc)
        p->rc = buf_append(p->out, &c, 1, p->err);
}

void pen_rewind(struct pen *p, size_t n)
{
    if (p->rc || n >= p->out->n)
        return;
    p->out->n = n;
    p->out->data[n] = 0;
}
