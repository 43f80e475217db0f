/* variants.c: which tables are checked. */
#include "kernelcheck/check.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/vector_rows.h"

#if defined(__x86_64__)
static bool has_avx2(const struct cpu_features *f)
{
    return f->avx2;
}
#endif

const struct check_variant check_variants[] = {
#if defined(__x86_64__)
    {"avx2", has_avx2, kernels_fill_avx2, false},
#endif
    {0},
};
