/* search.c: when to stop, when to be lucky. */
#include "tasks/search.h"

#define MAX_TRIES 6     /* of a trace; the last of SEARCH is the solution */
#define LUCK 0.12       /* tries that are the solution whatever chance says */
#define STOP_HIT 0.9    /* IMPATIENT only */
#define STOP_MISS 0.4

static bool must_hit(enum task_trace trace, struct dice *d, int n_tries)
{
    return trace == TASK_TRACE_SCRATCHPAD ||
           (trace == TASK_TRACE_SEARCH && n_tries == MAX_TRIES - 1) || dice_chance(d, LUCK);
}

static bool stops(enum task_trace trace, struct dice *d, int n_tries, bool hit)
{
    if (trace != TASK_TRACE_IMPATIENT)
        return hit;
    return n_tries == MAX_TRIES || dice_chance(d, hit ? STOP_HIT : STOP_MISS);
}

void search_run(enum task_trace trace, struct dice *d, struct pen *thought, search_try_fn *attempt,
                void *context)
{
    bool hit;
    int n_tries = 0;

    do {
        if (n_tries)
            pen_char(thought, ' ');
        hit = attempt(context, d, must_hit(trace, d, n_tries), thought);
        pen_print(thought, "%s", hit ? TASK_CHECK_HIT : TASK_CHECK_MISS);
        n_tries++;
    } while (!thought->rc && !stops(trace, d, n_tries, hit) && n_tries < 2 * MAX_TRIES);
}
