/* maze.c: a grid of '.' and '#'; the answer leads from S to G by moves U, D, L and R.
 *
 * The thought names each place by column and row, as on a chess board with row 1 on top. The
 * scratchpad first writes down what is where: a small model finds what follows a name in the text,
 * and does not find what lies above a place in a grid (docs/reasoning.md). */
#include "tasks/kind.h"

#include "tasks/net.h"
#include "tasks/search.h"

#define PREFIX "Maze"
#define MAX_SIDE 9
#define WALLS 0.35 /* of the places */

static const char moves[] = "UDLR";
static const int step_row[] = {-1, 1, 0, 0}, step_column[] = {0, 0, -1, 1};

struct maze {
    int rows, columns;
    bool wall[MAX_SIDE][MAX_SIDE];
    int start_row, start_column, goal_row, goal_column;
};

static int place(const struct maze *m, int row, int column)
{
    return row * m->columns + column;
}

static bool is_open(const struct maze *m, int row, int column)
{
    return row >= 0 && row < m->rows && column >= 0 && column < m->columns &&
           !m->wall[row][column];
}

static struct net net_of(const struct maze *m)
{
    struct net g = {.n = m->rows * m->columns};

    g.start = place(m, m->start_row, m->start_column);
    g.goal = place(m, m->goal_row, m->goal_column);
    for (int r = 0; r < m->rows; r++)
        for (int c = 0; c < m->columns; c++)
            for (int i = 0; i < 4 && !m->wall[r][c]; i++)
                if (is_open(m, r + step_row[i], c + step_column[i]))
                    net_join(&g, place(m, r, c), place(m, r + step_row[i], c + step_column[i]));
    return g;
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool read_place(struct maze *m, char c, int row, int column, int *n_starts, int *n_goals)
{
    m->wall[row][column] = c == '#';
    if (c == 'S') {
        m->start_row = row;
        m->start_column = column;
        ++*n_starts;
    } else if (c == 'G') {
        m->goal_row = row;
        m->goal_column = column;
        ++*n_goals;
    } else
        return c == '#' || c == '.';
    return true;
}

/* The heading, then rows of one length. */
static bool read_maze(const char *question, struct maze *m)
{
    struct scan s = scan_text(question);
    int n_starts = 0, n_goals = 0;

    *m = (struct maze){.rows = 0};
    if (!scan_word(&s, PREFIX))
        return false;
    while (!scan_ended(&s)) {
        int column = 0;

        if (m->rows == MAX_SIDE || !scan_char(&s, '\n'))
            return false;
        for (; !scan_ended(&s) && *s.at != '\n'; s.at++, column++)
            if (column == MAX_SIDE || !read_place(m, *s.at, m->rows, column, &n_starts, &n_goals))
                return false;
        if (m->rows++ && column != m->columns)
            return false;
        m->columns = column;
    }
    return n_starts == 1 && n_goals == 1;
}

static char look(const struct maze *m, int row, int column)
{
    if (row == m->start_row && column == m->start_column)
        return 'S';
    if (row == m->goal_row && column == m->goal_column)
        return 'G';
    return m->wall[row][column] ? '#' : '.';
}

static void write_maze(const struct maze *m, struct pen *p)
{
    pen_print(p, PREFIX);
    for (int r = 0; r < m->rows; r++) {
        pen_char(p, '\n');
        for (int c = 0; c < m->columns; c++)
            pen_char(p, look(m, r, c));
    }
}

static void write_moves(const struct maze *m, const struct path *path, struct pen *p)
{
    for (int i = 1; i < path->n; i++) {
        int from = path->place[i - 1], to = path->place[i], move = 0;

        while (to != from + step_row[move] * m->columns + step_column[move])
            move++;
        pen_char(p, moves[move]);
    }
}

/* ---- the task -------------------------------------------------------------------------------- */

/* n by n, S and G at least n - 1 moves apart. */
static void roll_maze(struct dice *d, int n, struct maze *m, struct path *path)
{
    struct net g;

    do {
        *m = (struct maze){.rows = n, .columns = n};
        for (int i = 0; i < n * n; i++)
            m->wall[i / n][i % n] = dice_chance(d, WALLS);
        m->start_row = dice_below(d, n);
        m->start_column = dice_below(d, n);
        m->goal_row = dice_below(d, n);
        m->goal_column = dice_below(d, n);
        m->wall[m->start_row][m->start_column] = m->wall[m->goal_row][m->goal_column] = false;
        g = net_of(m);
        net_shortest(&g, path, NULL);
    } while (path->n < n);
}

static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    struct path path;
    struct maze m;

