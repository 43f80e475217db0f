/* sudoku.c: 4x4: each row, column and quarter holds 1 to 4 once.
 *
 * Every puzzle can be solved by filling, again and again, a cell for which one digit alone is left:
 * the scratchpad does that, in the order of the cells. Its solution is therefore the only one; the
 * checker takes any completion all the same. */
#include "tasks/kind.h"

#define PREFIX "Sudoku"
#define SIDE 4
#define CELLS (SIDE * SIDE)

struct grid { int cell[CELLS]; }; /* 0: blank */

/* Rows parted by line breaks, blanks or '/'; '.' is a blank cell. */
static bool read_grid(struct scan s, struct grid *g)
{
    for (int i = 0; i < CELLS; i++) {
        if (i && i % SIDE == 0 && !scan_char(&s, '\n') && !scan_char(&s, ' '))
            scan_char(&s, '/');
        if (scan_ended(&s) || (*s.at != '.' && (*s.at < '1' || *s.at > '4')))
            return false;
        g->cell[i] = *s.at == '.' ? 0 : *s.at - '0';
        s.at++;
    }
    return scan_ended(&s);
}

static bool read_question(const char *question, struct grid *g)
{
    struct scan s = scan_text(question);

    return scan_word(&s, PREFIX "\n") && read_grid(s, g);
}

static void write_grid(const struct grid *g, struct pen *p)
{
    for (int i = 0; i < CELLS; i++) {
        if (i && i % SIDE == 0)
            pen_char(p, '\n');
        pen_char(p, g->cell[i] ? (char)('0' + g->cell[i]) : '.');
    }
}

/* Are two cells in one row, column or quarter? */
static bool sees(int a, int b)
{
    int ra = a / SIDE, ca = a % SIDE, rb = b / SIDE, cb = b % SIDE;

    return a != b && (ra == rb || ca == cb || (ra / 2 == rb / 2 && ca / 2 == cb / 2));
}

/* The digits that may stand in a blank cell, as bits 1 << digit. */
static unsigned left_for(const struct grid *g, int cell)
{
    unsigned left = 2 | 4 | 8 | 16;

    for (int i = 0; i < CELLS; i++)
        if (sees(i, cell))
            left &= ~(1u << g->cell[i]);
    return left;
}

/* The first blank cell with one digit left, and that digit; -1: there is none. */
static int forced_cell(const struct grid *g, int *digit)
{
    for (int i = 0; i < CELLS; i++) {
        unsigned left = left_for(g, i);

        if (g->cell[i] || !left || (left & (left - 1)))
            continue;
        *digit = __builtin_ctz(left);
        return i;
    }
    return -1;
}

static int count_blanks(const struct grid *g)
{
    int n = 0;

    for (int i = 0; i < CELLS; i++)
        n += !g->cell[i];
    return n;
}

/* Fills what is forced, telling each step if there is a pen; true when nothing blank is left. */
static bool fill(struct grid *g, struct pen *told)
{
    int digit, cell;

    for (int n = 0; (cell = forced_cell(g, &digit)) >= 0; n++) {
        g->cell[cell] = digit;
        if (told)
            pen_print(told, n ? " %c%d=%d" : "%c%d=%d", 'a' + cell % SIDE, 1 + cell / SIDE, digit);
    }
    return count_blanks(g) == 0;
}

/* ---- the task -------------------------------------------------------------------------------- */

/* A full grid cell by cell, each time one with the fewest digits left; chance can run into a wall,
 * then it begins again. */
static void roll_full(struct dice *d, struct grid *g)
{
    *g = (struct grid){{0}};
    for (int n = 0; n < CELLS; n++) {
        int best = -1, best_n = SIDE + 1, digit;
        unsigned left;

        for (int i = 0; i < CELLS; i++) {
            int n_left = __builtin_popcount(left_for(g, i));

            if (!g->cell[i] && n_left < best_n) {
                best = i;
                best_n = n_left;
            }
        }
        left = left_for(g, best);
        if (!left) {
            *g = (struct grid){{0}};
            n = -1;
            continue;
        }
        do
            digit = dice_between(d, 1, SIDE);
        while (!(left & (1u << digit)));
        g->cell[best] = digit;
    }
}

/* Blanks cells one after another, while the rest can be filled again. */
static int dig(struct dice *d, struct grid *g, int n_wanted)
{
    int order[CELLS], n = 0;

    for (int i = 0; i < CELLS; i++)
        order[i] = i;
    dice_shuffle(d, order, CELLS);
    for (int i = 0; i < CELLS && n < n_wanted; i++) {
        struct grid trial = *g;

        trial.cell[order[i]] = 0;
        if (!fill(&trial, NULL))
            continue;
        g->cell[order[i]] = 0;
        n++;
    }
    return n;
}

/* 3, 5, 7, 9 and 11 blanks. */
static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    int n_blanks = 3 + 2 * level;
    struct grid full, g;

    (void)k;
    do {
        roll_full(d, &full);
        g = full;
    } while (dig(d, &g, n_blanks) < n_blanks);
    pen_print(question, PREFIX "\n");
    write_grid(&g, question);
    write_grid(&full, answer);
}

/* Is g full, without a digit twice where it may not be, and what was asked? */
static bool completes(const struct grid *g, const struct grid *asked)
{
    for (int i = 0; i < CELLS; i++) {
        if (!g->cell[i] || (asked->cell[i] && asked->cell[i] != g->cell[i]))
            return false;
        for (int j = 0; j < CELLS; j++)
            if (sees(i, j) && g->cell[i] == g->cell[j])
                return false;
    }
    return true;
}

static bool accepts(const struct task_kind *k, const char *question, const char *reference,
                    struct scan given)
{
    struct grid asked, g;

    (void)k, (void)reference;
    return read_question(question, &asked) && read_grid(given, &g) && completes(&g, &asked);
}

/* "b1=2 d1=4 ..": column, row and digit. */
static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct grid asked, g;

    (void)k, (void)trace, (void)d;
    if (!read_question(question, &asked))
        return false;
    g = asked;
    if (!fill(&g, thought) || !completes(&g, &asked))
        return false;
    write_grid(&g, answer);
    return true;
}

const struct task_kind sudoku_tasks[] = {
    {"sudoku", "complete a 4x4 grid", 4, TASK_BITS_SCRATCHPAD, 0, ask, accepts, think}, {0}};
