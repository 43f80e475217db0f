/* number.h: a number as the math checker knows it: exact where it can be, else with a bound of its
 * error.
 *
 * A rational number (or a Gaussian one, a + bi) of any size is kept as its residues modulo two
 * primes of 61 and 62 bits, beside a floating-point value. Sums, products, quotients and whole
 * powers of residues are exact and take the same time for 3 and for 10^1000000: two numbers are
 * held equal when both residues agree and the floating-point values do not contradict, which
 * different numbers do by chance once in 2^123. Both primes are 1 modulo 4, so that -1 has a square
 * root to stand for i.
 *
 * Roots, pi and functions have no residue. Such a number is a long double with a bound of its
 * rounding error, carried through every operation; two of them are equal when they differ by less
 * than their bounds together. No memory, no errors: what has no value (0/0) has ok = false and is
 * equal to nothing. */
#ifndef MK_VERIFY_NUMBER_H
#define MK_VERIFY_NUMBER_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_PRIMES 2

struct number {
    bool ok, exact;
    uint64_t r[NUMBER_PRIMES]; /* residues, when exact */
    long double complex f;     /* may overflow to infinity when exact */
    long double error;         /* of f, absolute */
};

struct number number_none(void);
struct number number_whole(int64_t n);
/* Digits with at most one point, then perhaps e or E and a whole exponent of at most 9 digits;
 * commas, blanks, backslashes, '!' and braces between them are skipped: the lexer let them pass. */
struct number number_read(const char *s, size_t n);
struct number number_pi(void);
struct number number_e(void);
struct number number_i(void);

struct number number_add(struct number a, struct number b);
struct number number_subtract(struct number a, struct number b);
struct number number_negate(struct number a);
struct number number_multiply(struct number a, struct number b);
struct number number_divide(struct number a, struct number b); /* none for b = 0 */
struct number number_power(struct number a, struct number b);  /* principal value; none for 0^0 */
/* Whole k of 2..64; for odd k and real a the real root: \sqrt[3]{-8} is -2. */
struct number number_root(struct number a, int k);
struct number number_factorial(struct number a);
struct number number_absolute(struct number a);

enum number_function {
    NUMBER_SIN,
    NUMBER_COS,
    NUMBER_TAN,
    NUMBER_COT,
    NUMBER_SEC,
    NUMBER_CSC,
    NUMBER_ASIN,
    NUMBER_ACOS,
    NUMBER_ATAN,
    NUMBER_SINH,
    NUMBER_COSH,
    NUMBER_TANH,
    NUMBER_LN,
    NUMBER_EXP
};
struct number number_apply(enum number_function f, struct number a);

bool number_equal(struct number a, struct number b);
bool number_is_zero(struct number a);
/* The number as a whole one below 2^62 in size; only of exact ones. */
bool number_is_whole(struct number a, int64_t *n);
/* -1, 0, 1; 2 for what is not real or has no value. */
int number_sign(struct number a);

#endif
