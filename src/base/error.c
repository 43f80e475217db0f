/* error.c: setting and wrapping error texts. Never allocates, so that it works when memory is out.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void hide_control_characters(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

int mk_error_set(struct mk_error *err, int code, const char *format, ...)
{
    va_list args;

    err->code = code;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    hide_control_characters(err->text);
    return code;
}

int mk_error_wrap(struct mk_error *err, const char *format, ...)
{
    char inner[sizeof err->text];
    size_t n;
    va_list args;

    memcpy(inner, err->text, sizeof inner);
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    n = strlen(err->text);
    snprintf(err->text + n, sizeof err->text - n, ": %s", inner);
    hide_control_characters(err->text);
    return err->code;
}

int mk_error_memory(struct mk_error *err, size_t bytes)
{
    return mk_error_set(err, MK_EMEMORY,
                        "out of memory: %zu bytes could not be had; use a smaller model or context",
                        bytes);
}
