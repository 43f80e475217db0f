/* select.c: fills the table of operations: first from the reference, which has everything, then
 * from what this machine has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/backward_rows.h"
#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/vector_rows.h"
#include "kernels/kernels.h"

/* Bound on the inside of one operation: rounded rows of a large prefill, tiles of attention. */
#define SCRATCH_MAX_BYTES ((size_t)4 << 30)

/* The last rounds activations for bf16 weights, so it is taken when asked for, never by itself. */
enum level { LEVEL_REF, LEVEL_AVX2, LEVEL_AVX512, LEVEL_BF16, N_LEVELS };
static const char *const level_names[N_LEVELS] = {"ref", "avx2", "avx512", "avx512-bf16"};

static const char *backward_missing(const struct kernels *k)
{
    return !k->gemm_nn             ? "gemm_nn"
           : !k->gemm_tn           ? "gemm_tn"
           : !k->attend_backward   ? "attend_backward"
           : !k->rmsnorm_backward  ? "rmsnorm_backward"
           : !k->silu_mul_backward ? "silu_mul_backward"
           : !k->softmax_xent      ? "softmax_xent"
           : !k->softmax_backward  ? "softmax_backward"
           : !k->combine_backward  ? "combine_backward"
           : !k->embed_backward    ? "embed_backward"
           : !k->adamw             ? "adamw"
                                   : NULL;
}

const char *kernels_missing(const struct kernels *k)
{
    return !k->matmul        ? "matmul"
           : !k->attend      ? "attend"
           : !k->rmsnorm     ? "rmsnorm"
           : !k->rope        ? "rope"
           : !k->silu_mul    ? "silu_mul"
           : !k->add_scaled  ? "add_scaled"
           : !k->combine     ? "combine"
           : !k->store_rows  ? "store_rows"
           : !k->load_rows   ? "load_rows"
           : !k->softmax     ? "softmax"
           : !k->log_sum_exp ? "log_sum_exp"
                             : backward_missing(k);
}

void kernels_fill_ref(struct kernels *k)
{
    snprintf(k->name, sizeof k->name, "ref");
    vector_fill_ref(k);
    vector_fill_ops(k);
    attention_fill_ref(k);
    attention_fill_ops(k);
    matmul_fill_ref(k);
    matmul_fill_ops(k);
    backward_fill_ref(k);
    gemm_fill_ref(k);
    bf16_fill_ref(k);
    gemm_fill_ops(k);
    attention_backward_fill_ops(k);
    vector_backward_fill_ops(k);
}

#if defined(__x86_64__)
void kernels_fill_avx2(struct kernels *k)
{
    snprintf(k->name, sizeof k->name, "avx2");
    vector_fill_avx2(k);
    attention_fill_avx2(k);
    matmul_fill_avx2(k);
    backward_fill_avx2(k);
    gemm_fill_avx2(k);
    bf16_fill_avx2(k);
}

void kernels_fill_avx512(struct kernels *k)
{
    snprintf(k->name, sizeof k->name, "avx512");
    vector_fill_avx512(k);
    attention_fill_avx512(k);
    matmul_fill_avx512(k);
    backward_fill_avx512(k);
    gemm_fill_avx512(k);
}
#endif

static enum level best_level(const struct cpu_features *f)
{
    return f->avx512 ? LEVEL_AVX512 : f->avx2 ? LEVEL_AVX2 : LEVEL_REF;
}

static int choose_level(enum level *level, const char *cpu, const struct cpu_features *f,
                        struct mk_error *err)
{
    *level = best_level(f);
    if (!cpu)
        return 0;
    for (int i = 0; i < N_LEVELS; i++)
        if (!strcmp(cpu, level_names[i])) {
            if (i == LEVEL_BF16 ? !f->avx512_bf16 : i > (int)*level)
                return mk_error_set(err, MK_EUNSUPPORTED,
                                    "this machine has no %s; the best it has is %s", cpu,
                                    level_names[*level]);
            *level = (enum level)i;
            return 0;
        }
    return mk_error_set(err, MK_EINVAL,
                        "cpu is '%.32s'; it must be ref, avx2, avx512 or avx512-bf16", cpu);
}

static void fill_table(struct kernels *k, enum level level, const struct cpu_features *f)
{
    (void)f;
    kernels_fill_ref(k);
#if defined(__x86_64__)
    if (level >= LEVEL_AVX2)
        kernels_fill_avx2(k);
    if (level >= LEVEL_AVX512)
        kernels_fill_avx512(k);
    if (level >= LEVEL_AVX512 && f->avx512_vnni)
        matmul_fill_vnni(k);
    if (level >= LEVEL_AVX512 && f->avx512_bf16)
        bf16_fill_bf16(k);
    if (level == LEVEL_BF16) {
        snprintf(k->name, sizeof k->name, "avx512-bf16");
        k->bf16_inputs = true;
    }
#endif
}

int compute_init(struct compute *c, const char *cpu, int n_threads, struct mk_error *err)
{
    struct cpu_features f;
    enum level level;
    int code;

    memset(c, 0, sizeof *c);
    cpu_features_read(&f);
    code = choose_level(&level, cpu, &f, err);
    if (code)
        return code;
    c->table = calloc(1, sizeof *c->table);
    if (!c->table)
        return mk_error_memory(err, sizeof *c->table);
    fill_table(c->table, level, &f);
    c->k = c->table;
    if (kernels_missing(c->k)) {
        code = mk_error_set(err, MK_EINTERNAL, "%s has no operation '%s'", c->table->name,
                            kernels_missing(c->k));
        compute_release(c);
        return code;
    }
    code = exec_create(&c->ex, n_threads ? n_threads : exec_cores(), err);
    if (code) {
        compute_release(c);
        return code;
    }
    arena_init(&c->scratch, SCRATCH_MAX_BYTES);
    return 0;
}

void compute_release(struct compute *c)
{
    exec_free(c->ex);
    arena_release(&c->scratch);
    arena_release(&c->rounded);
    free(c->table);
    memset(c, 0, sizeof *c);
}
