/* number.c: exact residues beside floating point with an error bound. See number.h. */
#include "verify/number.h"

#include <float.h>
#include <math.h>

/* Prime p, and a square root of -1 modulo p. */
static const uint64_t primes[NUMBER_PRIMES] = {2305843009213693921u, 4611684918915760121u};
static const uint64_t roots_of_minus_one[NUMBER_PRIMES] = {583529827753931384u,
                                                           1242101415347808068u};

#define EPSILON (2 * LDBL_EPSILON) /* of one operation, complex ones included */
#define SLACK 8                    /* functions of libm are right to a few units */

static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t p)
{
    return (uint64_t)((unsigned __int128)a * b % p);
}

static uint64_t power_mod(uint64_t a, uint64_t n, uint64_t p)
{
    uint64_t out = 1;

    for (; n; n >>= 1) {
        if (n & 1)
            out = mul_mod(out, a, p);
        a = mul_mod(a, a, p);
    }
    return out;
}

static bool is_finite(long double complex f)
{
    return isfinite(creall(f)) && isfinite(cimagl(f));
}

/* Functions have cuts along the real axis, and -1 - 0i lies on the other side of theirs. */
static long double complex above_cut(long double complex f)
{
    return cimagl(f) == 0 ? creall(f) : f;
}

/* A number without residues; none when it is not finite. */
static struct number rounded(long double complex f, long double error)
{
    struct number a = {.ok = is_finite(f) && isfinite(error), .f = f};

    a.error = error + cabsl(f) * EPSILON;
    return a;
}

struct number number_none(void)
{
    return (struct number){0};
}

struct number number_whole(int64_t n)
{
    struct number a = {.ok = true, .exact = true, .f = (long double)n};
    uint64_t size = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

    for (int i = 0; i < NUMBER_PRIMES; i++) {
        a.r[i] = size % primes[i];
        if (n < 0 && a.r[i])
            a.r[i] = primes[i] - a.r[i];
    }
    return a;
}

struct number number_pi(void)
{
    return rounded(acosl(-1.0L), 0);
}

struct number number_e(void)
{
    return rounded(expl(1.0L), 0);
}

struct number number_i(void)
{
    struct number a = {.ok = true, .exact = true, .f = I};

    for (int i = 0; i < NUMBER_PRIMES; i++)
        a.r[i] = roots_of_minus_one[i];
    return a;
}

struct number number_read(const char *s, size_t n)
{
    struct number a = number_whole(0), ten = number_whole(10);
    int64_t exponent = 0, places = 0;
    bool negative = false, point = false;
    size_t i = 0;

    for (; i < n && s[i] != 'e' && s[i] != 'E'; i++) {
        if (s[i] == '.') {
            point = true;
        } else if (s[i] >= '0' && s[i] <= '9') {
            a = number_add(number_multiply(a, ten), number_whole(s[i] - '0'));
            places += point;
        }
    }
    for (; i < n; i++) {
        if (s[i] == '-')
            negative = true;
        else if (s[i] >= '0' && s[i] <= '9' && exponent < 1000000000)
            exponent = exponent * 10 + (s[i] - '0');
    }
    exponent = (negative ? -exponent : exponent) - places;
    return exponent ? number_multiply(a, number_power(ten, number_whole(exponent))) : a;
}

struct number number_negate(struct number a)
{
    for (int i = 0; i < NUMBER_PRIMES; i++)
        a.r[i] = a.r[i] ? primes[i] - a.r[i] : 0;
    a.f = -a.f;
    return a;
}

/* What the operation on residues left in out->r counts when both sides had some. */
static struct number finish(struct number out, struct number a, struct number b)
{
    out.exact = a.exact && b.exact;
    out.ok = a.ok && b.ok && (out.exact || (is_finite(out.f) && isfinite(out.error)));
    out.error += cabsl(out.f) * EPSILON;
    return out;
}

struct number number_add(struct number a, struct number b)
{
    struct number out = {.f = a.f + b.f, .error = a.error + b.error};

    for (int i = 0; i < NUMBER_PRIMES; i++)
        out.r[i] = (a.r[i] + b.r[i]) % primes[i];
    return finish(out, a, b);
}

struct number number_subtract(struct number a, struct number b)
{
    return number_add(a, number_negate(b));
}

