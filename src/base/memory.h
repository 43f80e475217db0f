/* memory.h: what this process has of the machine's memory, and what it could still get. Bytes; 0
 * where the system does not say. */
#ifndef MK_BASE_MEMORY_H
#define MK_BASE_MEMORY_H

#include <stdint.h>

uint64_t memory_resident(void); /* now */
uint64_t memory_peak(void);     /* the most there has been */
/* Beyond what is resident: the least of what the machine, the control group and the limit of the
 * address space leave. */
uint64_t memory_available(void);

#endif
