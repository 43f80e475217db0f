/* matmul_bench.c: speed of the matrix product beside what the machine could do.
 *
 * Usage: matmul_bench [CPU [TYPE]]. Rows: type, K x N, rows, then for 1 and 2 threads GOP/s (a
 * product and an addition count as two) and the share of a limit: with many rows the arithmetic
 * that registers alone sustain with these kernels' instructions (int8: dpbusd of 512 bits, or
 * maddubs + madd + add of 256; f32: fma), with one row the bandwidth of reading memory.
 * Several matrices take turns so that none stays in cache.
 * Each number is the best of several runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/clock.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/kernels.h"

#define MEMORY_BYTES ((size_t)192 << 20) /* weights that take turns: more than any cache */
#define RUNS 5
#define MAX_ROWS 512

static const struct {
    int32_t k, n;
} shapes[] = {{576, 1536}, {1536, 576}, {2048, 2816}};

struct limits {
    double int8_gops, f32_gops; /* one thread */
    double read_gbs[2];         /* 1 and 2 threads */
};

static double seconds(void)
{
    return clock_ms() * 1e-3;
}

/* ---- What the machine can do ---- */

/* Of this thread alone: what others do meanwhile does not lower the limit. */
static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static double int8_gops_avx2(void)
{
    enum { N = 2000000, WIDE = 8 };
    __m256i sum[WIDE], a = _mm256_set1_epi8(3), one = _mm256_set1_epi16(1);
    int32_t sink = 0;
    double t;

    for (int i = 0; i < WIDE; i++)
        sum[i] = _mm256_set1_epi8((char)i);
    t = cpu_seconds();
    for (int n = 0; n < N; n++) {
        _Pragma("GCC unroll 8") for (int i = 0; i < WIDE; i++)
        {
            __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(a, sum[i]), one);

            sum[i] = _mm256_add_epi32(sum[i], p);
        }
    }
    t = cpu_seconds() - t;
    for (int i = 0; i < WIDE; i++)
        sink += _mm256_extract_epi32(sum[i], 0);
    return sink == 12345 ? 0 : 64.0 * WIDE * N / t * 1e-9;
}

__attribute__((target("avx512f,avx512vnni"))) static double int8_gops_vnni(void)
{
    enum { N = 2000000, WIDE = 12 };
    __m512i sum[WIDE], a = _mm512_set1_epi32(0x03030303);
    int32_t sink = 0;
    double t;

    for (int i = 0; i < WIDE; i++)
        sum[i] = _mm512_set1_epi32(i);
    t = cpu_seconds();
    for (int n = 0; n < N; n++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < WIDE; i++) sum[i] =
            _mm512_dpbusd_epi32(sum[i], a, a);
        __asm__ volatile("" : "+v"(a)); /* or the sum is known beforehand */
    }
    t = cpu_seconds() - t;
    for (int i = 0; i < WIDE; i++)
        sink += _mm512_reduce_add_epi32(sum[i]);
    return sink == 12345 ? 0 : 128.0 * WIDE * N / t * 1e-9;
}

__attribute__((target("avx2,fma"))) static double f32_gops_avx2(void)
{
    enum { N = 2000000, WIDE = 12 };
    __m256 sum[WIDE], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.0f);
    float sink = 0;
    double t;

    for (int i = 0; i < WIDE; i++)
        sum[i] = _mm256_set1_ps((float)i);
    t = cpu_seconds();
    for (int n = 0; n < N; n++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < WIDE; i++) sum[i] =
            _mm256_fmadd_ps(sum[i], a, b);
    }
    t = cpu_seconds() - t;
    for (int i = 0; i < WIDE; i++)
        sink += _mm256_cvtss_f32(sum[i]);
    return sink == 12345 ? 0 : 16.0 * WIDE * N / t * 1e-9;
}

__attribute__((target("avx512f"))) static double f32_gops_avx512(void)
{
    enum { N = 2000000, WIDE = 12 };
    __m512 sum[WIDE], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1.0f);
    float sink = 0;
    double t;

    for (int i = 0; i < WIDE; i++)
        sum[i] = _mm512_set1_ps((float)i);
    t = cpu_seconds();
    for (int n = 0; n < N; n++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < WIDE; i++) sum[i] =
            _mm512_fmadd_ps(sum[i], a, b);
    }
    t = cpu_seconds() - t;
    for (int i = 0; i < WIDE; i++)
        sink += _mm512_cvtss_f32(sum[i]);
    return sink == 12345 ? 0 : 32.0 * WIDE * N / t * 1e-9;
}

/* Of the instructions that the kernels `cpu` may use; the best of a few runs. */
static void register_limits(struct limits *l, const char *cpu)
{
    struct cpu_features f;

    cpu_features_read(&f);
    for (int i = 0; i < RUNS && f.avx2; i++) {
        bool wide = !strncmp(cpu, "avx512", 6);
        double int8 = wide && f.avx512_vnni ? int8_gops_vnni() : int8_gops_avx2();
        double f32 = wide ? f32_gops_avx512() : f32_gops_avx2();

        l->int8_gops = int8 > l->int8_gops ? int8 : l->int8_gops;
        l->f32_gops = f32 > l->f32_gops ? f32 : l->f32_gops;
    }
}
#else
static void register_limits(struct limits *l, const char *cpu)
{
    (void)l;
    (void)cpu;
}
#endif

