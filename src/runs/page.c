/* page.c: text, escaped, and numbers for people. */
#include "runs/page.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const page_colours[2] = {
    ":root{color-scheme:light dark;--ink:#1b1f24;--dim:#667078;--grid:#dfe3e7;"
    "--paper:#fff;--card:#f6f7f9;--hot:#0b6bcb;--cold:#c2410c;\n"
    "--c0:#0b6bcb;--c1:#c2410c;--c2:#0f7a4d;--c3:#8a3ffc;--c4:#b3860b;--c5:#c2185b;--c6:#00808a;"
    "--c7:#5f6b76}\n",
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--dim:#98a2ab;--grid:#333a41;"
    "--paper:#14171a;--card:#1c2024;--hot:#5aa9f8;--cold:#f2864e;\n"
    "--c0:#5aa9f8;--c1:#f2864e;--c2:#4cc38a;--c3:#b794ff;--c4:#e0b73f;--c5:#f472a8;--c6:#3fc3cf;"
    "--c7:#a3afba}}\n"};

#define MAX_PAGE ((size_t)64 << 20)

void page_init(struct page *p, struct mk_error *err)
{
    err->code = 0;
    p->err = err;
    buf_init(&p->b, MAX_PAGE);
}

void page_release(struct page *p)
{
    buf_release(&p->b);
}

void page_put(struct page *p, const char *format, ...)
{
    char text[1024];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (p->err->code)
        return;
    if (n < 0 || (size_t)n >= sizeof text)
        mk_error_set(p->err, MK_EINTERNAL, "a piece of a page is longer than %zu bytes",
                     sizeof text);
    else
        buf_append(&p->b, text, (size_t)n, p->err);
}

static void put_char(struct page *p, unsigned char c)
{
    if (p->err->code)
        return;
    if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
        page_put(p, "&#%d;", c);
    else
        buf_append(&p->b, c < 0x20 || c == 0x7f ? "?" : (const char *)&c, 1, p->err);
}

void page_text(struct page *p, const char *text)
{
    for (; *text; text++)
        put_char(p, (unsigned char)*text);
}

void page_lines(struct page *p, const char *text)
{
    for (; *text; text++)
        if (*text == '\n')
            page_put(p, "\n");
        else
            put_char(p, (unsigned char)*text);
}

void page_number(char text[16], double n)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P"};
    double size = fabs(n);
    int unit = 0;

    if (!isfinite(n)) {
        snprintf(text, 16, "-");
        return;
    }
    if (size > 0 && size < 1e-3) {
        int power = (int)floor(log10(size));
        double digits = n / pow(10, power);

        if (fabs(digits) > 9.995) { /* rounded up to ten */
            digits /= 10;
            power++;
        }
        snprintf(text, 16, "%.3ge%d", digits, power);
        return;
    }
    while (size >= 999.5 && unit < 5) {
        size /= 1000;
        n /= 1000;
        unit++;
    }
    snprintf(text, 16, "%.3g%s", n, units[unit]);
}
