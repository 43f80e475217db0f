/* clock.h: monotonic time, and the processor's. */
#ifndef MK_BASE_CLOCK_H
#define MK_BASE_CLOCK_H

/* Milliseconds since some fixed moment; never goes back. */
double clock_ms(void);
/* Milliseconds that all threads of this process have computed. */
double clock_cpu_ms(void);

#endif
