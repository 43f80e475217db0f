/* capacity_test.c: a device has room for so many choices; those with the lowest scores go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "model/capacity.h"

enum { N_ROWS = 4, N_EXPERTS = 4, USED = 2 };

/* Experts 0 and 1 are on the first device, 2 and 3 on the second. Of eight choices six are on the
 * first one, which has room for four: tokens 1 and 3 scored lowest there. */
static const int32_t chosen[N_ROWS * USED] = {0, 1, 0, 2, 1, 0, 3, 1};
static const float logits[N_ROWS * N_EXPERTS] = {
    2, 1, -9, -9, 0.25, -9, 1, -9, 1, 2, -9, -9, -9, 0.5f, -9, 3};

static struct arch sigmoid_arch(void)
{
    return (struct arch){
        .n_experts = N_EXPERTS, .n_experts_used = USED, .router = ARCH_ROUTER_NOAUX};
}

static void drop(const struct capacity *c, const float *scores, int64_t n_rows, float *weight,
                 bool *dropped)
{
    struct arch a = sigmoid_arch();
    struct arena memory;
    struct mk_error err;

    arena_init(&memory, 1 << 20);
    for (int64_t i = 0; i < n_rows * USED; i++)
        weight[i] = (float)(i + 1);
    if (capacity_drop(c, &a, scores, n_rows, chosen, weight, dropped, &memory, &err))
        fail_msg("%s", err.text);
    arena_release(&memory);
}

static void the_lowest_scores_of_a_full_device_go(void **state)
{
    const struct capacity c = {1, 2};
    const bool want[N_ROWS * USED] = {false, false, true, false, false, false, false, true};
    float weight[N_ROWS * USED];
    bool dropped[N_ROWS * USED];

    (void)state;
    drop(&c, logits, N_ROWS, weight, dropped);
    assert_memory_equal(dropped, want, sizeof want);
    for (int i = 0; i < N_ROWS * USED; i++) /* the weights of the others stay as they are */
        assert_true(weight[i] == (want[i] ? 0 : (float)(i + 1)));
}

static void a_capacity_of_one_and_a_half_loads_holds_them_all(void **state)
{
    const struct capacity c = {1.5, 2};
    float weight[N_ROWS * USED];
    bool dropped[N_ROWS * USED];

    (void)state;
    drop(&c, logits, N_ROWS, weight, dropped);
    for (int i = 0; i < N_ROWS * USED; i++)
        assert_false(dropped[i]);
}

static void equal_scores_keep_the_earlier_token_and_room_is_rounded_up(void **state)
{
    const struct capacity c = {0.8, 2}; /* three tokens: 6 choices, 2.4 a device: room for 3 */
    const float even[3 * N_EXPERTS] = {0};
    const bool want[3 * USED] = {false, false, false, false, true, true};
    float weight[3 * USED];
    bool dropped[3 * USED];

    (void)state;
    drop(&c, even, 3, weight, dropped);
    assert_memory_equal(dropped, want, sizeof want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_scores_of_a_full_device_go),
        cmocka_unit_test(a_capacity_of_one_and_a_half_loads_holds_them_all),
        cmocka_unit_test(equal_scores_keep_the_earlier_token_and_room_is_rounded_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
