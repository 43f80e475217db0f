/* alphabet.h: GPT-2's way to write any bytes as printable characters: byte 0x20 is U+0120, 'a' is
 * itself. */
#ifndef MK_TOKENIZER_ALPHABET_H
#define MK_TOKENIZER_ALPHABET_H

#include <stddef.h>
#include <stdint.h>

/* The character that stands for a byte: U+0021..U+0143. */
uint32_t alphabet_code(unsigned char byte);
/* The bytes that text[n] stands for, at most n of them; returns how many, or -1 when some character
 * stands for none. */
int64_t alphabet_decode(const char *text, size_t n, char *out);

#endif
