/* countdown.c: make a number out of others. "Use 3, 5, 8 to make 24": 3*8.
 *
 * As in the television game each number is used once at most and need not be used at all. Any such
 * expression with the right value is right. A try is a row of legal moves, each of which replaces
 * two numbers by their result; it ends when the target is there or one number is left. */
#include "tasks/kind.h"

#include <stdio.h>
#include <string.h>

#include "tasks/expression.h"
#include "tasks/search.h"

#define MAX_NUMBERS 4   /* that a trace can be written for */
#define MAX_READ 8      /* that an answer is checked for */
#define MAX_VALUE 9999
#define MAX_MOVES (MAX_NUMBERS * (MAX_NUMBERS - 1) * 4)

struct puzzle { int n, number[MAX_READ], target; };

static bool read_puzzle(const char *question, struct puzzle *p)
{
    struct scan s = scan_text(question);
    int64_t v;

    p->n = 0;
    if (!scan_word(&s, "Use "))
        return false;
    do {
        if (p->n == MAX_READ || !scan_uint(&s, MAX_VALUE, &v))
            return false;
        p->number[p->n++] = (int)v;
    } while (scan_word(&s, ", "));
    if (!scan_word(&s, " to make ") || !scan_uint(&s, MAX_VALUE, &v))
        return false;
    p->target = (int)v;
    return scan_ended(&s);
}

/* Each number of the expression is one of the puzzle's, each of those used once at most. */
static bool uses_what_is_there(const struct puzzle *p, const struct expression *e)
{
    bool used[MAX_READ] = {false};

    for (int i = 0; i < e->n_numbers; i++) {
        int j = 0;

        while (j < p->n && (used[j] || p->number[j] != e->numbers[i]))
            j++;
        if (j == p->n)
            return false;
        used[j] = true;
    }
    return true;
}

/* "3*8" and "3*8=24" are right. */
static bool accepts(const struct task_kind *k, const char *question, const char *reference,
                    struct scan given)
{
    struct expression e;
    struct puzzle p;
    int64_t v;

    (void)k, (void)reference;
    if (!read_puzzle(question, &p) || !expression_read(&given, &e))
        return false;
    if (scan_char(&given, '=')) {
        scan_blanks(&given);
        if (!scan_uint(&given, MAX_VALUE, &v) || v != p.target)
            return false;
    }
    return scan_ended(&given) && e.value.den == 1 && e.value.num == p.target &&
           uses_what_is_there(&p, &e);
}

/* ---- moves ----------------------------------------------------------------------------------- */

/* The numbers at hand, each with the expression that it came from. */
struct hand {
    int n, value[MAX_NUMBERS];
    char text[MAX_NUMBERS][40];
    char op[MAX_NUMBERS]; /* the last operation of the text, or 0 */
};

struct move { int i, j, value; char op; }; /* value = hand[i] op hand[j] */

static void hand_init(struct hand *h, const struct puzzle *p)
{
    h->n = p->n;
    for (int i = 0; i < h->n; i++) {
        h->value[i] = p->number[i];
        h->op[i] = 0;
        snprintf(h->text[i], sizeof h->text[i], "%d", p->number[i]);
    }
}

/* No negative numbers, no fractions, nothing that leaves a number as it was. */
static bool is_legal(int a, char op, int b, int *value)
{
    switch (op) {
    case '+':
        *value = a + b;
        return a > 0 && b > 0;
    case '-':
        *value = a - b;
        return a > b && b > 0;
    case '*':
        *value = a * b;
        return a > 1 && b > 1 && *value <= MAX_VALUE;
    default:
        *value = b ? a / b : 0;
        return b > 1 && a % b == 0;
    }
}

/* All legal moves; sums and products once for each pair. */
static int list_moves(const struct hand *h, struct move moves[MAX_MOVES])
{
    int n = 0;

    for (int i = 0; i < h->n; i++)
        for (int j = 0; j < h->n; j++)
            for (const char *op = "+-*/"; *op; op++) {
                struct move m = {.i = i, .j = j, .op = *op};

                if (i != j && (i < j || *op == '-' || *op == '/') &&
                    is_legal(h->value[i], *op, h->value[j], &m.value))
                    moves[n++] = m;
            }
    return n;
}

static bool needs_brackets(char inner, char op, bool right)
{
    if (!inner)
        return false;
    if (op == '+' || (op == '-' && !right))
        return false;
    if (op == '-' || (op == '*' || !right))
        return inner == '+' || inner == '-';
    return true; /* behind a division */
}

static void join(const struct hand *h, const struct move *m, char *text, size_t size)
{
    bool l = needs_brackets(h->op[m->i], m->op, false);
    bool r = needs_brackets(h->op[m->j], m->op, true);

    snprintf(text, size, "%s%s%s%c%s%s%s", l ? "(" : "", h->text[m->i], l ? ")" : "", m->op,
             r ? "(" : "", h->text[m->j], r ? ")" : "");
}

/* The result takes the place of the left number, the last number that of the right. */
static void apply(struct hand *h, const struct move *m)
{
    char text[sizeof h->text[0]];
    int last = h->n - 1;

    join(h, m, text, sizeof text);
    h->value[m->i] = m->value;
    h->op[m->i] = m->op;
    memcpy(h->text[m->i], text, sizeof text);
    if (m->j != last) {
        h->value[m->j] = h->value[last];
        h->op[m->j] = h->op[last];
        memcpy(h->text[m->j], h->text[last], sizeof text);
    }
    h->n--;
}

