/* every_cpu.c */
#include "support/every_cpu.h"

void on_every_cpu(void (*claim)(struct compute *c))
{
    static const char *const cpus[] = {"ref", "avx2", "avx512", NULL};

    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        struct compute c;
        struct mk_error err;

        if (compute_init(&c, cpus[i], 2, &err))
            continue;
        claim(&c);
        compute_release(&c);
    }
}
