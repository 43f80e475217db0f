/* objective_test.c: every loss against PyTorch's autograd (tests/golden/rl/objective.txt), and what
 * can be worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rl/objective.h"

#define MAX 8

static const char *const kinds[] = {"grpo", "dr_grpo", "dapo", "gspo", "cispo"};
static const char *const norms[] = {"sequence", "token", "constant"};

static int index_of(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return i;
    fail_msg("no such name: %s", name);
    return -1;
}

static void read_floats(FILE *f, float *x, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(fscanf(f, "%f", &x[i]), 1);
}

struct golden {
    float logp[MAX], old[MAX], sampled[MAX], ref[MAX], gradient[MAX];
    bool counts[MAX];
    int n;
    double reward, advantage, loss;
};

static void read_answer(FILE *f, struct golden *g)
{
    assert_int_equal(fscanf(f, "%d %lf %lf %lf", &g->n, &g->reward, &g->advantage, &g->loss), 4);
    assert_in_range(g->n, 1, MAX);
    read_floats(f, g->logp, g->n);
    read_floats(f, g->old, g->n);
    read_floats(f, g->sampled, g->n);
    read_floats(f, g->ref, g->n);
    for (int i = 0; i < g->n; i++) {
        int counts;

        assert_int_equal(fscanf(f, "%d", &counts), 1);
        g->counts[i] = counts;
    }
    read_floats(f, g->gradient, g->n);
}

static void assert_near(double got, double want, const char *what, int n_case)
{
    if (fabs(got - want) > 1e-5 * fabs(want) + 1e-9)
        fail_msg("case %d: %s is %.9g, PyTorch says %.9g", n_case, what, got, want);
}

static void check_answer(const struct objective *o, const struct objective_scope *s,
                         const struct golden *g, int n_case)
{
    struct objective_answer a = {.n = g->n,
                                 .advantage = g->advantage,
                                 .logp = g->logp,
                                 .old = g->old,
                                 .sampled = g->sampled,
                                 .ref = g->ref,
                                 .counts = g->counts};
    float gradient[MAX];
    struct objective_sums sums = objective_gradient(o, s, &a, gradient);

    assert_near(sums.loss, g->loss, "the loss", n_case);
    for (int i = 0; i < g->n; i++)
        assert_near((double)gradient[i], (double)g->gradient[i], "a gradient", n_case);
}

/* One case; false at the end of the file. */
static bool check_case(FILE *f, int n_case)
{
    char kind[16], norm[16], kl[16];
    struct objective o = {0};
    struct objective_scope s;
    struct golden answers[MAX];
    double rewards[MAX], advantages[MAX];
    int std;

    if (fscanf(f, "%15s %15s %d %lf %lf %lf %lf %15s %lf %lf %d %ld", kind, norm, &std, &o.constant,
               &o.clip_low, &o.clip_high, &o.beta, kl, &o.importance_cap, &o.mask_delta,
               &s.n_answers, &s.n_tokens) != 12)
        return false;
    o.kind = (enum objective_kind)index_of(kinds, 5, kind);
    o.norm = (enum objective_norm)index_of(norms, 3, norm);
    o.kl = strcmp(kl, "k3") ? OBJECTIVE_KL_UNBIASED : OBJECTIVE_KL_K3;
    o.divide_by_std = std;
    assert_in_range(s.n_answers, 1, MAX);
    for (int i = 0; i < s.n_answers; i++) {
        read_answer(f, &answers[i]);
        rewards[i] = answers[i].reward;
    }
    objective_advantages(rewards, s.n_answers, std, advantages);
    for (int i = 0; i < s.n_answers; i++) {
        assert_near(advantages[i], answers[i].advantage, "an advantage", n_case);
        check_answer(&o, &s, &answers[i], n_case);
    }
    return true;
}

static void losses_and_gradients_are_those_of_pytorch(void **state)
{
    FILE *f = fopen("tests/golden/rl/objective.txt", "r");
    char line[256];
    int n = 0;

    (void)state;
    assert_non_null(f);
    for (int i = 0; i < 2; i++)
        assert_non_null(fgets(line, sizeof line, f));
    while (check_case(f, n))
        n++;
    assert_true(feof(f));
    assert_int_equal(n, 61);
    fclose(f);
}

/* DeepSeekMath: rewards 1 and 0 give +1 and -1 with the population's deviation. */
static void two_answers_have_advantages_of_one(void **state)
{
    double reward[] = {1, 0}, a[2];

    (void)state;
    objective_advantages(reward, 2, true, a);
    assert_true(fabs(a[0] - 1) < 1e-5 && fabs(a[1] + 1) < 1e-5);
    objective_advantages(reward, 2, false, a);
    assert_true(a[0] == 0.5 && a[1] == -0.5);
}

static void equal_rewards_teach_nothing(void **state)
{
    double equal[] = {1, 1, 1}, one[] = {0, 0, 1}, many[16], none[16], a[3];

    (void)state;
    assert_false(objective_is_live(equal, 3));
    assert_true(objective_is_live(one, 3));
    objective_advantages(equal, 3, true, a);
    assert_true(a[0] == 0 && a[1] == 0 && a[2] == 0);
    for (int i = 0; i < 16; i++)
        many[i] = 0.05; /* the mean of which is not 0.05 */
    objective_advantages(many, 16, true, none);
    for (int i = 0; i < 16; i++)
        assert_true(none[i] == 0);
}

/* On policy the ratio is exactly 1: no clipping, and the gradient is -A n_it. */
static void on_policy_is_the_plain_policy_gradient(void **state)
{
    float logp[] = {-0.5f, -1.25f, -3.0f}, gradient[3];
    struct objective_answer a = {.n = 3, .advantage = 0.75, .logp = logp, .old = logp};
    struct objective_scope s = {2, 6};

    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct objective o = objective_defaults((enum objective_kind)kind);
        struct objective_sums sums;

        o.norm = OBJECTIVE_NORM_TOKEN;
        sums = objective_gradient(&o, &s, &a, gradient);
        assert_int_equal(sums.n_clipped, 0);
        for (int t = 0; t < 3; t++)
            assert_true(gradient[t] == (float)(-0.75 / 6));
    }
}

static void huge_ratios_stay_numbers(void **state)
{
    float logp[] = {0}, old[] = {-1e30f}, ref[] = {1e30f}, gradient[1];
    struct objective_answer a = {.n = 1, .advantage = -1, .logp = logp, .old = old, .ref = ref};
    struct objective_scope s = {1, 1};
    struct objective o = objective_defaults(OBJECTIVE_GRPO);
    struct objective_sums sums;

    (void)state;
    o.beta = 1;
    o.kl = OBJECTIVE_KL_UNBIASED;
    sums = objective_gradient(&o, &s, &a, gradient);
    assert_true(isfinite(sums.loss) && isfinite(gradient[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(two_answers_have_advantages_of_one),
        cmocka_unit_test(equal_rewards_teach_nothing),
        cmocka_unit_test(on_policy_is_the_plain_policy_gradient),
        cmocka_unit_test(huge_ratios_stay_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