struct number number_multiply(struct number a, struct number b)
{
    struct number out = {.f = a.f * b.f};

    if (number_is_zero(a) || number_is_zero(b)) /* infinity, overflowed, times nothing */
        return a.ok && b.ok ? number_whole(0) : number_none();
    out.error = cabsl(a.f) * b.error + cabsl(b.f) * a.error + a.error * b.error;
    for (int i = 0; i < NUMBER_PRIMES; i++)
        out.r[i] = mul_mod(a.r[i], b.r[i], primes[i]);
    if (!(a.exact && b.exact) && cabsl(out.f) < LDBL_MIN) /* too small to be told from 0 */
        return number_none();
    return finish(out, a, b);
}

static struct number reciprocal(struct number a)
{
    struct number out = {.f = 1 / a.f};
    long double size = cabsl(a.f);

    if (!a.ok || number_is_zero(a) || (!a.exact && size <= a.error))
        return number_none();
    if (!is_finite(a.f))
        out.f = 0;
    else
        out.error = a.error / (size * size);
    for (int i = 0; i < NUMBER_PRIMES; i++)
        out.r[i] = power_mod(a.r[i], primes[i] - 2, primes[i]);
    return finish(out, a, a);
}

struct number number_divide(struct number a, struct number b)
{
    return number_multiply(a, reciprocal(b));
}

static struct number whole_power(struct number a, int64_t n)
{
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    struct number out = number_whole(1);

    for (; left; left >>= 1) {
        if (left & 1)
            out = number_multiply(out, a);
        a = number_multiply(a, a);
    }
    return n < 0 ? reciprocal(out) : out;
}

struct number number_power(struct number a, struct number b)
{
    long double size = cabsl(a.f), log_error;
    long double complex f;
    int64_t n;

    if (!a.ok || !b.ok)
        return number_none();
    if (number_is_zero(a))
        return number_sign(b) == 1 ? number_whole(0) : number_none();
    if (number_is_whole(b, &n))
        return whole_power(a, n);
    if (!is_finite(a.f) || !is_finite(b.f) || size <= a.error)
        return number_none();
    if (number_is_whole(number_multiply(b, number_whole(2)), &n))
        return whole_power(number_root(a, 2), n);
    a.f = above_cut(a.f);
    f = cexpl(b.f * clogl(a.f));
    log_error = cabsl(b.f) * (a.error / size + SLACK * EPSILON) +
                cabsl(clogl(a.f)) * (b.error + SLACK * EPSILON * cabsl(b.f));
    return rounded(f, cabsl(f) * (log_error + SLACK * EPSILON));
}

struct number number_root(struct number a, int k)
{
    bool flip = k % 2 && number_sign(a) == -1;
    long double size = cabsl(a.f);
    struct number out, nearest;

    if (!a.ok || k < 2 || k > 64 || !is_finite(a.f))
        return number_none();
    if (number_is_zero(a))
        return number_whole(0);
    if (flip)
        a = number_negate(a);
    a.f = above_cut(a.f);
    out = rounded(k == 2 ? csqrtl(a.f) : cexpl(clogl(a.f) / k), 0);
    out.error += cabsl(out.f) * (a.error / size + SLACK * EPSILON * (1 + fabsl(logl(size))));
    /* A whole root of an exact number is exact: \sqrt{16} is as good as 4. */
    if (a.exact && fabsl(creall(out.f)) < 0x1p62L && fabsl(cimagl(out.f)) <= out.error) {
        nearest = number_whole((int64_t)llroundl(creall(out.f)));
        if (number_equal(whole_power(nearest, k), a))
            out = nearest;
    }
    return flip ? number_negate(out) : out;
}

struct number number_factorial(struct number a)
{
    struct number out = number_whole(1);
    int64_t n;

    if (!number_is_whole(a, &n) || n < 0 || n > 1000)
        return number_none();
    for (int64_t i = 2; i <= n; i++)
        out = number_multiply(out, number_whole(i));
    return out;
}

struct number number_absolute(struct number a)
{
    int sign = number_sign(a);

    if (sign == 2)
        return a.ok ? rounded(cabsl(a.f), a.error) : number_none();
    return sign < 0 ? number_negate(a) : a;
}

