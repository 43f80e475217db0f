/* equation.c: linear equations in x. "Solve 3x+4=19": 5. */
#include "tasks/kind.h"

#define MAX_VALUE 99999

struct side { int64_t x, rest; }; /* x times so much, plus a number */

/* ---- text ------------------------------------------------------------------------------------ */

/* "3x", "x" or "12"; a sign stands before all but the first. */
static bool read_term(struct scan *s, bool first, struct side *side)
{
    bool negative = scan_char(s, '-');
    int64_t v = 1;
    bool number;

    if (!negative && !scan_char(s, '+') && !first)
        return false;
    number = scan_uint(s, MAX_VALUE, &v);
    if (negative)
        v = -v;
    if (scan_char(s, 'x'))
        side->x += v;
    else if (number)
        side->rest += v;
    else
        return false;
    return true;
}

static bool read_side(struct scan *s, struct side *side)
{
    *side = (struct side){0, 0};
    if (!read_term(s, true, side))
        return false;
    for (int n = 1; !scan_ended(s) && (*s->at == '+' || *s->at == '-'); n++)
        if (n == 8 || !read_term(s, false, side))
            return false;
    return true;
}

static bool read_equation(const char *question, struct side *left, struct side *right)
{
    struct scan s = scan_text(question);

    return scan_word(&s, "Solve ") && read_side(&s, left) && scan_char(&s, '=') &&
           read_side(&s, right) && scan_ended(&s);
}

static void write_side(struct side side, struct pen *p)
{
    if (side.x == 1)
        pen_char(p, 'x');
    else if (side.x)
        pen_print(p, "%dx", (int)side.x);
    if (side.rest || !side.x)
        pen_print(p, side.x ? "%+d" : "%d", (int)side.rest);
}

/* ---- the task -------------------------------------------------------------------------------- */

/* x + b = c; ax + b = c; with negative numbers; with x on both sides; the same, larger. */
static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    static const struct { int x, rest, solution; } largest[] = {
        {1, 9, 9}, {9, 9, 9}, {9, 20, 9}, {9, 20, 12}, {19, 50, 25}};
    int size = largest[level].rest, solution = largest[level].solution, x;
    struct side left, right = {0, 0};

    (void)k;
    x = dice_between(d, level < 2 ? 0 : -solution, solution);
    left.x = dice_between(d, 1, largest[level].x);
    left.rest = dice_between(d, level < 2 ? 1 : -size, size);
    if (level >= 3)
        do
            right.x = dice_between(d, 1, largest[level].x);
        while (right.x == left.x);
    right.rest = (left.x - right.x) * x + left.rest;
    pen_print(question, "Solve ");
    write_side(left, question);
    pen_char(question, '=');
    write_side(right, question);
    pen_print(answer, "%d", x);
}

/* "5" and "x=5" are right. */
static bool accepts(const struct task_kind *k, const char *question, const char *reference,
                    struct scan given)
{
    struct side l, r;
    int64_t x;

    (void)k, (void)reference;
    if (!read_equation(question, &l, &r) || l.x == r.x)
        return false;
    if (scan_char(&given, 'x')) {
        scan_blanks(&given);
        if (!scan_char(&given, '='))
            return false;
        scan_blanks(&given);
    }
    return scan_int(&given, 10 * MAX_VALUE, &x) && scan_ended(&given) &&
           l.x * x + l.rest == r.x * x + r.rest;
}

/* "5x-2x=3x 9+3=12 12/3=4" for 5x-3=2x+9. Steps that change nothing are left out, but for the last:
 * it says the solution. */
static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct side l, r;
    int64_t x, rest;

    (void)k, (void)trace, (void)d;
    if (!read_equation(question, &l, &r) || l.x == r.x)
        return false;
    x = l.x - r.x;
    rest = r.rest - l.rest;
    if (rest % x)
        return false;
    if (r.x)
        pen_print(thought, "%dx%+dx=%dx ", (int)l.x, (int)-r.x, (int)x);
    if (l.rest)
        pen_print(thought, "%d%+d=%d ", (int)r.rest, (int)-l.rest, (int)rest);
    pen_print(thought, "%d/%d=%d", (int)rest, (int)x, (int)(rest / x));
    pen_print(answer, "%d", (int)(rest / x));
    return true;
}

const struct task_kind equation_tasks[] = {
    {"equation", "linear equations in x", 4, TASK_BITS_SCRATCHPAD, 0, ask, accepts, think}, {0}};
