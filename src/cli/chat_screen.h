/* chat_screen.h: an answer as it arrives: the thought dimmed and apart, the answer after it.
 *
 * On a terminal the thought is dim; elsewhere, and with NO_COLOR, words mark the two parts when
 * there is a thought. No byte of a model's text is obeyed by a terminal (safe_text.h). */
#ifndef MK_CLI_CHAT_SCREEN_H
#define MK_CLI_CHAT_SCREEN_H

#include <stdbool.h>
#include <stdio.h>

struct chat_screen {
    FILE *out; /* borrowed */
    bool ansi;
    bool in_thought;
    char last; /* byte printed; 0: nothing yet */
};

/* Whether `out` is a terminal that may be sent escape codes. */
bool chat_screen_has_ansi(FILE *out);
void chat_screen_begin(struct chat_screen *s, FILE *out, bool ansi);
void chat_screen_thought(struct chat_screen *s, const char *text);
void chat_screen_answer(struct chat_screen *s, const char *text);
/* The answer is over, or was stopped: normal letters, a new line. */
void chat_screen_end(struct chat_screen *s);

#endif
