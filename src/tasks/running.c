/* running.c: parity and digit sum, whose scratchpad is a running value, one symbol a step.
 *
 * The pair from which reasoning is learned by reward alone in a minute: a direct answer is a guess
 * (one forward pass cannot add up 20 bits), each step of the scratchpad is easy. All questions of a
 * level are of one length, so that nothing but the digits tells the answer. */
#include "tasks/kind.h"

enum { PARITY, DIGIT_SUM };

static const char *const prefix[] = {"parity ", "sum mod 10 of "};
static const int modulus[] = {2, 10};

/* 4, 8, .. 32 bits; 4, 6, .. 18 digits. */
static int length_at(int variant, int level)
{
    return variant == PARITY ? 4 + 4 * level : 4 + 2 * level;
}

static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    int n = length_at(k->variant, level), m = modulus[k->variant], sum = 0;

    pen_print(question, "%s", prefix[k->variant]);
    for (int i = 0; i < n; i++) {
        int digit = dice_below(d, m);

        pen_char(question, (char)('0' + digit));
        sum = (sum + digit) % m;
    }
    pen_char(answer, (char)('0' + sum));
}

/* "parity 0110": 0, 1, 0, 0 are the running parities. */
static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct scan s = scan_text(question);
    int m = modulus[k->variant], sum = 0;

    (void)trace, (void)d, (void)answer;
    if (!scan_word(&s, prefix[k->variant]) || scan_ended(&s))
        return false;
    for (; !scan_ended(&s); s.at++) {
        if (*s.at < '0' || *s.at >= '0' + m)
            return false;
        sum = (sum + *s.at - '0') % m;
        pen_char(thought, (char)('0' + sum));
    }
    return true;
}

const struct task_kind running_tasks[] = {
    {"parity", "is the number of ones odd (1) or even (0)", 7, TASK_BITS_SCRATCHPAD, PARITY, ask,
     NULL, think},
    {"digit-sum", "the sum of all digits modulo 10", 7, TASK_BITS_SCRATCHPAD, DIGIT_SUM, ask, NULL,
     think},
    {0}};
