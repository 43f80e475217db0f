/* unicode.c: character classes from utf8proc, brought up to Unicode 16 by the characters it does
 * not know yet. */
#include "tokenizer/unicode.h"

#include <utf8proc.h>

struct addition { uint32_t first, last; uint8_t class; };

/* Assigned in Unicode 15.1 and 16; utf8proc 2.8 has Unicode 15.0. */
static const struct addition additions[] = {
    {0x897, 0x897, UC_MARK}, {0x1B4E, 0x1B4F, UC_PUNCT}, {0x1B7F, 0x1B7F, UC_PUNCT},
    {0x1C89, 0x1C89, UC_LETTER | UC_UPPER}, {0x1C8A, 0x1C8A, UC_LETTER | UC_LOWER},
    {0x2427, 0x2429, UC_SYMBOL}, {0x2FFC, 0x2FFF, UC_SYMBOL}, {0x31E4, 0x31E5, UC_SYMBOL},
    {0x31EF, 0x31EF, UC_SYMBOL}, {0xA7CB, 0xA7CC, UC_LETTER | UC_UPPER},
    {0xA7CD, 0xA7CD, UC_LETTER | UC_LOWER}, {0xA7DA, 0xA7DA, UC_LETTER | UC_UPPER},
    {0xA7DB, 0xA7DB, UC_LETTER | UC_LOWER}, {0xA7DC, 0xA7DC, UC_LETTER | UC_UPPER},
    {0x105C0, 0x105F3, UC_LETTER}, {0x10D40, 0x10D49, UC_NUMBER}, {0x10D4A, 0x10D4F, UC_LETTER},
    {0x10D50, 0x10D65, UC_LETTER | UC_UPPER}, {0x10D69, 0x10D6D, UC_MARK},
    {0x10D6E, 0x10D6E, UC_PUNCT}, {0x10D6F, 0x10D6F, UC_LETTER},
    {0x10D70, 0x10D85, UC_LETTER | UC_LOWER}, {0x10D8E, 0x10D8F, UC_SYMBOL},
    {0x10EC2, 0x10EC4, UC_LETTER}, {0x10EFC, 0x10EFC, UC_MARK}, {0x11380, 0x11389, UC_LETTER},
    {0x1138B, 0x1138B, UC_LETTER}, {0x1138E, 0x1138E, UC_LETTER}, {0x11390, 0x113B5, UC_LETTER},
    {0x113B7, 0x113B7, UC_LETTER}, {0x113B8, 0x113C0, UC_MARK}, {0x113C2, 0x113C2, UC_MARK},
    {0x113C5, 0x113C5, UC_MARK}, {0x113C7, 0x113CA, UC_MARK}, {0x113CC, 0x113D0, UC_MARK},
    {0x113D1, 0x113D1, UC_LETTER}, {0x113D2, 0x113D2, UC_MARK}, {0x113D3, 0x113D3, UC_LETTER},
    {0x113D4, 0x113D5, UC_PUNCT}, {0x113D7, 0x113D8, UC_PUNCT}, {0x113E1, 0x113E2, UC_MARK},
    {0x116D0, 0x116E3, UC_NUMBER}, {0x11BC0, 0x11BE0, UC_LETTER}, {0x11BE1, 0x11BE1, UC_PUNCT},
    {0x11BF0, 0x11BF9, UC_NUMBER}, {0x11F5A, 0x11F5A, UC_MARK}, {0x13460, 0x143FA, UC_LETTER},
    {0x16100, 0x1611D, UC_LETTER}, {0x1611E, 0x1612F, UC_MARK}, {0x16130, 0x16139, UC_NUMBER},
    {0x16D40, 0x16D6C, UC_LETTER}, {0x16D6D, 0x16D6F, UC_PUNCT}, {0x16D70, 0x16D79, UC_NUMBER},
    {0x18CFF, 0x18CFF, UC_LETTER}, {0x1CC00, 0x1CCEF, UC_SYMBOL}, {0x1CCF0, 0x1CCF9, UC_NUMBER},
    {0x1CD00, 0x1CEB3, UC_SYMBOL}, {0x1E5D0, 0x1E5ED, UC_LETTER}, {0x1E5EE, 0x1E5EF, UC_MARK},
    {0x1E5F0, 0x1E5F0, UC_LETTER}, {0x1E5F1, 0x1E5FA, UC_NUMBER}, {0x1E5FF, 0x1E5FF, UC_PUNCT},
    {0x1F8B2, 0x1F8BB, UC_SYMBOL}, {0x1F8C0, 0x1F8C1, UC_SYMBOL}, {0x1FA89, 0x1FA89, UC_SYMBOL},
    {0x1FA8F, 0x1FA8F, UC_SYMBOL}, {0x1FABE, 0x1FABE, UC_SYMBOL}, {0x1FAC6, 0x1FAC6, UC_SYMBOL},
    {0x1FADC, 0x1FADC, UC_SYMBOL}, {0x1FADF, 0x1FADF, UC_SYMBOL}, {0x1FAE9, 0x1FAE9, UC_SYMBOL},
    {0x1FBCB, 0x1FBEF, UC_SYMBOL}, {0x2EBF0, 0x2EE5D, UC_LETTER},
};

