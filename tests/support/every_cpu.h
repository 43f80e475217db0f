/* every_cpu.h: a claim about the kernel table, held on every instruction set of the machine. */
#ifndef MK_TESTS_EVERY_CPU_H
#define MK_TESTS_EVERY_CPU_H

#include "kernels/kernels.h"

/* The reference, each level by name, and what is chosen by itself; two threads. */
void on_every_cpu(void (*claim)(struct compute *c));

#endif
