/* router_test.c: the gradient of every router and of the balance losses against central differences
 * of their formulas in double (deepseek.md 3.4, 3.5). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "model/router.h"
#include "train/backward.h"

enum { E = 12, K = 3, DEVICES = 4, SIZE = E / DEVICES, N_SEQS = 2, ROWS = 9 };
static const int32_t lengths[N_SEQS] = {4, 5};

struct fixture {
    struct model model;
    struct params params;
    struct step step;
    struct arena memory;
    struct forward_seq seqs[N_SEQS];
    int64_t first_row[N_SEQS];
    struct balance_options balance;
    float logits[ROWS * E], weight[ROWS * K], dweight[ROWS * K], dlogits[ROWS * E];
    int32_t index[ROWS * K];
};

static float noise(uint32_t *x)
{
    *x = *x * 1664525 + 1013904223;
    return (float)(*x >> 8) / (1 << 23) - 1;
}

/* forced: experts that the router did not choose, as in a replay. */
static void open_fixture(struct fixture *f, enum arch_router router, bool normalised, bool balanced,
                         bool forced)
{
    uint32_t x = 99;
    int64_t row = 0;

    *f = (struct fixture){0};
    arena_init(&f->memory, 1 << 20);
    f->model.arch = (struct arch){.router = router,
                                  .n_experts = E,
                                  .n_experts_used = K,
                                  .n_group = DEVICES,
                                  .topk_group = 2,
                                  .n_layers = 1,
                                  .norm_topk_prob = normalised,
                                  .routed_scaling_factor = 2.5f};
    f->params.arch = f->model.arch;
    for (int i = 0; i < N_SEQS; i++) {
        f->seqs[i].n_ids = lengths[i];
        f->first_row[i] = row;
        row += lengths[i];
    }
    f->step = (struct step){.m = &f->model,
                            .memory = &f->memory,
                            .seqs = f->seqs,
                            .n_seqs = N_SEQS,
                            .n_rows = ROWS,
                            .first_row = f->first_row};
    for (int i = 0; i < ROWS * E; i++)
        f->logits[i] = 2 * noise(&x);
    for (int i = 0; i < ROWS * K; i++)
        f->dweight[i] = noise(&x);
    for (int t = 0; t < ROWS; t++) {
        float scratch[2 * E];

        router_for(&f->model.arch)(&f->model.arch, f->logits + t * E, NULL, scratch,
                                   f->index + t * K, f->weight + t * K);
        for (int j = 0; forced && j < K; j++)
            f->index[t * K + j] = (t + 5 * j) % E;
    }
    if (balanced)
        f->balance = (struct balance_options){.sequence = 0.5,
                                              .expert = 0.3,
                                              .device = 0.7,
                                              .transfer = 0.2,
                                              .n_devices = DEVICES,
                                              .token_scale = 1.0 / ROWS};
}

/* ---- The formulas --------------------------------------------------------------------------- */

static void scores(const struct arch *a, const double *logits, double *s)
{
    double sum = 0;

    for (int e = 0; e < E; e++)
        sum += exp(logits[e]);
    for (int e = 0; e < E; e++)
        s[e] = a->router == ARCH_ROUTER_NOAUX ? 1 / (1 + exp(-logits[e])) : exp(logits[e]) / sum;
}

/* Sum of dweight times the weights of the chosen experts. */
static double weighted(const struct fixture *f, int t, const double *s)
{
    const struct arch *a = &f->model.arch;
    double sum = 0, out = 0, factor = a->routed_scaling_factor;

    for (int j = 0; j < K; j++)
        sum += s[f->index[t * K + j]];
    if (a->norm_topk_prob && a->router != ARCH_ROUTER_NOAUX)
        factor = 1;
    for (int j = 0; j < K; j++)
        out += (double)f->dweight[t * K + j] * s[f->index[t * K + j]] * factor /
               (a->norm_topk_prob ? sum : 1);
    return out;
}

/* How often each expert is among the chosen, or among the K best scores of the unchanged logits. */
static void counts(const struct fixture *f, int first, int n, bool best, double *out)
{
    for (int e = 0; e < E; e++)
        out[e] = 0;
    for (int t = first; t < first + n; t++)
        for (int e = 0; e < E; e++) {
            int better = 0;

            for (int i = 0; i < E; i++)
                better += f->logits[t * E + i] > f->logits[t * E + e];
            for (int j = 0; j < K && !best; j++)
                out[e] += f->index[t * K + j] == e;
            out[e] += best && better < K;
        }
}

