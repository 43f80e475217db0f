/* interrupt.c: a signal has no other place to leave its word than a variable of the file. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t asked;

static void interrupt(int sign)
{
    (void)sign;
    asked = 1;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool interrupt_asked(void)
{
    return asked;
}

bool interrupt_stop(void *user)
{
    (void)user;
    return interrupt_asked();
}
