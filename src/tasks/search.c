/* search.c: when to stop, when to be lucky. */
#include "tasks/search.h"

#include <string.h>

#define MAX_TRIES 6     /* of a trace; the last of SEARCH is the solution */
#define MAX_ROLLS 8     /* for a try that was not made before */
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

/* Was the try that begins at `begin` made before? Each stands in the thought up to its ';'. */
static bool is_repeated(const struct pen *thought, size_t begin)
{
    const char *text = thought->out->data, *last = text + begin;
    size_t n = thought->out->n - begin;

    for (const char *at = text; at < last; at = strchr(at, ' ') + 1)
        if (!strncmp(at, last, n) && at[n] == ';')
            return true;
    return false;
}

/* A try that was not made before, or after some vain rolls of the dice the solution. */
static bool try_something_new(search_try_fn *attempt, void *context, struct dice *d, bool lucky,
                              struct pen *thought)
{
    size_t begin = thought->out->n;

    for (int roll = 0;; roll++) {
        bool hit = attempt(context, d, lucky || roll == MAX_ROLLS, thought);

        if (hit || thought->rc || !is_repeated(thought, begin))
            return hit;
        pen_rewind(thought, begin);
    }
}

void search_run(enum task_trace trace, struct dice *d, struct pen *thought, search_try_fn *attempt,
                void *context)
{
    int n_tries = 0;
    bool hit;

    do {
        if (n_tries)
            pen_char(thought, ' ');
        hit = try_something_new(attempt, context, d, must_hit(trace, d, n_tries), thought);
        pen_print(thought, "%s", hit ? TASK_CHECK_HIT : TASK_CHECK_MISS);
        n_tries++;
    } while (!thought->rc && !stops(trace, d, n_tries, hit));
}