/* Where the move's result lies after apply: where the last number went if it was that one. */
static int place_of_result(const struct hand *before, const struct move *m)
{
    return m->i == before->n - 1 ? m->j : m->i;
}

/* ---- tries ----------------------------------------------------------------------------------- */

struct step { int a, b, value; char op; }; /* a op b = value */
struct row { int n; struct step steps[MAX_NUMBERS]; char answer[40]; bool hit; };

static void shuffle_moves(struct dice *d, struct move *moves, int n)
{
    int order[MAX_MOVES];
    struct move copy[MAX_MOVES];

    for (int i = 0; i < n; i++) {
        order[i] = i;
        copy[i] = moves[i];
    }
    dice_shuffle(d, order, n);
    for (int i = 0; i < n; i++)
        moves[i] = copy[order[i]];
}

/* Makes the move and notes it; did it reach the target? */
static bool play(struct row *r, struct hand *h, const struct move *m, int target)
{
    int at = place_of_result(h, m);

    r->steps[r->n++] = (struct step){h->value[m->i], h->value[m->j], m->value, m->op};
    apply(h, m);
    memcpy(r->answer, h->text[at], sizeof r->answer);
    r->hit = m->value == target;
    return r->hit;
}

static void play_by_chance(struct row *r, struct dice *d, const struct puzzle *p)
{
    struct move moves[MAX_MOVES];
    struct hand h;
    int n;

    *r = (struct row){.n = 0};
    hand_init(&h, p);
    while (h.n > 1 && (n = list_moves(&h, moves)) > 0)
        if (play(r, &h, &moves[dice_below(d, n)], p->target))
            break;
}

/* Depth first over all rows of moves, in an order that the dice give. */
static bool solve_from(struct row *r, struct dice *d, const struct hand *h, int target)
{
    struct move moves[MAX_MOVES];
    int n = list_moves(h, moves), n_before = r->n;

    shuffle_moves(d, moves, n);
    for (int i = 0; i < n; i++) {
        struct hand next = *h;

        r->n = n_before;
        if (play(r, &next, &moves[i], target) || (next.n > 1 && solve_from(r, d, &next, target)))
            return true;
    }
    return false;
}

static bool solve(struct row *r, struct dice *d, const struct puzzle *p)
{
    struct hand h;

    *r = (struct row){.n = 0};
    hand_init(&h, p);
    return solve_from(r, d, &h, p->target);
}

/* ---- questions and traces -------------------------------------------------------------------- */

static bool is_one_of(int value, const int *list, int n)
{
    for (int i = 0; i < n; i++)
        if (list[i] == value)
            return true;
    return false;
}

/* The result of random moves, mostly of all numbers, and none that was there before. */
static bool roll_target(struct dice *d, struct puzzle *p)
{
    struct row r;

    p->target = -1; /* nothing to stop at */
    play_by_chance(&r, d, p);
    if (r.n > 1 && !dice_below(d, 5))
        r.n--;
    if (!r.n)
        return false;
    p->target = r.steps[r.n - 1].value;
    return p->target < 100 && !is_one_of(p->target, p->number, p->n);
}

/* Numbers stand in order: the same numbers in another order are no other question. */
static void roll_numbers(struct dice *d, struct puzzle *p, int largest)
{
    for (int i = 0; i < p->n; i++) {
        int value = dice_between(d, 1, largest), at = i;

        for (; at > 0 && p->number[at - 1] > value; at--)
            p->number[at] = p->number[at - 1];
        p->number[at] = value;
    }
}

static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    static const struct { int n, largest; } sizes[] = {{3, 9}, {3, 12}, {3, 25}, {4, 9}, {4, 12},
                                                       {4, 25}};
    struct puzzle p = {.n = sizes[level].n};
    struct row r;

    (void)k;
    do
        roll_numbers(d, &p, sizes[level].largest);
    while (!roll_target(d, &p));
    for (int i = 0; i < p.n; i++)
        pen_print(question, i ? ", %d" : "Use %d", p.number[i]);
    pen_print(question, " to make %d", p.target);
    if (solve(&r, d, &p))
        pen_print(answer, "%s", r.answer);
}

struct attempt { struct puzzle p; struct row last; };

/* "8-5=3,3*3=9" */
static bool try_once(void *context, struct dice *d, bool must_hit, struct pen *thought)
{
    struct attempt *a = context;

    if (!must_hit || !solve(&a->last, d, &a->p))
        play_by_chance(&a->last, d, &a->p);
    for (int i = 0; i < a->last.n; i++) {
        const struct step *s = &a->last.steps[i];

        pen_print(thought, i ? ",%d%c%d=%d" : "%d%c%d=%d", s->a, s->op, s->b, s->value);
    }
    return a->last.hit;
}

static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct attempt a;

    (void)k;
    if (!read_puzzle(question, &a.p) || a.p.n < 2 || a.p.n > MAX_NUMBERS ||
        !solve(&a.last, d, &a.p))
        return false;
    search_run(trace, d, thought, try_once, &a);
    pen_print(answer, "%s", a.last.answer);
    return true;
}

const struct task_kind countdown_tasks[] = {
    {"countdown", "make a number out of 3 or 4 others", 5, TASK_BITS_ALL, 0, ask, accepts, think},
    {0}};
