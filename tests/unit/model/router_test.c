/* router_test.c: the three routers choose and weigh as DeepSeek's reports say, worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/router.h"

static float logit(float p)
{
    return logf(p / (1 - p));
}

static void route(const struct arch *a, const float *logits, const float *bias, int32_t *index,
                  float *weight)
{
    float scratch[2 * 16];

    router_for(a)(a, logits, bias, scratch, index, weight);
}

static void assert_near(float got, float want)
{
    assert_true(fabsf(got - want) <= 2e-6f);
}

/* V2-Lite: probabilities themselves, no normalisation: they need not sum to one. */
static void softmax_keeps_the_probabilities_of_the_best(void **state)
{
    const struct arch a = {.n_experts = 4,
                           .n_experts_used = 2,
                           .router = ARCH_ROUTER_SOFTMAX,
                           .routed_scaling_factor = 1};
    const float logits[4] = {logf(1), logf(4), logf(2), logf(3)};
    int32_t index[2];
    float weight[2];

    (void)state;
    route(&a, logits, NULL, index, weight);
    assert_int_equal(index[0], 1);
    assert_int_equal(index[1], 3);
    assert_near(weight[0], 0.4f);
    assert_near(weight[1], 0.3f);
}

/* V2: a group is as good as its best expert; weights are scaled by 16 and not normalised. */
static void group_max_never_picks_outside_the_kept_groups(void **state)
{
    const struct arch a = {.n_experts = 8,
                           .n_experts_used = 3,
                           .n_group = 4,
                           .topk_group = 2,
                           .router = ARCH_ROUTER_GROUP_MAX,
                           .routed_scaling_factor = 16};
    /* Shares of 100: groups {1, 30} {20, 19} {18, 2} {25 - 17 = 8, 2}: kept are the first two. */
    const float p[8] = {1, 30, 20, 19, 18, 2, 8, 2};
    float logits[8], weight[3];
    int32_t index[3];

    (void)state;
    for (int i = 0; i < 8; i++)
        logits[i] = logf(p[i]);
    route(&a, logits, NULL, index, weight);
    assert_int_equal(index[0], 1);
    assert_int_equal(index[1], 2);
    assert_int_equal(index[2], 3);
    assert_near(weight[0], 16 * 0.30f);
    assert_near(weight[2], 16 * 0.19f);
}

/* V3: 8 experts in 4 groups, 2 groups kept, 2 experts chosen. Expert 6 scores highest but the two
 * best of its group together are not among the best two groups, so it must lose (V3 report,
 * section 2.1.2). */
static void noaux_judges_a_group_by_its_two_best(void **state)
{
    const struct arch a = {.n_experts = 8,
                           .n_experts_used = 2,
                           .n_group = 4,
                           .topk_group = 2,
                           .router = ARCH_ROUTER_NOAUX,
                           .norm_topk_prob = true,
                           .routed_scaling_factor = 2.5f};
    const float s[8] = {.6f, .5f, .1f, .2f, .55f, .58f, .9f, .05f};
    float logits[8], weight[2];
    int32_t index[2];

    (void)state;
    for (int i = 0; i < 8; i++)
        logits[i] = logit(s[i]);
    route(&a, logits, NULL, index, weight);
    assert_int_equal(index[0], 0);
    assert_int_equal(index[1], 5);
    assert_near(weight[0], 2.5f * .6f / 1.18f);
    assert_near(weight[0] + weight[1], 2.5f);
}

static void the_bias_chooses_but_does_not_weigh(void **state)
{
    const struct arch a = {.n_experts = 4,
                           .n_experts_used = 2,
                           .n_group = 1,
                           .topk_group = 1,
                           .router = ARCH_ROUTER_NOAUX,
                           .norm_topk_prob = true,
                           .routed_scaling_factor = 1};
    const float s[4] = {.5f, .4f, .3f, .2f}, bias[4] = {0, 0, 0, .5f};
    float logits[4], weight[2];
    int32_t index[2];

    (void)state;
    for (int i = 0; i < 4; i++)
        logits[i] = logit(s[i]);
    route(&a, logits, bias, index, weight);
    assert_int_equal(index[0], 3);
    assert_int_equal(index[1], 0);
    assert_near(weight[0], .2f / .7f);
}

static void ties_go_to_the_lower_expert(void **state)
{
    const float score[6] = {1, 3, 3, 2, 3, 1};
    int32_t index[4];

    (void)state;
    router_top(score, 6, index, 4);
    assert_int_equal(index[0], 1);
    assert_int_equal(index[1], 2);
    assert_int_equal(index[2], 4);
    assert_int_equal(index[3], 3);
}

/* A damaged file may give NaN everywhere: the indices must still be experts. */
static void nan_scores_still_name_experts(void **state)
{
    const float score[5] = {NAN, NAN, NAN, NAN, NAN};
    int32_t index[3] = {-1, -1, -1};

    (void)state;
    router_top(score, 5, index, 3);
    for (int i = 0; i < 3; i++)
        assert_in_range(index[i], 0, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_keeps_the_probabilities_of_the_best),
        cmocka_unit_test(group_max_never_picks_outside_the_kept_groups),
        cmocka_unit_test(noaux_judges_a_group_by_its_two_best),
        cmocka_unit_test(the_bias_chooses_but_does_not_weigh),
        cmocka_unit_test(ties_go_to_the_lower_expert),
        cmocka_unit_test(nan_scores_still_name_experts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
