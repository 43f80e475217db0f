/* bases.c: numbers in other bases, and the parity of a number's binary digits. */
#include "tasks/kind.h"

#include <string.h>

enum { BASE, NUMBER_PARITY };

static const char digits[] = "0123456789abcdef";
#define MAX_VALUE 99999999
#define MAX_DIGITS 32 /* of MAX_VALUE in base 2: 27 */

/* v's digits in the base, the first one foremost. */
static int write_number(int64_t v, int base, char text[MAX_DIGITS + 1])
{
    char reversed[MAX_DIGITS];
    int n = 0;

    do {
        reversed[n++] = digits[v % base];
        v /= base;
    } while (v);
    for (int i = 0; i < n; i++)
        text[i] = reversed[n - 1 - i];
    text[n] = 0;
    return n;
}

static bool read_digit(struct scan *s, int base, int *digit)
{
    const char *found = scan_ended(s) || !*s->at ? NULL : strchr(digits, *s->at);

    if (!found || found - digits >= base)
        return false;
    s->at++;
    *digit = (int)(found - digits);
    return true;
}

static bool read_base(struct scan *s, int *base)
{
    int64_t v;

    if (!scan_uint(s, 16, &v) || v < 2)
        return false;
    *base = (int)v;
    return scan_ended(s);
}

/* ---- base ------------------------------------------------------------------------------------ */

static void ask_base(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                     struct pen *answer)
{
    static const int bases[] = {2, 2, 2, 16, 3, 8, 5}; /* the first ones at low levels */
    static const int n_bases[] = {1, 1, 4, 7, 7};
    int base = bases[dice_below(d, n_bases[level])];
    int value = dice_between(d, 4, (32 << (2 * level)) - 1); /* below 32, 128, 512, 2048, 8192 */
    char text[MAX_DIGITS + 1];

    (void)k;
    write_number(value, base, text);
    if (dice_below(d, 2)) {
        pen_print(question, "Convert %d to base %d", value, base);
        pen_print(answer, "%s", text);
    } else {
        pen_print(question, "Convert %s from base %d", text, base);
        pen_print(answer, "%d", value);
    }
}

/* 37 to base 2: "37:1 18:0 9:1 4:0 2:0 1:1", quotient and remainder; the answer reads backwards. */
static void think_divisions(int64_t v, int base, struct pen *thought)
{
    do {
        pen_print(thought, "%lld:%c", (long long)v, digits[v % base]);
        v /= base;
        if (v)
            pen_char(thought, ' ');
    } while (v);
}

/* 100101 from base 2: "1 2 4 9 18 37", the value so far after each digit (Horner). */
static bool think_horner(struct scan s, struct pen *thought)
{
    struct scan rest = s, all = s;
    int64_t v = 0;
    int base, digit, n = 0;

    while (read_digit(&rest, 16, &digit))
        n++;
    if (!n || n > MAX_DIGITS || !scan_word(&rest, " from base ") || !read_base(&rest, &base))
        return false;
    for (int i = 0; i < n; i++) {
        if (!read_digit(&all, base, &digit) || v > (MAX_VALUE - digit) / base)
            return false;
        v = v * base + digit;
        pen_print(thought, i ? " %lld" : "%lld", (long long)v);
    }
    return true;
}

static bool think_base(const struct task_kind *k, const char *question, enum task_trace trace,
                       struct dice *d, struct pen *thought, struct pen *answer)
{
    struct scan s = scan_text(question), number;
    int64_t v;
    int base;

    (void)k, (void)trace, (void)d, (void)answer;
    if (!scan_word(&s, "Convert "))
        return false;
    number = s;
    if (!scan_uint(&s, MAX_VALUE, &v) || !scan_word(&s, " to base "))
        return think_horner(number, thought);
    if (!read_base(&s, &base))
        return false;
    think_divisions(v, base, thought);
    return true;
}

/* ---- number-parity --------------------------------------------------------------------------- */

static bool read_parity(const char *question, int64_t *v)
{
    struct scan s = scan_text(question);

    return scan_word(&s, "Is ") && scan_uint(&s, MAX_VALUE, v) &&
           scan_word(&s, " odd parity?") && scan_ended(&s);
}

static void ask_parity(const struct task_kind *k, struct dice *d, int level,
                       struct pen *question, struct pen *answer)
{
    int low = 10, v;

    (void)k;
    for (int i = 0; i < level; i++)
        low *= 10;
    v = dice_between(d, low, 10 * low - 1);
    pen_print(question, "Is %d odd parity?", v);
    pen_print(answer, "%s", __builtin_popcount((unsigned)v) % 2 ? "yes" : "no");
}

/* "13:1 6:1 3:0 1:1": halves, and the parity of the ones so far. */
static bool think_parity(const struct task_kind *k, const char *question, enum task_trace trace,
                         struct dice *d, struct pen *thought, struct pen *answer)
{
    int64_t v;
    int ones = 0;

    (void)k, (void)trace, (void)d, (void)answer;
    if (!read_parity(question, &v))
        return false;
    do {
        ones ^= (int)(v & 1);
        pen_print(thought, "%lld:%d", (long long)v, ones);
        v /= 2;
        if (v)
            pen_char(thought, ' ');
    } while (v);
    return true;
}

const struct task_kind base_tasks[] = {
    {"base", "a number in another base, and back", 4, TASK_BITS_SCRATCHPAD, BASE, ask_base, NULL,
     think_base},
    {"number-parity", "has a number an odd count of binary ones", 4, TASK_BITS_SCRATCHPAD,
     NUMBER_PARITY, ask_parity, NULL, think_parity},
    {0}};
