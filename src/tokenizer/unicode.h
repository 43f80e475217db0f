/* unicode.h: classes of characters, and stepping through text that need not be sound UTF-8.
 *
 * Classes are those of Unicode 16, as Oniguruma has them inside Python `tokenizers`. A byte that is
 * not part of a sound character counts as a character of its own, a symbol: what U+FFFD would be.
 */
#ifndef MK_TOKENIZER_UNICODE_H
#define MK_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { /* bits of a class */
    UC_LETTER = 1, UC_MARK = 2, UC_NUMBER = 4, UC_PUNCT = 8, UC_SYMBOL = 16, UC_SPACE = 32,
    UC_UPPER = 64,  /* besides UC_LETTER: Lu, Lt */
    UC_LOWER = 128  /* besides UC_LETTER: Ll */
};

#define UNICODE_BROKEN 0x110000u /* stands for a byte outside any sound character */
#define UNICODE_N_CLASSES (UNICODE_BROKEN + 1)

/* Fills classes[UNICODE_N_CLASSES]. */
void unicode_classes(uint8_t *classes);

/* As Python's str.isspace: white space and the separators U+1C to U+1F. */
bool unicode_is_space(uint32_t code);

/* Length of the sound character at s[0..n), n >= 1, or 0: shortest form, no surrogates, at most
 * U+10FFFF. */
int utf8_length(const unsigned char *s, size_t n);
/* Where utf8_length is 0: how many bytes of s[0..n) are the beginning of some sound character, 0
 * to 3. */
size_t utf8_prefix(const unsigned char *s, size_t n);

/* Are there sound characters alone? */
bool utf8_is_sound(const char *text, size_t n);

struct utf8_char { uint32_t code; int n; };

static inline struct utf8_char utf8_at(const unsigned char *s, size_t n)
{
    int length;

    if (s[0] < 0x80)
        return (struct utf8_char){s[0], 1};
    length = utf8_length(s, n);
    switch (length) {
    case 2:
        return (struct utf8_char){(s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu), 2};
    case 3:
        return (struct utf8_char){(s[0] & 0xFu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu), 3};
    case 4:
        return (struct utf8_char){
            (s[0] & 7u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu), 4};
    default:
        return (struct utf8_char){UNICODE_BROKEN, 1};
    }
}

/* Bytes of a code point; at most 4. */
int utf8_write(uint32_t code, unsigned char out[4]);

#endif
