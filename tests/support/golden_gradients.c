/* golden_gradients.c: a file keeps of each gradient its norm and eight sums with random signs. */
#include "support/golden_gradients.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define BOUND 1e-4 /* of a tensor's own norm; PyTorch and minke are 5e-6 apart at most */

/* The signs of gradients.py. */
static double sign(uint64_t i, uint64_t k)
{
    uint64_t x = (i * 8 + k) * 0x9E3779B97F4A7C15u;

    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 32;
    return x & 1 ? -1 : 1;
}

/* Root mean square of the eight differences: about the norm of the whole difference. */
static double distance(const struct param *q, const double *want)
{
    double sum = 0;

    for (uint64_t k = 0; k < 8; k++) {
        double got = 0;

        for (int64_t i = 0; i < q->n; i++)
            got += sign((uint64_t)i, k) * (double)q->grad[i];
        sum += (got - want[k]) * (got - want[k]);
    }
    return sqrt(sum / 8);
}

void golden_gradients_each(FILE *in, const struct params *p, golden_gradient_fn *each, void *user,
                           const char *path)
{
    char name[256];
    double norm, sums[8];
    int64_t n = 0, n_trained = 0;

    while (fscanf(in, "%255s %lf", name, &norm) == 2) {
        const struct param *q = params_find(p, name);

        for (int k = 0; k < 8; k++)
            assert_int_equal(fscanf(in, "%lf", &sums[k]), 1);
        if (!q || !q->grad)
            fail_msg("%s: %s has no gradient here", path, name);
        each(user, q, norm > 0 ? distance(q, sums) / norm : distance(q, sums) > 0 ? INFINITY : 0);
        n++;
    }
    for (int64_t i = 0; i < p->n_items; i++)
        n_trained += p->items[i].grad != NULL;
    assert_int_equal(n, n_trained);
}

struct bound {
    double most;
    const char *path;
};

static void check_bound(void *user, const struct param *q, double away)
{
    const struct bound *b = user;

    if (!(away <= b->most))
        fail_msg("%s: the gradient of %s is %.1e of its norm away", b->path, q->name, away);
}

void golden_gradients_read(FILE *in, const struct params *p, double bound, const char *path)
{
    golden_gradients_each(in, p, check_bound, &(struct bound){bound, path}, path);
}

void golden_gradients_check(const struct params *p, const char *path, double loss)
{
    FILE *in = fopen(path, "r");
    double want;

    assert_non_null(in);
    assert_int_equal(fscanf(in, "loss %lf", &want), 1);
    if (fabs(loss - want) > 1e-5 * want)
        fail_msg("%s: loss is %.8g, PyTorch has %.8g", path, loss, want);
    golden_gradients_read(in, p, BOUND, path);
    fclose(in);
}
