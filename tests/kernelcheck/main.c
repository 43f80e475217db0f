/* main.c: kernelcheck runs every operation in every variant that runs here, and prints TAP.
 *
 *   kernelcheck [--short] [--seed N] [--op NAME] [--variant NAME] [--plant]
 *   kernelcheck --bench [--threads N] [--op NAME] [--variant NAME]
 *
 * --plant checks a variant that is wrong in every operation: each must be reported. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernelcheck/check.h"

struct options {
    bool is_short, bench, plant;
    uint64_t seed;
    int n_threads;
    const char *op, *variant;
};

static const struct check_op *const families[] = {matmul_checks, vector_checks, attention_checks,
                                                  backward_checks};
#define N_FAMILIES ((int)(sizeof families / sizeof *families))

static int usage(void)
{
    fprintf(stderr,
            "usage: kernelcheck [--short] [--seed N] [--op NAME] [--variant NAME] [--plant]\n"
            "       kernelcheck --bench [--threads N] [--op NAME] [--variant NAME]\n");
    return 2;
}

static bool read_number(const char *s, uint64_t *n)
{
    char *end;

    errno = 0;
    *n = strtoull(s, &end, 10);
    return *s >= '0' && *s <= '9' && *end == 0 && errno == 0;
}

static bool read_options(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        uint64_t n;

        if (!strcmp(a, "--short")) {
            o->is_short = true;
        } else if (!strcmp(a, "--bench")) {
            o->bench = true;
        } else if (!strcmp(a, "--plant")) {
            o->plant = true;
        } else if (!strcmp(a, "--seed") && read_number(value, &o->seed)) {
            i++;
        } else if (!strcmp(a, "--threads") && read_number(value, &n) && n >= 1 && n <= 256) {
            o->n_threads = (int)n;
            i++;
        } else if (!strcmp(a, "--op") && *value) {
            o->op = value;
            i++;
        } else if (!strcmp(a, "--variant") && *value) {
            o->variant = value;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

static bool wanted(const char *only, const char *name)
{
    return !only || !strcmp(only, name);
}

/* Runs the checks of one variant and counts them in *n_tests; returns how many failed. */
static int check_variant(const struct options *o, const struct check_variant *v, int *n_tests)
{
    int n_failed = 0;

    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct check_op *op = families[f]; op->name; op++) {
            int n = o->is_short || v->is_slow ? op->n_short : op->n_full;
            bool good;

            if (!wanted(o->op, op->name))
                continue;
            good = check_run(op, v, o->seed, n);
            printf("%sok %d - %s %s, %d cases\n", good ? "" : "not ", ++*n_tests, op->name, v->name,
                   n);
            fflush(stdout);
            n_failed += !good;
        }
    return n_failed;
}

static void bench_variant(const struct options *o, const struct check_variant *v)
{
    struct compute c;
    struct bench b = {.variant = v ? v->name : "ref"};

    check_compute_init(&c, v, o->n_threads);
    bench_init(&b, &c);
    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct check_op *op = families[f]; op->name; op++)
            if (op->bench && wanted(o->op, op->name)) {
                b.op = op->name;
                op->bench(&b, &c);
            }
    compute_release(&c);
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1};
    struct cpu_features f;
    int n_tests = 0, n_failed = 0;

    if (!read_options(&o, argc, argv))
        return usage();
    cpu_features_read(&f);
    if (o.plant) {
        n_failed = check_variant(&o, &planted_variant, &n_tests);
    } else {
        for (const struct check_variant *v = check_variants; v->name; v++) {
            if (!wanted(o.variant, v->name) || !v->runs_on(&f))
                continue;
            if (!o.bench)
                n_failed += check_variant(&o, v, &n_tests);
            else if (!v->is_slow)
                bench_variant(&o, v);
        }
    }
    if (o.bench)
        return 0;
    printf("1..%d\n# seed %llu\n", n_tests, (unsigned long long)o.seed);
    return n_failed || !n_tests ? 1 : 0;
}