static uint8_t class_of(utf8proc_category_t category)
{
    switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
        return UC_LETTER | UC_UPPER;
    case UTF8PROC_CATEGORY_LL:
        return UC_LETTER | UC_LOWER;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return UC_LETTER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return UC_SPACE;
    default:
        break;
    }
    if (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME)
        return UC_MARK;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
        return UC_NUMBER;
    if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO)
        return UC_PUNCT;
    return category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO ? UC_SYMBOL : 0;
}

void unicode_classes(uint8_t *classes)
{
    for (uint32_t c = 0; c < UNICODE_BROKEN; c++)
        classes[c] = class_of(utf8proc_category((utf8proc_int32_t)c));
    for (uint32_t c = 9; c <= 13; c++)
        classes[c] = UC_SPACE;
    classes[0x85] = UC_SPACE;
    for (size_t i = 0; i < sizeof additions / sizeof *additions; i++)
        for (uint32_t c = additions[i].first; c <= additions[i].last; c++)
            classes[c] = additions[i].class;
    classes[UNICODE_BROKEN] = UC_SYMBOL;
}

bool unicode_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Bytes of the character that begins with this byte; 0 when none does. */
static size_t length_of(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The second byte decides about shortest form, surrogates and the upper end. */
static bool second_fits(unsigned char first, unsigned char second)
{
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;

    return second >= low && second <= high;
}

bool utf8_is_sound(const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        struct utf8_char c = utf8_at((const unsigned char *)text + at, n - at);

        if (c.code == UNICODE_BROKEN)
            return false;
        at += (size_t)c.n;
    }
    return true;
}

size_t utf8_prefix(const unsigned char *s, size_t n)
{
    size_t length = length_of(s[0]), k = 1;

    if (!length)
        return 0;
    if (n < 2 || length < 2 || !second_fits(s[0], s[1]))
        return 1;
    for (k = 2; k < length && k < n && (s[k] & 0xC0) == 0x80; k++)
        ;
    return k;
}

int utf8_length(const unsigned char *s, size_t n)
{
    size_t length = length_of(s[0]);

    return length && utf8_prefix(s, n) == length ? (int)length : 0;
}

int utf8_write(uint32_t code, unsigned char out[4])
{
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (unsigned char)(0xC0 | code >> 6);
        out[1] = (unsigned char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (unsigned char)(0xE0 | code >> 12);
        out[1] = (unsigned char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (unsigned char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (unsigned char)(0xF0 | code >> 18);
    out[1] = (unsigned char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (unsigned char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (unsigned char)(0x80 | (code & 0x3F));
    return 4;
}
