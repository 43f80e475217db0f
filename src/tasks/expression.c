/* expression.c: recursive descent over hostile text, in exact fractions. */
#include "tasks/expression.h"

#define MAX_DEPTH 32
#define MAX_NUMBER 1000000000

static int64_t common_factor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

static bool reduce(int64_t num, int64_t den, struct fraction *out)
{
    int64_t factor;

    if (den == 0 || num == INT64_MIN || den == INT64_MIN)
        return false;
    factor = common_factor(num, den);
    if (den < 0)
        factor = -factor;
    *out = (struct fraction){num / factor, den / factor};
    return true;
}

static bool combine(char op, struct fraction a, struct fraction b, struct fraction *out)
{
    int64_t left, right, num, den;

    if (op == '*' || op == '/') {
        if (op == '/')
            b = (struct fraction){b.den, b.num}; /* a zero is found by reduce */
        return !__builtin_mul_overflow(a.num, b.num, &num) &&
               !__builtin_mul_overflow(a.den, b.den, &den) && reduce(num, den, out);
    }
    if (__builtin_mul_overflow(a.num, b.den, &left) ||
        __builtin_mul_overflow(b.num, a.den, &right) ||
        __builtin_mul_overflow(a.den, b.den, &den))
        return false;
    if (op == '+' ? __builtin_add_overflow(left, right, &num)
                  : __builtin_sub_overflow(left, right, &num))
        return false;
    return reduce(num, den, out);
}

static bool read_sum(struct scan *s, struct expression *e, int depth, struct fraction *value);

static bool read_atom(struct scan *s, struct expression *e, int depth, struct fraction *value)
{
    int64_t v;

    scan_blanks(s);
    if (scan_char(s, '(')) {
        if (depth == MAX_DEPTH || !read_sum(s, e, depth + 1, value))
            return false;
        scan_blanks(s);
        return scan_char(s, ')');
    }
    if (e->n_numbers == EXPRESSION_MAX_NUMBERS || !scan_uint(s, MAX_NUMBER, &v))
        return false;
    e->numbers[e->n_numbers++] = v;
    *value = (struct fraction){v, 1};
    return true;
}

static bool next_operator(struct scan *s, char one, char other, char *op)
{
    scan_blanks(s);
    *op = scan_ended(s) ? 0 : *s->at;
    return scan_char(s, one) || scan_char(s, other);
}

static bool read_product(struct scan *s, struct expression *e, int depth, struct fraction *value)
{
    struct fraction right;
    char op;

    if (!read_atom(s, e, depth, value))
        return false;
    while (next_operator(s, '*', '/', &op))
        if (!read_atom(s, e, depth, &right) || !combine(op, *value, right, value))
            return false;
    return true;
}

static bool read_sum(struct scan *s, struct expression *e, int depth, struct fraction *value)
{
    struct fraction right;
    char op;

    if (!read_product(s, e, depth, value))
        return false;
    while (next_operator(s, '+', '-', &op))
        if (!read_product(s, e, depth, &right) || !combine(op, *value, right, value))
            return false;
    return true;
}

bool expression_read(struct scan *s, struct expression *e)
{
    e->n_numbers = 0;
    return read_sum(s, e, 0, &e->value);
}
