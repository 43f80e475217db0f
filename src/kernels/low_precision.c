/* low_precision.c: rounds to FP8 what jobs share once, then multiplies as ever. */
#include "kernels/low_precision.h"

#include <string.h>

#include "kernels/fp8.h"

/* q, k and v; gate and up. */
static bool same_input(const struct matmul_job *a, const struct matmul_job *b)
{
    return a->x == b->x && a->x_stride == b->x_stride && a->n_rows == b->n_rows &&
           a->w->n_in == b->w->n_in && a->w->dtype == b->w->dtype && a->w->sent == b->w->sent;
}

static int round_input(struct compute *c, struct matmul_job *job, struct mk_error *err)
{
    bool sent = job->w->sent == SENT_TO_EXPERTS;
    int64_t n_in = job->w->n_in;
    float *x;

    if (arena_take(&c->rounded, &x, (size_t)(job->n_rows * n_in), sizeof *x, err))
        return err->code;
    for (int64_t t = 0; t < job->n_rows; t++)
        memcpy(x + t * n_in, job->x + t * job->x_stride, (size_t)n_in * sizeof *x);
    fp8_round(c->ex, sent ? &fp8_sent : &fp8_activation, x, x, job->n_rows, n_in);
    job->x = x;
    job->x_stride = n_in;
    return 0;
}

static int rounded_matmul(struct compute *c, const struct matmul_job *jobs, int32_t n_jobs,
                          struct mk_error *err)
{
    struct matmul_job *own;

    arena_reset(&c->rounded);
    if (arena_take(&c->rounded, &own, (size_t)n_jobs, sizeof *own, err))
        return err->code;
    for (int32_t i = 0; i < n_jobs; i++) {
        own[i] = jobs[i];
        if (jobs[i].w->dtype != MK_F8_E4M3 || jobs[i].n_rows == 0)
            continue;
        if (i > 0 && same_input(&jobs[i], &jobs[i - 1])) {
            own[i].x = own[i - 1].x;
            own[i].x_stride = own[i - 1].x_stride;
        } else if (round_input(c, &own[i], err)) {
            return err->code;
        }
    }
    if (c->matmul_as_is(c, own, n_jobs, err))
        return err->code;
    for (int32_t i = 0; i < n_jobs; i++)
        if (jobs[i].w->dtype == MK_F8_E4M3 && jobs[i].w->sent == SENT_FROM_EXPERTS)
            bf16_round(c->ex, jobs[i].out, jobs[i].out, jobs[i].n_rows * jobs[i].w->n_out);
    return 0;
}

void compute_round_inputs(struct compute *c)
{
    c->table->bf16_inputs = true;
    c->matmul_as_is = c->table->matmul;
    c->table->matmul = rounded_matmul;
    arena_init(&c->rounded, SIZE_MAX / 4);
}
