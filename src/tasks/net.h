/* net.h: places and the ways between them: what mazes and graphs have in common. */
#ifndef MK_TASKS_NET_H
#define MK_TASKS_NET_H

#include <stdbool.h>

#include "tasks/dice.h"

#define NET_MAX_PLACES 100
#define NET_MAX_WAYS 16 /* from one place */

struct net {
    int n, start, goal;
    int n_ways[NET_MAX_PLACES];
    int ways[NET_MAX_PLACES][NET_MAX_WAYS]; /* to which places */
};

struct path { int n, place[NET_MAX_PLACES]; }; /* from the start on; n places */

bool net_has_way(const struct net *g, int a, int b);
/* Both ways; false: one of them has too many already. A way that is there already is no other. */
bool net_join(struct net *g, int a, int b);
/* The first shortest path, ways in their order; n = 0: there is none. `order`, if not NULL, gets
 * all places in the order in which the search spread. */
void net_shortest(const struct net *g, struct path *p, struct path *order);
/* Walks at random to places where it has not been; ends at the goal or where there is none left. */
void net_walk(const struct net *g, struct dice *d, struct path *p);
bool net_arrives(const struct net *g, const struct path *p);

#endif