/* Tokens that have an expert on the device. */
static double sent(const struct fixture *f, int first, int n, int device)
{
    double out = 0;

    for (int t = first; t < first + n; t++) {
        bool there = false;

        for (int j = 0; j < K; j++)
            there = there || f->index[t * K + j] / SIZE == device;
        out += there;
    }
    return out;
}

/* All four losses of a sequence, with P of these scores [n, E]. */
static double balance(const struct fixture *f, int first, int n, const double *s)
{
    double chosen[E], best[E], mean[E] = {0}, loss = 0, share = (double)E / (K * n);

    counts(f, first, n, false, chosen);
    counts(f, first, n, true, best);
    for (int t = 0; t < n; t++) {
        double sum = 0;

        for (int e = 0; e < E; e++)
            sum += s[t * E + e];
        for (int e = 0; e < E; e++)
            mean[e] += s[t * E + e] / n / (f->model.arch.router == ARCH_ROUTER_NOAUX ? sum : 1);
    }
    for (int e = 0; e < E; e++)
        loss += share * (f->balance.sequence * best[e] + f->balance.expert * chosen[e]) * mean[e];
    for (int d = 0; d < DEVICES; d++) {
        double of = 0, p = 0;

        for (int e = d * SIZE; e < (d + 1) * SIZE; e++) {
            of += share * chosen[e] / SIZE;
            p += mean[e];
        }
        loss += f->balance.device * of * p;
        loss += f->balance.transfer * sent(f, first, n, d) * DEVICES / (2.0 * n) * p;
    }
    return loss;
}

static double objective(const struct fixture *f, const double *logits)
{
    double s[ROWS * E], out = 0;

    for (int t = 0; t < ROWS; t++) {
        scores(&f->model.arch, logits + t * E, s + t * E);
        out += weighted(f, t, s + t * E);
    }
    for (int i = 0; i < N_SEQS; i++)
        out += f->balance.token_scale * lengths[i] *
               balance(f, (int)f->first_row[i], lengths[i], s + f->first_row[i] * E);
    return out;
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void check(enum arch_router router, bool normalised, bool balanced, bool forced)
{
    const double h = 1e-4;
    struct moe_saved saved = {0};
    struct fixture f;
    struct mk_error err;
    double logits[ROWS * E], worst = 0, largest = 0;

    open_fixture(&f, router, normalised, balanced, forced);
    saved.logits = f.logits;
    saved.routing.index = f.index;
    saved.routing.weight = f.weight;
    struct backward b = {.s = &f.step, .p = &f.params, .balance = &f.balance};
    assert_int_equal(router_backward(&b, 0, &saved, f.dweight, f.dlogits, &err), 0);
    for (int i = 0; i < ROWS * E; i++)
        logits[i] = (double)f.logits[i];
    for (int i = 0; i < ROWS * E; i++) {
        double at = logits[i], want;

        logits[i] = at + h;
        want = objective(&f, logits);
        logits[i] = at - h;
        want = (want - objective(&f, logits)) / (2 * h);
        logits[i] = at;
        worst = fmax(worst, fabs(want - (double)f.dlogits[i]));
        largest = fmax(largest, fabs(want));
    }
    if (!(worst <= 2e-6 * largest))
        fail_msg("router %d, normalised %d, balanced %d, forced %d: %.1e of the largest away",
                 router, normalised, balanced, forced, worst / largest);
    arena_release(&f.memory);
}

static void gradients_are_central_differences(void **state)
{
    const enum arch_router routers[] = {ARCH_ROUTER_SOFTMAX, ARCH_ROUTER_GROUP_MAX,
                                        ARCH_ROUTER_NOAUX};

    (void)state;
    for (int r = 0; r < 3; r++)
        for (int normalised = 0; normalised < 2; normalised++)
            for (int balanced = 0; balanced < 2; balanced++)
                check(routers[r], normalised, balanced, false);
}

/* Replayed experts are weighed by this pass's scores, and gradients flow through the weights. */
static void gradients_flow_through_experts_that_are_forced(void **state)
{
    (void)state;
    check(ARCH_ROUTER_NOAUX, true, false, true);
    check(ARCH_ROUTER_SOFTMAX, false, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_central_differences),
        cmocka_unit_test(gradients_flow_through_experts_that_are_forced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
