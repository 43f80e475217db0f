/* interrupt.h: Ctrl-C and SIGTERM end long work at its next good moment; a second one at once. */
#ifndef MK_CLI_INTERRUPT_H
#define MK_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);
bool interrupt_asked(void);
/* The same as the `stop` that long work in the library asks; user is not used. */
bool interrupt_stop(void *user);

#endif
