/* check.h: compares every variant of every operation with the reference, on random shapes and
 * values.
 *
 * An operation's check runs one case at a time: it draws a shape, takes guarded and misaligned
 * memory, runs the reference and the variant, and compares within a tolerance that grows with the
 * size of the terms. Everything is drawn from (seed, operation, case), so that
 * `kernelcheck --seed S --op NAME` repeats a failure exactly. */
#ifndef MK_KERNELCHECK_CHECK_H
#define MK_KERNELCHECK_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu/cpu_features.h"
#include "kernels/kernels.h"

#define MAX_BUFFERS 64 /* of one case */

struct guarded {
    unsigned char *base, *data;
    int64_t bytes;
};

struct check {
    const char *op, *variant;
    struct compute *ref, *got; /* -> the reference, and the variant with some number of threads */
    uint64_t seed, stream, draws;
    int64_t n_case, n_failures;
    bool case_failed;
    char shape[160]; /* of the current case, for the report */
    struct guarded buffers[MAX_BUFFERS];
    int n_buffers;
};

/* ---- Inside a case --------------------------------------------------------------------------- */

int32_t check_range(struct check *c, int32_t low, int32_t high); /* both ends included */
/* A size that is often small, often at the edge of a power of two. 1 .. high. */
int32_t check_size(struct check *c, int32_t high);
/* Uninitialised memory between guard bands, `align` aligned and (below 64) no better aligned. */
void *check_take(struct check *c, int64_t bytes, int align);
float *check_floats(struct check *c, int64_t n);
/* Values up to +-amplitude: mild, of very different sizes, all of one sign, sparse, or tiny. */
void check_fill(struct check *c, float *x, int64_t n, float amplitude);
/* n floats, filled. */
float *check_random(struct check *c, int64_t n, float amplitude);
void check_describe(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Two copies of the same random values: operations in place, and outputs with strides. */
void check_pair(struct check *c, int64_t n, float amplitude, float **ref, float **got);

/* The same bytes. */
void check_same(struct check *c, const char *what, const void *got, const void *want,
                int64_t bytes);
/* |got[i] - want[i]| <= tolerance[i]; NaN equals NaN, infinities must be equal. */
void check_close(struct check *c, const char *what, const float *got, const float *want,
                 const double *tolerance, int64_t n);
double *check_doubles(struct check *c, int64_t n);

/* ---- Operations and variants ----------------------------------------------------------------- */

struct bench;
struct check_op {
    const char *name;
    void (*one_case)(struct check *c);
    int n_short, n_full;                               /* cases */
    void (*bench)(struct bench *b, struct compute *c); /* or NULL */
};
/* Each ends with an entry whose name is NULL. */
extern const struct check_op matmul_checks[];
extern const struct check_op vector_checks[];
extern const struct check_op attention_checks[];
extern const struct check_op backward_checks[];

struct check_variant {
    const char *name;
    bool (*runs_on)(const struct cpu_features *f);
    void (*fill)(struct kernels *k); /* over the reference */
    bool is_slow;                    /* emulated: fewer cases, no benchmark */
};
extern const struct check_variant check_variants[]; /* ends with a NULL name */
extern const struct check_variant planted_variant;  /* wrong in every operation */

/* Runs n cases; false when one failed. The first failures are printed as TAP comments. */
bool check_run(const struct check_op *op, const struct check_variant *v, uint64_t seed, int n);
/* A compute with the variant's table. */
void check_compute_init(struct compute *c, const struct check_variant *v, int n_threads);

/* ---- Benchmarks (bench.c) -------------------------------------------------------------------- */

struct bench {
    const char *op, *variant;
    int n_threads;
    double peak_flops, peak_bytes; /* a second, measured */
};
void bench_init(struct bench *b, struct compute *c);
/* Calls fn(context) for a while; seconds a call, the best of some batches. */
double bench_seconds(void (*fn)(void *context), void *context);
/* One line: time, GFLOP/s and GB/s, each beside the machine's. flops or bytes may be 0. */
void bench_report(const struct bench *b, const char *shape, double seconds, double flops,
                  double bytes);

#endif
