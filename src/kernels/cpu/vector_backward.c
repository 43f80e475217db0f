/* vector_backward.c: the backward row operations over many rows: strides and threads.
 *
 * What belongs to a row (dx) is divided by rows; what is summed over rows (dw, de) is divided by
 * columns, and each task walks all rows in order. So no bits depend on the division. */
#include <string.h>

#include "kernels/cpu/backward_rows.h"

/* Below about this many values a task costs more to hand over than to do. */
#define TASK_VALUES 16384
#define TASK_COLS 16 /* at least: a cache line */

struct back_job {
    const struct backward_rows *rows;
    const struct vector_rows *vector;
    int64_t n_items, n_tasks; /* rows or groups of TASK_COLS columns; tasks that share them */
    int64_t n_rows;
    int32_t n, n_used;
    float *dx, *dx2, *sums; /* sums: one a row, or one a column */
    int64_t dx_stride;
    const float *dout, *x, *x2, *w, *scale;
    int64_t dout_stride, x_stride;
    const int32_t *index;
    float eps;
};

static int64_t first_item(const struct back_job *j, int64_t task)
{
    return j->n_items * task / j->n_tasks;
}

static void run(struct compute *c, struct back_job *j, int64_t n_items, int64_t values_an_item,
                exec_task_fn *fn)
{
    int64_t n_tasks = n_items * values_an_item / TASK_VALUES;

    if (n_items <= 0)
        return;
    n_tasks = n_tasks > 4 * exec_n_threads(c->ex) ? 4 * exec_n_threads(c->ex) : n_tasks;
    n_tasks = n_tasks > n_items ? n_items : n_tasks;
    j->rows = c->k->backward_rows;
    j->vector = c->k->vector_rows;
    j->n_items = n_items;
    j->n_tasks = n_tasks < 1 ? 1 : n_tasks;
    exec_run(c->ex, j->n_tasks, fn, j);
}

static void run_rows(struct compute *c, struct back_job *j, int64_t values_a_row, exec_task_fn *fn)
{
    run(c, j, j->n_rows, values_a_row, fn);
}

static void run_columns(struct compute *c, struct back_job *j, exec_task_fn *fn)
{
    run(c, j, ((int64_t)j->n + TASK_COLS - 1) / TASK_COLS, j->n_rows * TASK_COLS, fn);
}

/* The columns of a task of run_columns. */
static int32_t task_columns(const struct back_job *j, int64_t task, int32_t *n)
{
    int64_t first = first_item(j, task) * TASK_COLS, end = first_item(j, task + 1) * TASK_COLS;

    *n = (int32_t)((end < j->n ? end : j->n) - first);
    return (int32_t)first;
}

/* ---- RMSNorm --------------------------------------------------------------------------------- */

static void rmsnorm_task(void *context, int64_t task, int worker)
{
    const struct back_job *j = context;

    (void)worker;
    for (int64_t t = first_item(j, task); t < first_item(j, task + 1); t++)
        j->sums[t] = j->rows->rmsnorm(j->dx + t * j->dx_stride, j->dout + t * j->dout_stride,
                                      j->x + t * j->x_stride, j->w, j->n, j->eps);
}

static void rmsnorm_weight_task(void *context, int64_t task, int worker)
{
    const struct back_job *j = context;
    int32_t n, first = task_columns(j, task, &n);

    (void)worker;
    for (int64_t t = 0; t < j->n_rows; t++)
        j->rows->rmsnorm_weight(j->dx2 + first, j->dout + t * j->dout_stride + first,
                                j->x + t * j->x_stride + first, j->sums[t], n);
}

static int rmsnorm_backward(struct compute *c, float *dx, int64_t dx_stride, float *dw,
                            const float *dout, int64_t dout_stride, const float *x,
                            int64_t x_stride, const float *w, int64_t n_rows, int32_t n, float eps,
                            struct mk_error *err)
{
    struct back_job j = {.dx = dx,
                         .dx_stride = dx_stride,
                         .dx2 = dw,
                         .dout = dout,
                         .dout_stride = dout_stride,
                         .x = x,
                         .x_stride = x_stride,
                         .w = w,
                         .n_rows = n_rows,
                         .n = n,
                         .eps = eps};

    arena_reset(&c->scratch);
    if (arena_take(&c->scratch, &j.sums, (size_t)n_rows, sizeof *j.sums, err))
        return err->code;
    run_rows(c, &j, 2 * (int64_t)n, rmsnorm_task);
    if (dw && n_rows > 0)
        run_columns(c, &j, rmsnorm_weight_task);
    return 0;
}

/* ---- SwiGLU, softmax ------------------------------------------------------------------------- */

static void silu_mul_task(void *context, int64_t task, int worker)
{
    const struct back_job *j = context;

    (void)worker;
    for (int64_t t = first_item(j, task); t < first_item(j, task + 1); t++)
        j->rows->silu_mul(j->dx + t * j->dx_stride, j->dx2 + t * j->dx_stride,
                          j->x + t * j->x_stride, j->x2 + t * j->x_stride,
                          j->dout + t * j->dout_stride, j->n);
}

static void silu_mul_backward(struct compute *c, float *dgate, float *dup, int64_t d_stride,
                              const float *gate, const float *up, int64_t stride,
                              const float *dout, int64_t dout_stride, int64_t n_rows, int32_t n)
{
    struct back_job j = {.dx = dgate,
                         .dx2 = dup,
                         .dx_stride = d_stride,
                         .x = gate,
                         .x2 = up,
                         .x_stride = stride,
                         .dout = dout,
                         .dout_stride = dout_stride,
                         .n_rows = n_rows,
                         .n = n};

    run_rows(c, &j, 2 * (int64_t)n, silu_mul_task);
}

