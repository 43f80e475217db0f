/* safe_text.c: see safe_text.h. */
#include "cli/safe_text.h"

#include <stdbool.h>
#include <unistd.h>

/* Bytes of a control character at p, 0 when it is none. */
static int control_bytes(const unsigned char *p)
{
    if (p[0] == '\n' || p[0] == '\t')
        return 0;
    if (p[0] < 0x20 || p[0] == 0x7f)
        return 1;
    return p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0 ? 2 : 0;
}

void safe_text_print(FILE *out, const char *text)
{
    bool terminal = isatty(fileno(out));

    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int n = terminal ? control_bytes(p) : 0;

        if (n) {
            fputs("\xef\xbf\xbd", out);
            p += n;
        } else {
            fputc(*p++, out);
        }
    }
}
