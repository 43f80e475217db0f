/* cpu_features.h: which instruction sets may be used here.
 *
 * The processor's word is not enough: wide registers must also be saved by the operating system at
 * a task switch, which XCR0 tells (Intel SDM volume 1, section 13.3; volume 2, CPUID). */
#ifndef MK_KERNELS_CPU_CPU_FEATURES_H
#define MK_KERNELS_CPU_CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

struct cpu_features {
    bool avx2;                     /* with FMA and F16C */
    bool avx512;                   /* F, BW, VL and DQ; implies avx2 */
    bool avx512_vnni, avx512_bf16; /* imply avx512 */
};

/* What CPUID and XGETBV answered. */
struct cpu_answers {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_ecx; /* leaf 7, subleaf 0 */
    uint32_t leaf7_1_eax;                     /* leaf 7, subleaf 1 */
    uint64_t xcr0;                            /* 0 when the system has not enabled XSAVE */
};

/* Of this machine; all false where it is no x86-64. */
void cpu_features_read(struct cpu_features *f);
/* The reading of those answers: a pure function, so that it can be tested. */
void cpu_features_decode(struct cpu_features *f, const struct cpu_answers *a);

#endif
