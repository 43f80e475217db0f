/* safe_text.h: a model's text on a terminal. Models are hostile: no escape sequence passes. */
#ifndef MK_CLI_SAFE_TEXT_H
#define MK_CLI_SAFE_TEXT_H

#include <stdio.h>

/* Prints UTF-8 text; on a terminal control characters other than newline and tab become U+FFFD
 * (C0, DEL and the two bytes of C1). A pipe gets the text as it is. */
void safe_text_print(FILE *out, const char *text);

#endif