static long double complex value_of(enum number_function f, long double complex x)
{
    switch (f) {
    case NUMBER_SIN:
        return csinl(x);
    case NUMBER_COS:
        return ccosl(x);
    case NUMBER_TAN:
        return ctanl(x);
    case NUMBER_COT:
        return 1 / ctanl(x);
    case NUMBER_SEC:
        return 1 / ccosl(x);
    case NUMBER_CSC:
        return 1 / csinl(x);
    case NUMBER_ASIN:
        return casinl(x);
    case NUMBER_ACOS:
        return cacosl(x);
    case NUMBER_ATAN:
        return catanl(x);
    case NUMBER_SINH:
        return csinhl(x);
    case NUMBER_COSH:
        return ccoshl(x);
    case NUMBER_TANH:
        return ctanhl(x);
    case NUMBER_LN:
        return clogl(x);
    case NUMBER_EXP:
        return cexpl(x);
    }
    return NAN;
}

/* |f'(x)|, with room where it has a pole near. */
static long double slope_of(enum number_function f, long double complex x)
{
    long double complex y = value_of(f, x);

    switch (f) {
    case NUMBER_ASIN:
    case NUMBER_ACOS:
        return 1 / cabsl(csqrtl(1 - x * x));
    case NUMBER_ATAN:
        return 1 / cabsl(1 + x * x);
    case NUMBER_LN:
        return 1 / cabsl(x);
    case NUMBER_EXP:
        return cabsl(y);
    case NUMBER_SIN:
    case NUMBER_COS:
    case NUMBER_SINH:
    case NUMBER_COSH:
        return 1 + cabsl(y);
    default:
        return 1 + cabsl(y) + cabsl(y * y);
    }
}

struct number number_apply(enum number_function f, struct number a)
{
    long double complex y;
    long double slope;

    if (!a.ok || !is_finite(a.f) || (f == NUMBER_LN && number_is_zero(a)))
        return number_none();
    a.f = above_cut(a.f);
    if (f == NUMBER_EXP && number_is_zero(a))
        return number_whole(1);
    if (f == NUMBER_LN && number_equal(a, number_whole(1)))
        return number_whole(0);
    if ((f == NUMBER_ASIN || f == NUMBER_ACOS) && cabsl(1 - a.f * a.f) <= 4 * a.error)
        slope = a.exact ? 0 : INFINITY; /* the slope is a pole at 1 and -1 */
    else
        slope = slope_of(f, a.f);
    y = value_of(f, a.f);
    /* tan(pi/2) computes to a huge number, and is none. */
    if (a.error > 0 && slope * a.error > 1e-6L * (1 + cabsl(y)))
        return number_none();
    return rounded(y, slope * (a.error + cabsl(a.f) * EPSILON) + cabsl(y) * SLACK * EPSILON);
}

bool number_equal(struct number a, struct number b)
{
    long double complex difference = a.f - b.f;
    bool finite = is_finite(a.f) && is_finite(b.f);

    if (!a.ok || !b.ok)
        return false;
    if (!a.exact || !b.exact)
        return finite && cabsl(difference) <= 4 * (a.error + b.error);
    for (int i = 0; i < NUMBER_PRIMES; i++)
        if (a.r[i] != b.r[i])
            return false;
    if (!finite) /* too large for a long double: the residues know */
        return true;
    return cabsl(difference) <= 1e-6L * (cabsl(a.f) + cabsl(b.f)) + a.error + b.error;
}

bool number_is_zero(struct number a)
{
    if (!a.ok)
        return false;
    return a.exact ? !a.r[0] && !a.r[1] : a.f == 0;
}

bool number_is_whole(struct number a, int64_t *n)
{
    long double re = creall(a.f);

    if (!a.ok || !a.exact || !(fabsl(re) < 0x1p62L))
        return false;
    *n = (int64_t)llroundl(re);
    return number_equal(number_whole(*n), a);
}

int number_sign(struct number a)
{
    long double re = creall(a.f);

    if (!a.ok)
        return 2;
    if (number_is_zero(a))
        return 0;
    if (!(fabsl(cimagl(a.f)) <= a.error) && !(isinf(re) && a.exact))
        return 2;
    if (!a.exact && fabsl(re) <= a.error)
        return 0;
    return re < 0 ? -1 : 1;
}
