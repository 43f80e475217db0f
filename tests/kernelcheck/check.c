/* check.c: the harness: draws, guard bands, comparison, the report of the first mismatches. */
#include "kernelcheck/check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

#define GUARD_BYTES 256
#define GUARD_BYTE 0xa5
/* The address sanitizer sees the first byte beyond a buffer, read or written, if nothing of ours
 * lies there. */
#if defined(__SANITIZE_ADDRESS__)
#define GUARD_AFTER 0
#else
#define GUARD_AFTER GUARD_BYTES
#endif
#define MAX_REPORTS 3

static double uniform(struct check *c)
{
    return rng_uniform(c->seed, c->stream, c->draws++);
}

int32_t check_range(struct check *c, int32_t low, int32_t high)
{
    return low + (int32_t)(uniform(c) * ((double)high - low + 1.0));
}

int32_t check_size(struct check *c, int32_t high)
{
    int32_t n;

    switch (check_range(c, 0, 2)) {
    case 0:
        n = check_range(c, 1, 9);
        break;
    case 1:
        n = (1 << check_range(c, 3, 10)) + check_range(c, -1, 1);
        break;
    default:
        n = check_range(c, 1, high);
        break;
    }
    return n > high ? check_range(c, 1, high) : n;
}

static void *out_of_memory(void)
{
    fprintf(stderr, "kernelcheck: memory is out\n");
    exit(2);
}

void *check_take(struct check *c, int64_t bytes, int align)
{
    int64_t shift = align < 64 ? check_range(c, 0, 64 / align - 1) * align : 0;
    struct guarded *g;

    if (c->n_buffers == MAX_BUFFERS)
        return out_of_memory();
    g = &c->buffers[c->n_buffers++];
    g->bytes = bytes;
    g->base = malloc((size_t)(GUARD_BYTES + 64 + shift + bytes + GUARD_AFTER));
    if (!g->base)
        return out_of_memory();
    g->data = g->base + GUARD_BYTES;
    g->data += (64 - (uintptr_t)g->data % 64) % 64 + (uintptr_t)shift;
    memset(g->base, GUARD_BYTE, (size_t)(g->data - g->base));
    memset(g->data, 0xff, (size_t)bytes); /* NaN where a value is forgotten */
    for (int64_t i = 0; i < GUARD_AFTER; i++)
        g->data[bytes + i] = GUARD_BYTE;
    return g->data;
}

float *check_floats(struct check *c, int64_t n)
{
    return check_take(c, n * (int64_t)sizeof(float), sizeof(float));
}

double *check_doubles(struct check *c, int64_t n)
{
    return check_take(c, n * (int64_t)sizeof(double), 64);
}

void check_fill(struct check *c, float *x, int64_t n, float amplitude)
{
    int kind = check_range(c, 0, 5);

    for (int64_t i = 0; i < n; i++) {
        double u = 2.0 * uniform(c) - 1.0;

        if (kind == 2) /* sizes from 1 to 2^-30 */
            u *= ldexp(1.0, -check_range(c, 0, 30));
        else if (kind == 3) /* sums that only grow */
            u = fabs(u);
        else if (kind == 4)
            u = check_range(c, 0, 3) ? copysign(0.0, u) : u;
        else if (kind == 5 && i % 7 == 3) /* subnormal */
            u *= 1e-40;
        x[i] = (float)(u * amplitude);
    }
}

float *check_random(struct check *c, int64_t n, float amplitude)
{
    float *x = check_floats(c, n);

    check_fill(c, x, n, amplitude);
    return x;
}

void check_pair(struct check *c, int64_t n, float amplitude, float **ref, float **got)
{
    *ref = check_random(c, n, amplitude);
    *got = check_floats(c, n);
    memcpy(*got, *ref, (size_t)n * sizeof **ref);
}

void check_describe(struct check *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->shape, sizeof c->shape, format, args);
    va_end(args);
}

static void report(struct check *c, const char *format, ...)
{
    va_list args;

    if (c->case_failed)
        return;
    c->case_failed = true;
    if (c->n_failures++ >= MAX_REPORTS)
        return;
    printf("# %s %s, seed %llu, case %lld (%s): ", c->op, c->variant, (unsigned long long)c->seed,
           (long long)c->n_case, c->shape);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

void check_same(struct check *c, const char *what, const void *got, const void *want, int64_t bytes)
{
    const unsigned char *g = got, *w = want;

    for (int64_t i = 0; i < bytes; i++)
        if (g[i] != w[i]) {
            report(c, "%s: byte %lld of %lld is %02x, expected %02x", what, (long long)i,
                   (long long)bytes, g[i], w[i]);
            return;
        }
}

void check_close(struct check *c, const char *what, const float *got, const float *want,
                 const double *tolerance, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        bool same = isnan(want[i]) ? isnan(got[i]) : got[i] == want[i];

        if (!same && !(fabs((double)got[i] - want[i]) <= tolerance[i])) {
            report(c, "%s[%lld] of %lld is %.9g, expected %.9g within %.3g", what, (long long)i,
                   (long long)n, got[i], want[i], tolerance[i]);
            return;
        }
    }
}

static void check_guards(struct check *c)
{
    for (int i = 0; i < c->n_buffers; i++) {
        const struct guarded *g = &c->buffers[i];
        const unsigned char *end = g->data + g->bytes;

        for (const unsigned char *p = g->base; p < g->data; p++)
            if (*p != GUARD_BYTE)
                report(c, "wrote %lld bytes before buffer %d", (long long)(g->data - p), i);
        for (const unsigned char *p = end; p < end + GUARD_AFTER; p++)
            if (*p != GUARD_BYTE)
                report(c, "wrote %lld bytes behind buffer %d", (long long)(p - end) + 1, i);
    }
}

static void release_buffers(struct check *c)
{
    for (int i = 0; i < c->n_buffers; i++)
        free(c->buffers[i].base);
    c->n_buffers = 0;
}

/* FNV-1a: the same stream of draws for an operation whichever others are run. */
static uint64_t hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

void check_compute_init(struct compute *c, const struct check_variant *v, int n_threads)
{
    struct mk_error err;

    if (compute_init(c, "ref", n_threads, &err)) {
        fprintf(stderr, "kernelcheck: %s\n", err.text);
        exit(2);
    }
    if (v)
        v->fill(c->table);
}

bool check_run(const struct check_op *op, const struct check_variant *v, uint64_t seed, int n)
{
    struct check c = {.op = op->name, .variant = v->name, .seed = seed};
    struct compute ref, one, three;

    check_compute_init(&ref, NULL, 1);
    check_compute_init(&one, v, 1);
    check_compute_init(&three, v, 3);
    c.ref = &ref;
    for (; c.n_case < n; c.n_case++) {
        c.stream = hash(op->name) + (uint64_t)c.n_case;
        c.draws = 0;
        c.case_failed = false;
        c.shape[0] = 0;
        c.got = check_range(&c, 0, 1) ? &three : &one;
        op->one_case(&c);
        check_guards(&c);
        release_buffers(&c);
    }
    compute_release(&ref);
    compute_release(&one);
    compute_release(&three);
    return c.n_failures == 0;
}
