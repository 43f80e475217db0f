/* graph.c: a path along named edges. "Path from a to f? ab bc ad df": adf. */
#include "tasks/kind.h"

#include <string.h>

#include "tasks/net.h"
#include "tasks/search.h"

#define N_NAMES 26 /* places are a .. z */

static bool read_name(struct scan *s, int *place)
{
    if (scan_ended(s) || *s->at < 'a' || *s->at > 'z')
        return false;
    *place = *s->at++ - 'a';
    return true;
}

static bool read_graph(const char *question, struct net *g)
{
    struct scan s = scan_text(question);

    *g = (struct net){.n = N_NAMES};
    if (!scan_word(&s, "Path from ") || !read_name(&s, &g->start) || !scan_word(&s, " to ") ||
        !read_name(&s, &g->goal) || !scan_char(&s, '?'))
        return false;
    while (!scan_ended(&s)) {
        int a, b;

        if (!scan_char(&s, ' ') || !read_name(&s, &a) || !read_name(&s, &b) || !net_join(g, a, b))
            return false;
    }
    return g->start != g->goal;
}

static void write_path(const struct path *path, struct pen *p)
{
    for (int i = 0; i < path->n; i++)
        pen_char(p, (char)('a' + path->place[i]));
}

/* A tree over n places and n / 2 more edges, named and ordered at random; the ends are no
 * neighbours. */
static void roll_graph(struct dice *d, int n, struct net *g, int edges[][2], int *n_edges)
{
    int names[N_NAMES];

    for (int i = 0; i < N_NAMES; i++)
        names[i] = i;
    do {
        *g = (struct net){.n = N_NAMES};
        *n_edges = 0;
        dice_shuffle(d, names, N_NAMES);
        for (int i = 1; i < n + n / 2; i++) {
            int a = names[i < n ? i : dice_below(d, n)], b = names[dice_below(d, i < n ? i : n)];

            if (a == b || net_has_way(g, a, b) || !net_join(g, a, b))
                continue;
            edges[*n_edges][0] = a;
            edges[(*n_edges)++][1] = b;
        }
        g->start = names[dice_below(d, n)];
        g->goal = names[dice_below(d, n)];
    } while (g->start == g->goal || net_has_way(g, g->start, g->goal));
}

static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    int edges[2 * N_NAMES][2], order[2 * N_NAMES], n_edges;
    struct path path;
    struct net g;

    (void)k;
    roll_graph(d, 4 + level, &g, edges, &n_edges);
    for (int i = 0; i < n_edges; i++)
        order[i] = i;
    dice_shuffle(d, order, n_edges);
    pen_print(question, "Path from %c to %c?", 'a' + g.start, 'a' + g.goal);
    for (int i = 0; i < n_edges; i++) {
        int flip = dice_below(d, 2);

        pen_print(question, " %c%c", 'a' + edges[order[i]][flip], 'a' + edges[order[i]][!flip]);
    }
    net_shortest(&g, &path, NULL);
    write_path(&path, answer);
}

/* "adf", also with '-', blanks or commas between. */
static bool accepts(const struct task_kind *k, const char *question, const char *reference,
                    struct scan given)
{
    struct net g;
    int here, next;

    (void)k, (void)reference;
    if (!read_graph(question, &g) || !read_name(&given, &here) || here != g.start)
        return false;
    while (!scan_ended(&given)) {
        if (strchr("-, ", *given.at) && *given.at) {
            given.at++;
            continue;
        }
        if (!read_name(&given, &next) || !net_has_way(&g, here, next))
            return false;
        here = next;
    }
    return here == g.goal;
}

/* ---- traces ---------------------------------------------------------------------------------- */

/* "a:bd b:c d:f": breadth first, what is new from each place on, until the goal is seen. */
static void think_spreading(const struct net *g, struct pen *thought)
{
    bool seen[NET_MAX_PLACES] = {false};
    struct path path, order;

    net_shortest(g, &path, &order);
    seen[g->start] = true;
    for (int i = 0; i < order.n && !seen[g->goal]; i++) {
        int here = order.place[i];

        pen_print(thought, i ? " %c:" : "%c:", 'a' + here);
        for (int j = 0; j < g->n_ways[here]; j++) {
            if (!seen[g->ways[here][j]])
                pen_char(thought, (char)('a' + g->ways[here][j]));
            seen[g->ways[here][j]] = true;
        }
    }
}

struct attempt { struct net g; struct path path; };

static bool try_once(void *context, struct dice *d, bool must_hit, struct pen *thought)
{
    struct attempt *a = context;

    if (must_hit)
        net_shortest(&a->g, &a->path, NULL);
    else
        net_walk(&a->g, d, &a->path);
    write_path(&a->path, thought);
    return net_arrives(&a->g, &a->path);
}

static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct attempt a;

    (void)k;
    if (!read_graph(question, &a.g))
        return false;
    net_shortest(&a.g, &a.path, NULL);
    if (!a.path.n)
        return false;
    if (trace == TASK_TRACE_SCRATCHPAD)
        think_spreading(&a.g, thought);
    else
        search_run(trace, d, thought, try_once, &a);
    write_path(&a.path, answer);
    return true;
}

const struct task_kind graph_tasks[] = {
    {"graph", "a path along named edges", 6, TASK_BITS_ALL, 0, ask, accepts, think}, {0}};
