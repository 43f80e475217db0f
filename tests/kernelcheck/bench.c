/* bench.c: times, beside what the machine can do at best: its FMAs from registers, its memory read
 * in order. Both are measured in the same minute, since shared machines change. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "kernelcheck/check.h"
#include "kernelcheck/peak.h"

#define MEMORY_BYTES ((int64_t)256 << 20)
#define PEAK_ROUNDS 2000000

struct memory {
    const uint64_t *words;
    int64_t n_words, n_tasks;
    uint64_t sums[MK_MAX_THREADS];
};

static void read_task(void *context, int64_t task, int worker)
{
    struct memory *m = context;
    const uint64_t *p = m->words + m->n_words / m->n_tasks * task;
    uint64_t sum[8] = {0};

    for (int64_t i = 0; i + 8 <= m->n_words / m->n_tasks; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += p[i + j];
    for (int j = 0; j < 8; j++)
        m->sums[worker] += sum[j]; /* kept, so that the reading is not optimised away */
}

static void peak_task(void *context, int64_t task, int worker)
{
    double *flops = context;
    double done = peak_fma(PEAK_ROUNDS);

    (void)worker;
    if (task == 0)
        *flops = done;
}

void bench_init(struct bench *b, struct compute *c)
{
    struct memory m = {.n_words = MEMORY_BYTES / 8, .n_tasks = 4 * exec_n_threads(c->ex)};
    uint64_t *words = calloc((size_t)m.n_words, 8);
    double flops = 0.0, start, ms;

    b->n_threads = exec_n_threads(c->ex);
    for (int i = 0; i < 3; i++) {
        start = clock_ms();
        exec_run(c->ex, b->n_threads, peak_task, &flops);
        ms = clock_ms() - start;
        if (flops * b->n_threads / ms * 1e3 > b->peak_flops)
            b->peak_flops = flops * b->n_threads / ms * 1e3;
    }
    for (int64_t i = 0; words && i < m.n_words; i++)
        words[i] = (uint64_t)i;
    m.words = words;
    for (int i = 0; words && i < 5; i++) {
        start = clock_ms();
        exec_run(c->ex, m.n_tasks, read_task, &m);
        ms = clock_ms() - start;
        if ((double)MEMORY_BYTES / ms * 1e3 > b->peak_bytes)
            b->peak_bytes = (double)MEMORY_BYTES / ms * 1e3;
    }
    free(words);
    printf("%s, %d threads: %.0f GFLOP/s of f32 FMA, %.1f GB/s from memory (check %llu)\n",
           b->variant, b->n_threads, b->peak_flops / 1e9, b->peak_bytes / 1e9,
           (unsigned long long)(m.sums[0] & 1));
}

double bench_seconds(void (*fn)(void *context), void *context)
{
    double best = 1e30, start = clock_ms(), once;
    int n;

    fn(context);
    once = clock_ms() - start;
    n = once > 20.0 ? 1 : (int)(20.0 / (once + 1e-3)) + 1;
    for (int batch = 0; batch < 12; batch++) {
        start = clock_ms();
        for (int i = 0; i < n; i++)
            fn(context);
        once = (clock_ms() - start) / n;
        best = once < best ? once : best;
    }
    return best * 1e-3;
}

void bench_report(const struct bench *b, const char *shape, double seconds, double flops,
                  double bytes)
{
    printf("%-12s %-36s %9.1f us", b->op, shape, seconds * 1e6);
    if (flops > 0.0)
        printf("  %6.1f GFLOP/s", flops / seconds * 1e-9);
    if (flops > 0.0 && b->peak_flops > 0.0)
        printf(" (%3.0f %%)", 100.0 * flops / seconds / b->peak_flops);
    if (bytes > 0.0)
        printf("  %6.1f GB/s (%3.0f %%)", bytes / seconds * 1e-9,
               100.0 * bytes / seconds / b->peak_bytes);
    printf("\n");
    fflush(stdout);
}
