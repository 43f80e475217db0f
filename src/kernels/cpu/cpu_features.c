/* cpu_features.c: asks the processor, and believes it only as far as the operating system goes. */
#include "kernels/cpu/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { /* bits of leaf 1, ECX */
       BIT_FMA = 12,
       BIT_OSXSAVE = 27,
       BIT_AVX = 28,
       BIT_F16C = 29
};
enum { /* bits of leaf 7: EBX, then ECX, then EAX of subleaf 1 */
       BIT_AVX2 = 5,
       BIT_AVX512F = 16,
       BIT_AVX512DQ = 17,
       BIT_AVX512BW = 30,
       BIT_AVX512VL = 31,
       BIT_AVX512_VNNI = 11,
       BIT_AVX512_BF16 = 5
};
#define XCR0_YMM 0x06u /* SSE and AVX state */
#define XCR0_ZMM 0xe6u /* and mask registers, upper halves, upper sixteen */

static bool has(uint32_t word, int bit)
{
    return word >> bit & 1;
}

void cpu_features_decode(struct cpu_features *f, const struct cpu_answers *a)
{
    bool ymm = has(a->leaf1_ecx, BIT_OSXSAVE) && (a->xcr0 & XCR0_YMM) == XCR0_YMM;
    bool zmm = ymm && (a->xcr0 & XCR0_ZMM) == XCR0_ZMM;

    f->avx2 = ymm && has(a->leaf1_ecx, BIT_AVX) && has(a->leaf1_ecx, BIT_FMA) &&
              has(a->leaf1_ecx, BIT_F16C) && has(a->leaf7_ebx, BIT_AVX2);
    f->avx512 = f->avx2 && zmm && has(a->leaf7_ebx, BIT_AVX512F) &&
                has(a->leaf7_ebx, BIT_AVX512DQ) && has(a->leaf7_ebx, BIT_AVX512BW) &&
                has(a->leaf7_ebx, BIT_AVX512VL);
    f->avx512_vnni = f->avx512 && has(a->leaf7_ecx, BIT_AVX512_VNNI);
    f->avx512_bf16 = f->avx512 && has(a->leaf7_1_eax, BIT_AVX512_BF16);
}

#if defined(__x86_64__)
static uint64_t read_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

void cpu_features_read(struct cpu_features *f)
{
    struct cpu_answers a = {0};
    uint32_t eax, ebx, ecx, edx;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        a.leaf1_ecx = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        a.leaf7_ebx = ebx;
        a.leaf7_ecx = ecx;
        if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
            a.leaf7_1_eax = eax;
    }
    if (has(a.leaf1_ecx, BIT_OSXSAVE)) /* else XGETBV is an illegal instruction */
        a.xcr0 = read_xcr0();
    cpu_features_decode(f, &a);
}
#else
void cpu_features_read(struct cpu_features *f)
{
    *f = (struct cpu_features){0};
}
#endif
