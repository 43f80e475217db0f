/* alphabet.c: bytes that print in Latin-1 stand for themselves; the other 68 follow from U+0100 on
 * in order. */
#include "tokenizer/alphabet.h"

#include <stdbool.h>

#include "tokenizer/unicode.h"

static bool is_plain(unsigned char b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
}

uint32_t alphabet_code(unsigned char byte)
{
    uint32_t code = 0x100;

    if (is_plain(byte))
        return byte;
    for (unsigned char b = 0; b < byte; b++)
        code += !is_plain(b);
    return code;
}

/* U+0100..U+0143 are the bytes 0x00-0x20, 0x7F-0xA0 and 0xAD. */
static int byte_of(uint32_t code)
{
    if (code < 0x100)
        return is_plain((unsigned char)code) ? (int)code : -1;
    if (code <= 0x120)
        return (int)(code - 0x100);
    if (code <= 0x142)
        return (int)(code - 0x121 + 0x7F);
    return code == 0x143 ? 0xAD : -1;
}

int64_t alphabet_decode(const char *text, size_t n, char *out)
{
    int64_t used = 0;

    for (size_t at = 0; at < n;) {
        struct utf8_char c = utf8_at((const unsigned char *)text + at, n - at);
        int byte = byte_of(c.code);

        if (byte < 0)
            return -1;
        out[used++] = (char)byte;
        at += (size_t)c.n;
    }
    return used;
}