    (void)k;
    roll_maze(d, 3 + level, &m, &path);
    write_maze(&m, question);
    write_moves(&m, &path, answer);
}

static bool accepts(const struct task_kind *k, const char *question, const char *reference,
                    struct scan given)
{
    struct maze m;
    int r, c;

    (void)k, (void)reference;
    if (!read_maze(question, &m) || given.end - given.at > 4 * MAX_SIDE * MAX_SIDE)
        return false;
    r = m.start_row;
    c = m.start_column;
    for (; !scan_ended(&given); given.at++) {
        int move = 0;

        while (move < 4 && moves[move] != *given.at)
            move++;
        if (move == 4)
            return false;
        r += step_row[move];
        c += step_column[move];
        if (!is_open(&m, r, c))
            return false;
    }
    return r == m.goal_row && c == m.goal_column;
}

static void name_place(const struct maze *m, int at, struct pen *p)
{
    pen_print(p, "%c%d", 'a' + at % m->columns, 1 + at / m->columns);
}

/* "a1.b1#a2Sb2G": what is where, in the order of reading. From here on places are found by name. */
static void write_map(const struct maze *m, struct pen *p)
{
    for (int i = 0; i < m->rows * m->columns; i++) {
        name_place(m, i, p);
        pen_char(p, look(m, i / m->columns, i % m->columns));
    }
}

static struct net from_goal(const struct net *g)
{
    struct net back = *g;

    back.start = g->goal;
    back.goal = g->start;
    return back;
}

/* " b2:a2b1 a2:": breadth first from the goal, what is new from each place on, until the start is
 * seen. From the start, the place that each was seen from is the next of a shortest way. */
static void write_spreading(const struct maze *m, const struct net *g, struct pen *p)
{
    bool seen[NET_MAX_PLACES] = {false};
    struct net back = from_goal(g);
    struct path path, order;

    net_shortest(&back, &path, &order);
    seen[back.start] = true;
    for (int i = 0; i < order.n && !seen[back.goal]; i++) {
        int here = order.place[i];

        pen_char(p, ' ');
        name_place(m, here, p);
        pen_char(p, ':');
        for (int j = 0; j < g->n_ways[here]; j++) {
            if (!seen[g->ways[here][j]])
                name_place(m, g->ways[here][j], p);
            seen[g->ways[here][j]] = true;
        }
    }
}

static void write_way(const struct maze *m, const struct path *path, struct pen *p)
{
    for (int i = 0; i < path->n; i++)
        name_place(m, path->place[i], p);
}

/* The one that write_spreading tells: of all shortest ways, that of a search from the goal. */
static void shortest_way(const struct net *g, struct path *path)
{
    struct net back = from_goal(g);
    struct path reversed;

    net_shortest(&back, &reversed, NULL);
    path->n = reversed.n;
    for (int i = 0; i < path->n; i++)
        path->place[i] = reversed.place[path->n - 1 - i];
}

struct attempt { struct maze m; struct net g; struct path path; };

static bool try_once(void *context, struct dice *d, bool must_hit, struct pen *thought)
{
    struct attempt *a = context;

    if (must_hit)
        shortest_way(&a->g, &a->path);
    else
        net_walk(&a->g, d, &a->path);
    write_way(&a->m, &a->path, thought);
    return net_arrives(&a->g, &a->path);
}

static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct attempt a;

    (void)k;
    if (!read_maze(question, &a.m))
        return false;
    a.g = net_of(&a.m);
    shortest_way(&a.g, &a.path);
    if (a.path.n < 2)
        return false;
    if (trace == TASK_TRACE_SCRATCHPAD) {
        write_map(&a.m, thought);
        write_spreading(&a.m, &a.g, thought);
        pen_char(thought, ' ');
        write_way(&a.m, &a.path, thought);
    } else
        search_run(trace, d, thought, try_once, &a);
    write_moves(&a.m, &a.path, answer);
    return true;
}

const struct task_kind maze_tasks[] = {
    {"maze", "a way from S to G in a grid", 5, TASK_BITS_ALL, 0, ask, accepts, think}, {0}};
