/* memory_told.c: beside what the process has already. */
#include "cli/memory_told.h"

#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "cli/progress.h"

static int check_room(const struct memory_told *m, const struct need *n, uint64_t have,
                      struct mk_error *err)
{
    uint64_t available = memory_available(), all = need_total(n);
    char need[16], left[16];

    if (!available || all <= have || all - have <= available)
        return 0;
    progress_bytes(need, all);
    progress_bytes(left, available);
    return mk_error_set(err, MK_EMEMORY,
                        "the run needs about %s of memory and %s are free: lower %s, or take a "
                        "smaller model",
                        need, left, m->lower);
}

int memory_told_check(const struct memory_told *m, const struct params *p,
                      const struct trainer_options *o, struct mk_error *err)
{
    struct need n;

    need_count(&n, p, o);
    return check_room(m, &n, arena_most(&p->memory), err);
}

int memory_told_tell(struct memory_told *m, const struct need *n, struct trainer *t,
                     struct mk_error *err)
{
    m->bytes = need_total(n);
    if (check_room(m, n, memory_resident(), err) || need_reserve(n, t, err))
        return err->code;
    if (m->quiet)
        return 0;
    fprintf(stderr,
            "memory  about %.0f MB: weights %.1f, gradients %.1f, moments %.1f,\n"
            "        passes %.1f, %s %.1f\n",
            ceil((double)m->bytes * 1e-6), (double)n->weights * 1e-6, (double)n->gradients * 1e-6,
            (double)n->moments * 1e-6, (double)n->passes * 1e-6, m->rest, (double)n->rest * 1e-6);
    return 0;
}

void memory_told_after(const struct memory_told *m)
{
    if (!m->quiet)
        fprintf(stderr, "memory  %.0f MB at most, %.0f MB was told\n", (double)memory_peak() * 1e-6,
                ceil((double)m->bytes * 1e-6));
}