static void softmax_xent_task(void *context, int64_t task, int worker)
{
    const struct back_job *j = context;

    (void)worker;
    for (int64_t t = first_item(j, task); t < first_item(j, task + 1); t++) {
        float *x = j->dx + t * j->dx_stride;

        if (j->index[t] < 0) {
            memset(x, 0, (size_t)j->n * sizeof *x);
            j->sums[t] = 0.0f;
        } else {
            j->sums[t] = j->rows->softmax_xent(x, j->n, j->index[t], j->scale[t]);
        }
    }
}

static void softmax_xent(struct compute *c, float *x, int64_t stride, const int32_t *target,
                         const float *scale, float *loss, int64_t n_rows, int32_t n)
{
    struct back_job j = {.dx = x,
                         .dx_stride = stride,
                         .index = target,
                         .scale = scale,
                         .sums = loss,
                         .n_rows = n_rows,
                         .n = n};

    run_rows(c, &j, 2 * (int64_t)n, softmax_xent_task);
}

static void softmax_task(void *context, int64_t task, int worker)
{
    const struct back_job *j = context;

    (void)worker;
    for (int64_t t = first_item(j, task); t < first_item(j, task + 1); t++)
        j->rows->softmax(j->dx + t * j->dx_stride, j->x + t * j->x_stride,
                         j->dout + t * j->dout_stride, j->n);
}

static void softmax_backward(struct compute *c, float *dx, int64_t dx_stride, const float *p,
                             int64_t p_stride, const float *dp, int64_t dp_stride, int64_t n_rows,
                             int32_t n)
{
    struct back_job j = {.dx = dx,
                         .dx_stride = dx_stride,
                         .x = p,
                         .x_stride = p_stride,
                         .dout = dp,
                         .dout_stride = dp_stride,
                         .n_rows = n_rows,
                         .n = n};

    run_rows(c, &j, n, softmax_task);
}

/* ---- Gathers --------------------------------------------------------------------------------- */

static void combine_task(void *context, int64_t task, int worker)
{
    const struct back_job *j = context;

    (void)worker;
    for (int64_t t = first_item(j, task); t < first_item(j, task + 1); t++)
        for (int64_t i = t * j->n_used; i < (t + 1) * j->n_used; i++) {
            const float *dout = j->dout + t * j->dout_stride;

            if (j->sums)
                j->sums[i] = j->rows->dot(j->x + j->index[i] * j->x_stride, dout, j->n);
            j->rows->scale(j->dx + j->index[i] * j->dx_stride, dout, j->w[i], j->n);
        }
}

static void combine_backward(struct compute *c, float *dy, int64_t dy_stride, float *dweight,
                             const float *y, int64_t y_stride, const int32_t *index,
                             const float *weight, const float *dout, int64_t dout_stride,
                             int64_t n_rows, int32_t n_used, int32_t n)
{
    struct back_job j = {.dx = dy,
                         .dx_stride = dy_stride,
                         .sums = dweight,
                         .x = y,
                         .x_stride = y_stride,
                         .index = index,
                         .w = weight,
                         .dout = dout,
                         .dout_stride = dout_stride,
                         .n_rows = n_rows,
                         .n_used = n_used,
                         .n = n};

    run_rows(c, &j, 2 * (int64_t)n_used * n, combine_task);
}

static void embed_task(void *context, int64_t task, int worker)
{
    const struct back_job *j = context;
    int32_t n, first = task_columns(j, task, &n);

    (void)worker;
    for (int64_t t = 0; t < j->n_rows; t++)
        j->vector->add_scaled(j->dx + j->index[t] * j->dx_stride + first,
                              j->dout + t * j->dout_stride + first, 1.0f, n);
}

static void embed_backward(struct compute *c, float *de, int64_t de_stride, const int32_t *id,
                           const float *dx, int64_t dx_stride, int64_t n_rows, int32_t n)
{
    struct back_job j = {.dx = de,
                         .dx_stride = de_stride,
                         .index = id,
                         .dout = dx,
                         .dout_stride = dx_stride,
                         .n_rows = n_rows,
                         .n = n};

    run_columns(c, &j, embed_task);
}

/* ---- The optimiser --------------------------------------------------------------------------- */

struct adamw_job {
    const struct backward_rows *rows;
    const struct adamw_step *step;
    const struct adamw_piece *pieces;
};

static void adamw_task(void *context, int64_t task, int worker)
{
    const struct adamw_job *j = context;

    (void)worker;
    j->rows->adamw(j->step, &j->pieces[task]);
}

static void adamw(struct compute *c, const struct adamw_step *step,
                  const struct adamw_piece *pieces, int64_t n_pieces)
{
    struct adamw_job j = {c->k->backward_rows, step, pieces};

    exec_run(c->ex, n_pieces, adamw_task, &j);
}

void vector_backward_fill_ops(struct kernels *k)
{
    k->adamw = adamw;
    k->rmsnorm_backward = rmsnorm_backward;
    k->silu_mul_backward = silu_mul_backward;
    k->softmax_xent = softmax_xent;
    k->softmax_backward = softmax_backward;
    k->combine_backward = combine_backward;
    k->embed_backward = embed_backward;
}
