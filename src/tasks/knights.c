/* knights.c: knights tell the truth, knaves lie; who are the knights?
 *
 * "A says C is a knave. C says A and C are alike. Who are the knights?": the letters of all
 * knights, or "none". Every puzzle that is asked has exactly one solution. A try of the search
 * guesses who is what, K or N for each in the order in which they are named, and checks all that
 * was said. */
#include "tasks/kind.h"

#include "tasks/search.h"

#define MAX_PEOPLE 6
#define QUESTION "Who are the knights?"

/* `who` and `other` are people by number; other < 0: it is about one. */
struct claim { int who, other; bool yes; }; /* yes: is a knight, are alike; else knave, differ */

struct puzzle {
    int n;
    char name[MAX_PEOPLE];
    struct claim says[MAX_PEOPLE];
};

static bool is_knight(unsigned knights, int who)
{
    return knights & (1u << who);
}

static bool is_true(const struct claim *c, unsigned knights)
{
    bool fact = c->other < 0 ? is_knight(knights, c->who)
                             : is_knight(knights, c->who) == is_knight(knights, c->other);

    return fact == c->yes;
}

/* Could the people in `knights`, one bit each, be the knights? */
static bool is_consistent(const struct puzzle *p, unsigned knights)
{
    for (int i = 0; i < p->n; i++)
        if (is_true(&p->says[i], knights) != is_knight(knights, i))
            return false;
    return true;
}

static int solve(const struct puzzle *p, unsigned *knights)
{
    int n = 0;

    for (unsigned guess = 0; guess < 1u << p->n; guess++)
        if (is_consistent(p, guess)) {
            *knights = guess;
            n++;
        }
    return n;
}

/* ---- text ------------------------------------------------------------------------------------ */

static int find_name(const struct puzzle *p, char name)
{
    for (int i = 0; i < p->n; i++)
        if (p->name[i] == name)
            return i;
    return -1;
}

/* The number of a name that is known, or that makes itself known. */
static bool read_name(struct scan *s, struct puzzle *p, int *who)
{
    if (scan_ended(s) || *s->at < 'A' || *s->at > 'Z')
        return false;
    *who = find_name(p, *s->at);
    if (*who < 0 && p->n < MAX_PEOPLE) {
        p->name[p->n] = *s->at;
        *who = p->n++;
    }
    s->at++;
    return *who >= 0;
}

/* Behind "X says ": "B is a knight.", "B and C differ." and the two others. */
static bool read_claim(struct scan *s, struct puzzle *p, struct claim *c)
{
    if (!read_name(s, p, &c->who))
        return false;
    c->other = -1;
    if (scan_word(s, " is a ")) {
        c->yes = scan_word(s, "knight. ");
        return c->yes || scan_word(s, "knave. ");
    }
    if (!scan_word(s, " and ") || !read_name(s, p, &c->other))
        return false;
    c->yes = scan_word(s, " are alike. ");
    return c->yes || scan_word(s, " differ. ");
}

/* The people are numbered in the order in which their names come up; each speaks once. */
static bool read_puzzle(const char *question, struct puzzle *p)
{
    struct scan s = scan_text(question);
    unsigned spoken = 0;

    p->n = 0;
    while (!scan_word(&s, QUESTION)) {
        struct claim c;
        int speaker;

        if (!read_name(&s, p, &speaker) || (spoken & (1u << speaker)) || !scan_word(&s, " says ") ||
            !read_claim(&s, p, &c))
            return false;
        p->says[speaker] = c;
        spoken |= 1u << speaker;
    }
    return p->n > 0 && spoken == (1u << p->n) - 1 && scan_ended(&s);
}

static void write_puzzle(const struct puzzle *p, struct pen *out)
{
    for (int i = 0; i < p->n; i++) {
        const struct claim *c = &p->says[i];

        pen_print(out, "%c says %c", p->name[i], p->name[c->who]);
        if (c->other < 0)
            pen_print(out, " is a %s. ", c->yes ? "knight" : "knave");
        else
            pen_print(out, " and %c %s. ", p->name[c->other], c->yes ? "are alike" : "differ");
    }
    pen_print(out, QUESTION);
}

/* Letters in the order of the alphabet, or "none". */
static void write_knights(const struct puzzle *p, unsigned knights, struct pen *out)
{
    int n = 0;

    for (char name = 'A'; name <= 'Z'; name++) {
        int who = find_name(p, name);

        if (who >= 0 && is_knight(knights, who))
            pen_print(out, n++ ? " %c" : "%c", name);
    }
    if (!n)
        pen_print(out, "none");
}

/* ---- the task -------------------------------------------------------------------------------- */

static void roll_names(struct dice *d, struct puzzle *p)
{
    int letters[26];

    for (int i = 0; i < 26; i++)
        letters[i] = i;
    dice_shuffle(d, letters, 26);
    for (int i = 0; i < p->n; i++)
        p->name[i] = (char)('A' + letters[i]);
}

static void roll_claims(struct dice *d, struct puzzle *p)
{
    for (int i = 0; i < p->n; i++) {
        struct claim *c = &p->says[i];

        c->yes = dice_below(d, 2);
        c->other = -1;
        do
            c->who = dice_below(d, p->n);
        while (c->who == i && p->n > 1); /* "A says A is a knave" has no solution */
        if (dice_below(d, 2))
            do
                c->other = dice_below(d, p->n);
            while (c->other == c->who);
    }
}

static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    struct puzzle p = {.n = 2 + level};
    unsigned knights = 0;

    (void)k;
    do {
        roll_names(d, &p);
        roll_claims(d, &p);
    } while (solve(&p, &knights) != 1);
    write_puzzle(&p, question);
    write_knights(&p, knights, answer);
}

/* The letters of the knights in any order, parted by blanks or commas. */
static bool accepts(const struct task_kind *k, const char *question, const char *reference,
                    struct scan given)
{
    unsigned knights = 0;
    struct puzzle p;

    (void)k, (void)reference;
    if (!read_puzzle(question, &p))
        return false;
    if (scan_equals(given, "none"))
        return is_consistent(&p, 0);
    for (; !scan_ended(&given); given.at++) {
        int who = find_name(&p, *given.at);

        if (who >= 0 && !is_knight(knights, who))
            knights |= 1u << who;
        else if (*given.at != ' ' && *given.at != ',')
            return false;
    }
    return knights && is_consistent(&p, knights);
}

struct attempt { struct puzzle p; unsigned solution, guess; };

static bool try_once(void *context, struct dice *d, bool must_hit, struct pen *thought)
{
    struct attempt *a = context;

    a->guess = a->solution;
    if (!must_hit)
        a->guess = (unsigned)dice_below(d, 1 << a->p.n);
    for (int i = 0; i < a->p.n; i++)
        pen_char(thought, is_knight(a->guess, i) ? 'K' : 'N');
    return is_consistent(&a->p, a->guess);
}

static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct attempt a;

    (void)k;
    if (!read_puzzle(question, &a.p) || !solve(&a.p, &a.solution))
        return false;
    search_run(trace, d, thought, try_once, &a);
    write_knights(&a.p, a.guess, answer);
    return true;
}

const struct task_kind knight_tasks[] = {
    {"knights", "who tells the truth and who lies", 4, TASK_BITS_ALL, 0, ask, accepts, think}, {0}};
