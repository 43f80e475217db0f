/* variants.c: which tables are checked. */
#include "kernelcheck/check.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/vector_rows.h"

#if defined(__x86_64__)
static bool has_avx2(const struct cpu_features *f)
{
    return f->avx2;
}

static bool has_avx512(const struct cpu_features *f)
{
    return f->avx512;
}

static bool has_vnni(const struct cpu_features *f)
{
    return f->avx512_vnni;
}

static bool has_bf16(const struct cpu_features *f)
{
    return f->avx512_bf16;
}

/* The same sources compiled with MK_SIMDE (x86/simd.h). */
void vector_fill_avx512_simde(struct kernels *k);
void attention_fill_avx512_simde(struct kernels *k);
void matmul_fill_avx512_simde(struct kernels *k);
void matmul_fill_vnni_simde(struct kernels *k);
void backward_fill_avx512_simde(struct kernels *k);
void gemm_fill_avx512_simde(struct kernels *k);
void bf16_fill_bf16_simde(struct kernels *k);

static void fill_avx512_simde(struct kernels *k)
{
    vector_fill_avx512_simde(k);
    attention_fill_avx512_simde(k);
    matmul_fill_avx512_simde(k);
    backward_fill_avx512_simde(k);
    gemm_fill_avx512_simde(k);
}
#endif

const struct check_variant check_variants[] = {
#if defined(__x86_64__)
    {"avx2", has_avx2, kernels_fill_avx2, false},
    {"avx512", has_avx512, kernels_fill_avx512, false},
    {"avx512-simde", has_avx2, fill_avx512_simde, true},
    {"vnni", has_vnni, matmul_fill_vnni, false},
    {"vnni-simde", has_avx2, matmul_fill_vnni_simde, true},
    {"bf16", has_bf16, bf16_fill_bf16, false},
    {"bf16-simde", has_avx2, bf16_fill_bf16_simde, true},
#endif
    {0},
};
