/* arithmetic.c: sums, differences and products of several digits, worked as on paper.
 *
 * Scratchpads run from the units up, so that each step needs one pair of digits and the carry, and
 * end in the result reversed (Lee et al. 2023, "Teaching arithmetic to small transformers"). */
#include "tasks/kind.h"

enum { ADD, SUBTRACT, MULTIPLY };

static const char sign[] = "+-*";
#define MAX_DIGITS 20
#define MAX_OPERAND 999999999 /* of a question; the product of two fits an int64_t */

/* Decimal digits from the units up, without leading zeros, but for 0 itself. */
struct number { int n, digit[MAX_DIGITS]; };

static struct number number_of(int64_t v)
{
    struct number x = {0};

    do
        x.digit[x.n++] = (int)(v % 10);
    while (v /= 10);
    return x;
}

static void drop_zeros(struct number *x)
{
    while (x->n > 1 && !x->digit[x->n - 1])
        x->n--;
}

/* The digits from the units up, without blanks. */
static void write_reversed(const struct number *x, struct pen *p)
{
    for (int i = 0; i < x->n; i++)
        pen_char(p, (char)('0' + x->digit[i]));
}

/* ---- questions ------------------------------------------------------------------------------- */

static int power10(int n)
{
    int p = 1;

    while (n-- > 0)
        p *= 10;
    return p;
}

/* Exactly n digits; of one digit, 0 too. */
static int roll_number(struct dice *d, int n)
{
    return dice_between(d, n == 1 ? 0 : power10(n - 1), power10(n) - 1);
}

static int64_t result(int op, int64_t a, int64_t b)
{
    return op == ADD ? a + b : op == SUBTRACT ? a - b : a * b;
}

static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    /* Digits of the longer and at most of the shorter operand. */
    static const int product[][2] = {{1, 1}, {2, 1}, {2, 2}, {3, 2}, {3, 3}};
    int n = k->variant == MULTIPLY ? product[level][0] : level + 1;
    int m = k->variant == MULTIPLY ? product[level][1] : level + 1;
    int a = roll_number(d, n), b;

    if (k->variant != MULTIPLY && dice_below(d, 2))
        m = dice_between(d, 1, m);
    b = roll_number(d, m);
    if (dice_below(d, 2)) {
        int swap = a;

        a = b;
        b = swap;
    }
    pen_print(question, "What is %d%c%d?", a, sign[k->variant], b);
    pen_print(answer, "%lld", (long long)result(k->variant, a, b));
}

/* ---- scratchpads ----------------------------------------------------------------------------- */

/* "4+2=6 8+7=15 3+9+1=13 1=1 6531" for 384 + 972. */
static struct number think_sum(const struct number *a, const struct number *b, struct pen *p)
{
    struct number sum = {0};
    int carry = 0;

    for (int i = 0; i < a->n || i < b->n || carry; i++) {
        const char *plus = "";
        int total = carry;

        if (i < a->n) {
            pen_print(p, "%d", a->digit[i]);
            total += a->digit[i];
            plus = "+";
        }
        if (i < b->n) {
            pen_print(p, "%s%d", plus, b->digit[i]);
            total += b->digit[i];
            plus = "+";
        }
        if (carry)
            pen_print(p, "%s%d", plus, carry);
        pen_print(p, "=%d ", total);
        sum.digit[sum.n++] = total % 10;
        carry = total / 10;
    }
    write_reversed(&sum, p);
    return sum;
}

/* "2-4+10=8 7-8-1+10=8 9-3-1=5 885" for 972 - 384; a >= b. */
static void think_difference(const struct number *a, const struct number *b, struct pen *p)
{
    struct number left = {0};
    int borrow = 0;

    for (int i = 0; i < a->n; i++) {
        int total = a->digit[i] - borrow;

        pen_print(p, "%d", a->digit[i]);
        if (i < b->n) {
            pen_print(p, "-%d", b->digit[i]);
            total -= b->digit[i];
        }
        if (borrow)
            pen_print(p, "-1");
        borrow = total < 0;
        if (borrow) {
            pen_print(p, "+10");
            total += 10;
        }
        pen_print(p, "=%d ", total);
        left.digit[left.n++] = total;
    }
    drop_zeros(&left);
    write_reversed(&left, p);
}

/* a times one digit: "8*2=16 3*2+1=7 67 " for 38 * 2; then shifted by so many zeros. */
static struct number think_row(const struct number *a, int digit, int shift, struct pen *p)
{
    struct number row = {.n = shift};
    int carry = 0;

    for (int i = 0; i < a->n; i++) {
        int total = a->digit[i] * digit + carry;

        pen_print(p, "%d*%d", a->digit[i], digit);
        if (carry)
            pen_print(p, "+%d", carry);
        pen_print(p, "=%d ", total);
        row.digit[row.n++] = total % 10;
        carry = total / 10;
    }
    if (carry)
        row.digit[row.n++] = carry;
    drop_zeros(&row);
    write_reversed(&row, p);
    return row;
}

/* A row for each digit of b, each added to the rows before it; parts are parted by ';'. */
static void think_product(const struct number *a, const struct number *b, struct pen *p)
{
    struct number sum = think_row(a, b->digit[0], 0, p);

    for (int i = 1; i < b->n; i++) {
        struct number row;

        pen_char(p, ';');
        row = think_row(a, b->digit[i], i, p);
        pen_char(p, ';');
        sum = think_sum(&sum, &row, p);
    }
}

static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct scan s = scan_text(question);
    struct number x, y;
    int64_t a, b;

    (void)trace, (void)d, (void)answer;
    if (!scan_word(&s, "What is ") || !scan_uint(&s, MAX_OPERAND, &a) ||
        !scan_char(&s, sign[k->variant]) || !scan_uint(&s, MAX_OPERAND, &b) || !scan_char(&s, '?'))
        return false;
    x = number_of(a);
    y = number_of(b);
    if (k->variant == ADD)
        think_sum(&x, &y, thought);
    else if (k->variant == MULTIPLY)
        think_product(&x, &y, thought);
    else if (a >= b)
        think_difference(&x, &y, thought);
    else {
        pen_print(thought, "- "); /* of the other way round */
        think_difference(&y, &x, thought);
    }
    return scan_ended(&s);
}

const struct task_kind arithmetic_tasks[] = {
    {"add", "sums of up to 8 digits", 7, TASK_BITS_SCRATCHPAD, ADD, ask, NULL, think},
    {"subtract", "differences of up to 8 digits", 7, TASK_BITS_SCRATCHPAD, SUBTRACT, ask, NULL,
     think},
    {"multiply", "products of up to 3 by 3 digits", 4, TASK_BITS_SCRATCHPAD, MULTIPLY, ask, NULL,
     think},
    {0}};