static void read_task(void *context, int64_t task, int worker)
{
    uint64_t *data = context, sum[8] = {0};
    int64_t n = (int64_t)(MEMORY_BYTES / 8 / 64);

    (void)worker;
    for (int64_t i = task * n; i < task * n + n; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += data[i + j];
    for (int j = 1; j < 8; j++)
        sum[0] += sum[j];
    if (sum[0] == 12345)
        data[0] = 1;
}

static double read_gbs(struct exec *ex, void *data)
{
    double best = 1e9;

    for (int i = 0; i < RUNS; i++) {
        double t = seconds();

        exec_run(ex, 64, read_task, data);
        t = seconds() - t;
        best = t < best ? t : best;
    }
    return (double)MEMORY_BYTES / best * 1e-9;
}

/* ---- One matrix ---- */

struct bench {
    struct compute c[2]; /* with 1 and with 2 threads */
    struct limits limits;
    unsigned char *file; /* MEMORY_BYTES of anything */
    float *x, *out;
};

/* Seconds of one product. */
static double time_one(struct compute *c, struct packed *w, int n_matrices, int64_t rows,
                       const struct bench *b)
{
    double best = 1e9, work = (double)rows * w->n_in * w->n_out;
    int n_calls = (int)(3e8 / work) + 1;
    struct mk_error err;

    for (int run = 0; run < RUNS; run++) {
        double t = seconds();

        for (int i = 0; i < n_calls; i++) {
            struct matmul_job job = {.w = &w[i % n_matrices], .x = b->x, .x_stride = w->n_in,
                                     .n_rows = rows, .out = b->out, .out_stride = w->n_out};

            if (c->k->matmul(c, &job, 1, &err)) {
                fprintf(stderr, "%s\n", err.text);
                exit(1);
            }
        }
        t = (seconds() - t) / n_calls;
        best = t < best ? t : best;
    }
    return best;
}

static void measure(struct bench *b, enum dtype type, int32_t k, int32_t n)
{
    struct weight_src src = {.dtype = type, .n_out = n, .n_in = k, .data = b->file};
    struct arena a;
    struct packed w[512];
    struct mk_error err;
    uint64_t bytes;
    int n_matrices = 0;

    if (packed_bytes(&src, &bytes, &err))
        return; /* a K that the type cannot have */
    arena_init(&a, 2 * MEMORY_BYTES);
    while (n_matrices < 512 && (uint64_t)n_matrices * bytes < MEMORY_BYTES)
        if (packed_init(&w[n_matrices++], &src, &a, &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
    for (int64_t rows = 1; rows <= MAX_ROWS; rows *= MAX_ROWS) {
        printf("%-7s %5d x %-5d %4d ", dtype_info(type)->name, k, n, (int)rows);
        for (int t = 0; t < 2; t++) {
            double s = time_one(&b->c[t], w, n_matrices, rows, b);
            double gops = 2.0 * (double)rows * k * n / s * 1e-9, share;
            double peak = dtype_is_quantised(type) ? b->limits.int8_gops : b->limits.f32_gops;

            share = rows == 1 ? (double)bytes / s * 1e-9 / b->limits.read_gbs[t]
                              : gops / peak / (t + 1);
            printf(" %8.1f %5.0f %%", gops, 100 * share);
        }
        printf("  of %s\n", rows == 1                  ? "bandwidth"
                            : dtype_is_quantised(type) ? "int8"
                                                       : "f32");
        fflush(stdout);
    }
    arena_release(&a);
}

/* Scales that are ordinary numbers in every type: bytes of small f16 and f32 values. */
static void fill(struct bench *b)
{
    for (size_t i = 0; i < MEMORY_BYTES; i++)
        b->file[i] = (unsigned char)(0x20 + (i * 2654435761u >> 13) % 16);
    for (int i = 0; i < MAX_ROWS * 2048; i++)
        b->x[i] = (float)(i % 127) / 64 - 1;
}

int main(int argc, char **argv)
{
    static struct bench b;
    enum dtype only = MK_N_DTYPES;
    struct mk_error err;

    if (argc > 2 && !dtype_from_name(argv[2], &only)) {
        fprintf(stderr, "matmul_bench: no such type: %s\n", argv[2]);
        return 2;
    }
    b.file = malloc(MEMORY_BYTES);
    b.x = malloc(sizeof(float) * MAX_ROWS * 2048);
    b.out = malloc(sizeof(float) * MAX_ROWS * 2816);
    if (!b.file || !b.x || !b.out)
        return 1;
    fill(&b);
    for (int t = 0; t < 2; t++) {
        if (compute_init(&b.c[t], argc > 1 && *argv[1] ? argv[1] : NULL, t + 1, &err)) {
            fprintf(stderr, "matmul_bench: %s\n", err.text);
            return 1;
        }
        b.limits.read_gbs[t] = read_gbs(b.c[t].ex, b.file);
    }
    register_limits(&b.limits, b.c[0].k->name);
    printf("%s; one thread in registers: int8 %.0f GOP/s, f32 %.0f GFLOP/s;\n"
           "read bandwidth: %.1f GB/s by one thread, %.1f by two\n\n"
           "type        K x N     rows   1 thread         2 threads\n",
           b.c[0].k->name, b.limits.int8_gops, b.limits.f32_gops, b.limits.read_gbs[0],
           b.limits.read_gbs[1]);
    for (enum dtype type = MK_F32; type <= MK_IQ4_XS; type++)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            if (only == MK_N_DTYPES || only == type)
                measure(&b, type, shapes[s].k, shapes[s].n);
    for (int t = 0; t < 2; t++)
        compute_release(&b.c[t]);
    free(b.file);
    free(b.x);
    free(b.out);
    return 0;
}
