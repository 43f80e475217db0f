/* chat_line.h: what a line typed into `minke chat` asks for. Pure functions of text. */
#ifndef MK_CLI_CHAT_LINE_H
#define MK_CLI_CHAT_LINE_H

#include <stdio.h>

enum chat_verb {
    CHAT_NOTHING, /* an empty line */
    CHAT_SAY,     /* the text goes to the model */
    CHAT_HELP,
    CHAT_QUIT,
    CHAT_RESET,
    CHAT_SYSTEM,
    CHAT_THINK,
    CHAT_SAVE,
    CHAT_UNKNOWN /* argument is the word that is no command */
};

struct chat_line {
    enum chat_verb verb;
    const char *argument; /* into the line; "" when there is none */
};

/* Cuts white space off both ends, in place. Returns where the rest begins. */
char *chat_line_trim(char *s);
/* Cuts white space off both ends of `line` and reads "/command argument". A text that
 * begins with a slash is said by doubling it: "//" stands for "/". */
struct chat_line chat_line_read(char *line);
/* The commands, one a line. */
void chat_line_help(FILE *out);

#endif
