/* train_announce_test.c: a machine that was busy when its speed was measured is measured again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/train_run.h"

static void a_step_faster_than_the_machine_has_it_measured_again(void **state)
{
    static struct train_run run;
    struct mk_error err;
    double first;

    (void)state;
    if (compute_init(&run.compute, NULL, 1, &err))
        fail_msg("%s", err.text);
    run.trainer.o.compute = MK_F32;
    run.token_ops = 10;
    run.peak_ops = 1000; /* of a machine that did hardly anything else */
    assert_int_equal(train_correct_peak(&run, 100, &err), 0);
    assert_true(run.peak_ops == 1000); /* fast, and possible */
    assert_int_equal(train_correct_peak(&run, 101, &err), 0);
    first = run.peak_ops;
    assert_true(first > 1e6);
    run.peak_ops = 1000;
    assert_int_equal(train_correct_peak(&run, 101, &err), 0);
    assert_true(run.peak_ops == 1000); /* not at every step */
    run.peak_ms = 0;
    run.peak_ops = 1e18;
    assert_int_equal(train_correct_peak(&run, 1e30, &err), 0);
    assert_true(run.peak_ops == 1e18); /* the most of all */
    compute_release(&run.compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_faster_than_the_machine_has_it_measured_again)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
