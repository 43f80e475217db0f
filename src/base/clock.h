/* clock.h: monotonic time. */
#ifndef MK_BASE_CLOCK_H
#define MK_BASE_CLOCK_H

/* Milliseconds since some fixed moment; never goes back. */
double clock_ms(void);

#endif
