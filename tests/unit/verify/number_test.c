/* number_test.c: exact arithmetic of any size, and floating point that knows its error. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verify/number.h"

static struct number read(const char *s)
{
    return number_read(s, strlen(s));
}

static struct number whole(int64_t n)
{
    return number_whole(n);
}

static void digits_are_read_exactly(void **state)
{
    (void)state;
    assert_true(number_equal(read("12"), whole(12)));
    assert_true(number_equal(read("1,234"), whole(1234)));
    assert_true(number_equal(read("2.50"), number_divide(whole(5), whole(2))));
    assert_true(number_equal(read(".5e3"), whole(500)));
    assert_true(number_equal(read("5E-1"), number_divide(whole(1), whole(2))));
    assert_false(number_equal(read("0.1"), read("0.10000000000000000000000000000001")));
    assert_false(number_equal(read("1e30"), read("1000000000000000000000000000001")));
}

/* What a residue alone would confuse: the primes and their product are not 0. */
static void no_number_is_lost_in_its_residues(void **state)
{
    (void)state;
    assert_false(number_equal(read("2305843009213693921"), whole(0)));
    assert_false(number_is_zero(read("2305843009213693921")));
    assert_false(number_equal(read("4611684918915760121"), whole(0)));
    assert_false(number_equal(
        number_multiply(read("2305843009213693921"), read("4611684918915760121")), whole(1)));
    assert_true(number_equal(whole(INT64_MIN), number_negate(read("9223372036854775808"))));
}

static void quotients_are_exact(void **state)
{
    struct number third = number_divide(whole(1), whole(3)), sum = whole(0);

    (void)state;
    for (int i = 0; i < 3; i++)
        sum = number_add(sum, third);
    assert_true(sum.exact && number_equal(sum, whole(1)));
    assert_false(number_divide(whole(1), whole(0)).ok);
    assert_false(number_equal(number_none(), number_none()));
}

static void powers_of_any_size_differ(void **state)
{
    struct number a = number_power(whole(10), whole(1000000)),
                  b = number_power(whole(10), whole(1000001)), c;

    (void)state;
    assert_true(a.ok && a.exact && number_equal(a, a));
    assert_false(number_equal(a, b));
    assert_true(number_equal(number_multiply(a, whole(10)), b));
    c = number_divide(whole(1), a);
    assert_true(c.ok && !number_is_zero(c) && number_equal(number_multiply(c, a), whole(1)));
    assert_false(number_power(whole(0), whole(0)).ok);
    assert_false(number_power(whole(0), whole(-1)).ok);
    assert_false(number_power(a, number_root(whole(2), 2)).ok);
}

static void i_is_a_root_of_minus_one(void **state)
{
    struct number i = number_i(), one_i = number_add(whole(1), number_i());

    (void)state;
    assert_true(number_equal(number_multiply(i, i), whole(-1)));
    assert_true(number_equal(number_power(one_i, whole(4)), whole(-4)));
    assert_true(number_equal(number_root(whole(-1), 2), i));
    assert_false(number_equal(i, number_negate(i)));
    assert_int_equal(number_sign(i), 2);
}

static void roots_are_right_within_their_error(void **state)
{
    struct number two = number_root(whole(2), 2), three = number_root(whole(3), 2);

    (void)state;
    assert_true(number_root(whole(16), 2).exact);
    assert_true(number_equal(number_root(whole(-8), 3), whole(-2)));
    assert_true(number_equal(number_multiply(two, three), number_root(whole(6), 2)));
    assert_false(number_equal(two, three));
    assert_true(two.error < 1e-15L && two.error > 0);
    /* 0 is within the error of a difference of equals, and of no other. */
    assert_true(number_equal(number_subtract(number_multiply(two, three), number_root(whole(6), 2)),
                             whole(0)));
    assert_false(number_equal(number_subtract(two, read("1.4142135623")), whole(0)));
    assert_false(
        number_equal(number_multiply(two, read("1e-20")), number_multiply(three, read("1e-20"))));
    assert_false(number_root(whole(2), 65).ok);
}

static void functions_know_their_poles(void **state)
{
    struct number half_pi = number_divide(number_pi(), whole(2));

    (void)state;
    assert_true(number_equal(number_apply(NUMBER_SIN, half_pi), whole(1)));
    assert_false(number_apply(NUMBER_TAN, half_pi).ok);
    assert_false(number_apply(NUMBER_LN, whole(0)).ok);
    assert_true(number_equal(number_apply(NUMBER_LN, number_e()), whole(1)));
    assert_true(number_equal(number_apply(NUMBER_ASIN, whole(1)), half_pi));
    assert_false(number_apply(NUMBER_EXP, read("1e9")).ok);
    assert_false(number_apply(NUMBER_SIN, number_power(whole(10), whole(100000))).ok);
}

static void whole_numbers_are_told_from_near_ones(void **state)
{
    int64_t n;

    (void)state;
    assert_true(number_is_whole(number_divide(whole(12), whole(4)), &n) && n == 3);
    assert_false(number_is_whole(read("3.0000000000000000000001"), &n));
    assert_false(number_is_whole(number_pi(), &n));
    assert_true(number_is_whole(whole(-(1ll << 60)), &n) && n == -(1ll << 60));
    assert_int_equal(number_sign(whole(-3)), -1);
    assert_int_equal(number_sign(number_power(whole(-10), whole(99999))), -1);
    assert_true(number_equal(number_factorial(whole(5)), whole(120)));
    assert_false(number_factorial(whole(-1)).ok);
    assert_false(number_factorial(read("0.5")).ok);
    assert_true(number_equal(number_absolute(whole(-7)), whole(7)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_are_read_exactly),
        cmocka_unit_test(no_number_is_lost_in_its_residues),
        cmocka_unit_test(quotients_are_exact),
        cmocka_unit_test(powers_of_any_size_differ),
        cmocka_unit_test(i_is_a_root_of_minus_one),
        cmocka_unit_test(roots_are_right_within_their_error),
        cmocka_unit_test(functions_know_their_poles),
        cmocka_unit_test(whole_numbers_are_told_from_near_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
