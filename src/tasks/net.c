/* net.c: shortest paths and random walks. */
#include "tasks/net.h"

#include <string.h>

bool net_has_way(const struct net *g, int a, int b)
{
    for (int i = 0; i < g->n_ways[a]; i++)
        if (g->ways[a][i] == b)
            return true;
    return false;
}

bool net_join(struct net *g, int a, int b)
{
    if (net_has_way(g, a, b))
        return true;
    if (g->n_ways[a] == NET_MAX_WAYS || g->n_ways[b] == NET_MAX_WAYS)
        return false;
    g->ways[a][g->n_ways[a]++] = b;
    g->ways[b][g->n_ways[b]++] = a;
    return true;
}

/* Breadth first from the start. */
void net_shortest(const struct net *g, struct path *p, struct path *order)
{
    struct path queue = {.n = 1, .place = {g->start}};
    int from[NET_MAX_PLACES], at = g->goal, length = 0;

    memset(from, -1, sizeof from);
    from[g->start] = g->start;
    for (int head = 0; head < queue.n && from[g->goal] < 0; head++) {
        int here = queue.place[head];

        for (int i = 0; i < g->n_ways[here]; i++) {
            int next = g->ways[here][i];

            if (from[next] < 0) {
                from[next] = here;
                queue.place[queue.n++] = next;
            }
        }
    }
    if (order)
        *order = queue;
    p->n = 0;
    if (from[g->goal] < 0)
        return;
    for (int i = at; i != g->start; i = from[i])
        length++;
    p->n = length + 1;
    for (; length >= 0; length--, at = from[at])
        p->place[length] = at;
}

void net_walk(const struct net *g, struct dice *d, struct path *p)
{
    bool been[NET_MAX_PLACES] = {false};
    int here = g->start, open[NET_MAX_WAYS], n_open;

    p->n = 0;
    for (;;) {
        p->place[p->n++] = here;
        been[here] = true;
        n_open = 0;
        for (int i = 0; i < g->n_ways[here]; i++)
            if (!been[g->ways[here][i]])
                open[n_open++] = g->ways[here][i];
        if (here == g->goal || !n_open)
            return;
        here = open[dice_below(d, n_open)];
    }
}

bool net_arrives(const struct net *g, const struct path *p)
{
    return p->n > 0 && p->place[p->n - 1] == g->goal;
}
