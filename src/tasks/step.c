/* step.c: single steps, the bricks of all longer thoughts, for pre-training: 12+7, 31-8, 6*7,
 * 57?75, 1011 xor 0110, 57 mod 8. */
#include "tasks/kind.h"

#define MAX_RESULT 199

enum { PLUS, MINUS, TIMES, COMPARE, XOR, MOD, N_STEPS };

static void bits_of(int v, int n, char text[16])
{
    for (int i = 0; i < n; i++)
        text[i] = (char)('0' + (v >> (n - 1 - i)) % 2);
    text[n] = 0;
}

static void ask_xor(struct dice *d, int n, struct pen *question, struct pen *answer)
{
    int a = dice_below(d, 1 << n), b = dice_below(d, 1 << n);
    char left[16], right[16], both[16];

    bits_of(a, n, left);
    bits_of(b, n, right);
    bits_of(a ^ b, n, both);
    pen_print(question, "%s xor %s", left, right);
    pen_print(answer, "%s", both);
}

static void ask_times(struct dice *d, int largest, struct pen *question, struct pen *answer)
{
    int a = dice_between(d, 1, largest), room = MAX_RESULT / a;
    int b = dice_between(d, 1, room < largest ? room : largest);

    pen_print(question, "%d*%d", a, b);
    pen_print(answer, "%d", a * b);
}

/* Level 0 has numbers up to 9, level 1 up to 30, level 2 up to 99. */
static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    static const int largest[] = {9, 30, 99};
    int top = largest[level], a = dice_between(d, 0, top), b = dice_between(d, 0, top);

    (void)k;
    switch (dice_below(d, N_STEPS)) {
    case PLUS:
        pen_print(question, "%d+%d", a, b);
        pen_print(answer, "%d", a + b);
        return;
    case MINUS:
        pen_print(question, "%d-%d", a, b);
        pen_print(answer, "%d", a - b);
        return;
    case TIMES:
        ask_times(d, top, question, answer);
        return;
    case COMPARE:
        pen_print(question, "%d?%d", a, b);
        pen_print(answer, "%s", a < b ? "<" : a > b ? ">" : "=");
        return;
    case XOR:
        ask_xor(d, 2 + 2 * level, question, answer);
        return;
    default:
        b = dice_between(d, 2, top);
        pen_print(question, "%d mod %d", a, b);
        pen_print(answer, "%d", a % b);
    }
}

const struct task_kind step_tasks[] = {
    {"step", "one step: a+b, a-b, a*b, a?b, xor, mod", 2, TASK_BIT(TASK_TRACE_DIRECT), 0, ask, NULL,
     NULL},
    {0}};
