/* speed.c: counting the arithmetic of a step, and timing what the machine can do. */
#include "train/speed.h"

#include <string.h>

#include "base/clock.h"

#define N_ROWS 512 /* of the inputs */
#define N_WIDE 768 /* inputs and outputs of the matrix: a multiple of the FP8 block */
#define BLOCK 128
#define MEASURE_MS 60

/* How often a token is multiplied with a parameter, on average. */
static double uses(const struct params *p, const struct param *q)
{
    const struct arch *a = &p->arch;

    if (q->n_dims != 2)
        return 0;
    if (q == params_head(p))
        return 1 + a->n_mtp;
    if (q->role == W_EMBED)
        return 0;
    if (q->role >= W_EXPERT_GATE && q->role <= W_EXPERT_DOWN)
        return (double)a->n_experts_used / a->n_experts;
    return 1;
}

double speed_token_ops(const struct params *p)
{
    double ops = 0;

    for (int64_t i = 0; i < p->n_items; i++)
        ops += uses(p, &p->items[i]) * (double)p->items[i].n * (p->items[i].grad ? 6 : 4);
    return ops;
}

/* A product of N_ROWS rows with one matrix, over and over. */
static int measure(struct compute *c, const struct matmul_job *job, double *ops,
                   struct mk_error *err)
{
    double begun = clock_ms(), best = 1e30;

    while (clock_ms() - begun < MEASURE_MS || best == 1e30) {
        double now = clock_ms(), ms;

        if (c->k->matmul(c, job, 1, err))
            return err->code;
        ms = clock_ms() - now;
        best = ms < best ? ms : best;
    }
    *ops = 2.0 * N_ROWS * N_WIDE * N_WIDE / (best > 0 ? best : 1e-3) * 1e3;
    return 0;
}

/* Zeros take as long as other numbers. */
static int prepare(struct arena *memory, enum dtype type, struct packed *w,
                   struct matmul_job *job, struct mk_error *err)
{
    static const float scales[N_WIDE / BLOCK * N_WIDE / BLOCK];
    struct weight_src src = {.dtype = type, .n_out = N_WIDE, .n_in = N_WIDE};
    unsigned char *values;
    float *x, *out;

    if (type == MK_F8_E4M3) {
        src.scales = scales;
        src.n_scale_cols = N_WIDE / BLOCK;
        src.block_out = src.block_in = BLOCK;
    }
    if (arena_take(memory, &values, (size_t)N_WIDE * N_WIDE, sizeof(float), err) ||
        arena_take(memory, &x, (size_t)N_ROWS * N_WIDE, sizeof *x, err) ||
        arena_take(memory, &out, (size_t)N_ROWS * N_WIDE, sizeof *out, err))
        return err->code;
    memset(values, 0, (size_t)N_WIDE * N_WIDE * sizeof(float));
    memset(x, 0, (size_t)N_ROWS * N_WIDE * sizeof *x);
    src.data = values;
    *job = (struct matmul_job){.w = w,
                               .x = x,
                               .x_stride = N_WIDE,
                               .n_rows = N_ROWS,
                               .out = out,
                               .out_stride = N_WIDE};
    return packed_init(w, &src, memory, err);
}

int speed_peak(struct compute *c, enum dtype type, double *ops, struct mk_error *err)
{
    struct matmul_job job;
    struct arena memory;
    struct packed w;
    int code;

    arena_init(&memory, (size_t)64 << 20);
    code = prepare(&memory, type, &w, &job, err);
    if (!code)
        code = measure(c, &job, ops, err);
    arena_release(&memory);
    return code;
}
