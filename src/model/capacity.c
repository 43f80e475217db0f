/* capacity.c: sorts the choices of a sequence by device and score, and drops what is beyond. */
#include "model/capacity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/router.h"

struct choice {
    int32_t device;
    float score;
    int64_t at; /* index into [n_rows, used] */
};

/* Devices ascending; on each the highest score first. No two are equal. */
static int by_score(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

static void list_choices(const struct capacity *c, const struct arch *a, const float *logits,
                         int64_t n_rows, const int32_t *index, float *score, struct choice *out)
{
    int32_t used = a->n_experts_used, size = a->n_experts / c->n_devices;

    for (int64_t t = 0; t < n_rows; t++) {
        router_scores(a, logits + t * a->n_experts, score);
        for (int64_t at = t * used; at < (t + 1) * used; at++)
            out[at] = (struct choice){index[at] / size, score[index[at]], at};
    }
}

int capacity_drop(const struct capacity *c, const struct arch *a, const float *logits,
                  int64_t n_rows, const int32_t *index, float *weight, bool *dropped,
                  struct arena *memory, struct mk_error *err)
{
    int64_t n = n_rows * a->n_experts_used, budget, rank = 0;
    struct arena_mark mark = arena_mark(memory);
    struct choice *choices;
    float *score;

    memset(dropped, 0, (size_t)n * sizeof *dropped);
    if (arena_take(memory, &choices, (size_t)n, sizeof *choices, err) ||
        arena_take(memory, &score, (size_t)a->n_experts, sizeof *score, err))
        return err->code;
    list_choices(c, a, logits, n_rows, index, score, choices);
    qsort(choices, (size_t)n, sizeof *choices, by_score);
    budget = (int64_t)ceil(c->factor * (double)n / c->n_devices);
    for (int64_t i = 0; i < n; i++) {
        rank = i && choices[i].device == choices[i - 1].device ? rank + 1 : 0;
        if (rank < budget)
            continue;
        dropped[choices[i].at] = true;
        weight[choices[i].at] = 0;
    }
    arena_rewind(memory, mark);
    return 0;
}
