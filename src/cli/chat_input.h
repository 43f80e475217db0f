/* chat_input.h: lines from a terminal, with editing and a history that lasts.
 *
 * The history lies in $XDG_STATE_HOME/minke/chat_history (~/.local/state by default), readable by
 * its owner alone. Without such a place there is no lasting history and nothing else is missed. */
#ifndef MK_CLI_CHAT_INPUT_H
#define MK_CLI_CHAT_INPUT_H

#include <stdbool.h>

#include "base/buf.h"

struct chat_input {
    struct editline *el;     /* owned */
    struct history *history; /* owned */
    char path[4096];         /* of the history; "" when there is none */
    const char *prompt;      /* borrowed while a line is read */
    struct buf text;         /* the message read last */
};

enum chat_input_result { CHAT_INPUT_TEXT, CHAT_INPUT_END, CHAT_INPUT_INTERRUPTED };

int chat_input_init(struct chat_input *in, struct mk_error *err);
/* Saves the history. */
void chat_input_release(struct chat_input *in);
/* One message in in->text: a line, the lines that were pasted with it, and those that it continues
 * on with a backslash. Ctrl-C throws away what was typed. */
int chat_input_read(struct chat_input *in, enum chat_input_result *result, struct mk_error *err);

/* From here on Ctrl-C sets a flag instead of ending the process. */
void chat_interrupt_watch(void);
/* Whether it was pressed since the last call. */
bool chat_interrupt_taken(void);

#endif
