/* vector.c: the row operations over many rows: strides, and which thread takes which rows.
 *
 * A task is a run of consecutive rows. Every row is computed by one call of an inner function, so
 * its bits cannot depend on how rows were cut into tasks. */
#include "kernels/cpu/vector_rows.h"

/* Below about this many values a task costs more to hand over than to do. */
#define TASK_VALUES 16384

/* One call of an operation; every operation uses the members it needs. */
struct row_job {
    const struct vector_rows *rows;
    int64_t n_rows, n_tasks;
    float *out;
    int64_t out_stride;
    const float *x, *y;
    int64_t x_stride;
    int32_t n, n_heads, head_stride, n_used;
    float a; /* eps or factor */
    enum rope_pairs pairs;
    enum dtype type;
    unsigned char *cached;
    const unsigned char *cached_in;
    int64_t cached_bytes; /* of a row */
    const int32_t *index;
};

static int64_t first_row(const struct row_job *j, int64_t task)
{
    return j->n_rows * task / j->n_tasks;
}

static void run_rows(struct compute *c, struct row_job *j, int64_t values_a_row, exec_task_fn *fn)
{
    int64_t n_tasks;

    if (j->n_rows <= 0)
        return;
    j->rows = c->k->vector_rows;
    n_tasks = values_a_row > 0 ? j->n_rows * values_a_row / TASK_VALUES : 0;
    n_tasks = n_tasks > 4 * exec_n_threads(c->ex) ? 4 * exec_n_threads(c->ex) : n_tasks;
    n_tasks = n_tasks > j->n_rows ? j->n_rows : n_tasks;
    j->n_tasks = n_tasks < 1 ? 1 : n_tasks;
    exec_run(c->ex, j->n_tasks, fn, j);
}

static void rmsnorm_task(void *context, int64_t task, int worker)
{
    const struct row_job *j = context;

    (void)worker;
    for (int64_t t = first_row(j, task); t < first_row(j, task + 1); t++)
        j->rows->rmsnorm(j->out + t * j->out_stride, j->x + t * j->x_stride, j->y, j->n, j->a);
}

static void rmsnorm(struct compute *c, float *out, int64_t out_stride, const float *x,
                    int64_t x_stride, const float *w, int64_t n_rows, int32_t n, float eps)
{
    struct row_job j = {.out = out,
                        .out_stride = out_stride,
                        .x = x,
                        .x_stride = x_stride,
                        .y = w,
                        .n_rows = n_rows,
                        .n = n,
                        .a = eps};

    run_rows(c, &j, n, rmsnorm_task);
}

static void rope_task(void *context, int64_t task, int worker)
{
    const struct row_job *j = context;

    (void)worker;
    for (int64_t t = first_row(j, task); t < first_row(j, task + 1); t++)
        for (int32_t h = 0; h < j->n_heads; h++)
            j->rows->rope(j->out + t * j->out_stride + (int64_t)h * j->head_stride, j->x + t * j->n,
                          j->n, j->pairs);
}

static void rope(struct compute *c, float *x, int64_t x_stride, int64_t n_rows, int32_t n_heads,
                 int32_t head_stride, int32_t d, const float *table, enum rope_pairs pairs)
{
    struct row_job j = {.out = x,
                        .out_stride = x_stride,
                        .x = table,
                        .n_rows = n_rows,
                        .n = d,
                        .n_heads = n_heads,
                        .head_stride = head_stride,
                        .pairs = pairs};

    run_rows(c, &j, (int64_t)n_heads * d, rope_task);
}

static void silu_mul_task(void *context, int64_t task, int worker)
{
    const struct row_job *j = context;

    (void)worker;
    for (int64_t t = first_row(j, task); t < first_row(j, task + 1); t++)
        j->rows->silu_mul(j->out + t * j->out_stride, j->x + t * j->x_stride,
                          j->y + t * j->x_stride, j->n);
}

static void silu_mul(struct compute *c, float *out, int64_t out_stride, const float *gate,
                     const float *up, int64_t stride, int64_t n_rows, int32_t n)
{
    struct row_job j = {.out = out,
                        .out_stride = out_stride,
                        .x = gate,
                        .y = up,
                        .x_stride = stride,
                        .n_rows = n_rows,
                        .n = n};

    run_rows(c, &j, 2 * (int64_t)n, silu_mul_task);
}

static void add_scaled_task(void *context, int64_t task, int worker)
{
    const struct row_job *j = context;

    (void)worker;
    for (int64_t t = first_row(j, task); t < first_row(j, task + 1); t++)
        j->rows->add_scaled(j->out + t * j->out_stride, j->x + t * j->x_stride, j->a, j->n);
}

static void add_scaled(struct compute *c, float *out, int64_t out_stride, const float *x,
                       int64_t x_stride, float a, int64_t n_rows, int32_t n)
{
    struct row_job j = {.out = out,
                        .out_stride = out_stride,
                        .x = x,
                        .x_stride = x_stride,
                        .a = a,
                        .n_rows = n_rows,
                        .n = n};

    run_rows(c, &j, n, add_scaled_task);
}

static void combine_task(void *context, int64_t task, int worker)
{
    const struct row_job *j = context;

    (void)worker;
    for (int64_t t = first_row(j, task); t < first_row(j, task + 1); t++)
        for (int32_t e = 0; e < j->n_used; e++) {
            int64_t used = t * j->n_used + e;

            j->rows->add_scaled(j->out + t * j->out_stride, j->x + j->index[used] * j->x_stride,
                                j->y[used], j->n);
        }
}

static void combine(struct compute *c, float *out, int64_t out_stride, const float *y,
                    int64_t y_stride, const int32_t *index, const float *weight, int64_t n_rows,
                    int32_t n_used, int32_t n)
{
    struct row_job j = {.out = out,
                        .out_stride = out_stride,
                        .x = y,
                        .x_stride = y_stride,
                        .y = weight,
                        .index = index,
                        .n_rows = n_rows,
                        .n_used = n_used,
                        .n = n};

    run_rows(c, &j, (int64_t)n_used * n, combine_task);
}

static void store_rows_task(void *context, int64_t task, int worker)
{
    const struct row_job *j = context;

    (void)worker;
    for (int64_t t = first_row(j, task); t < first_row(j, task + 1); t++)
        j->rows->store(j->type, j->cached + t * j->cached_bytes, j->x + t * j->x_stride, j->n);
}

static void store_rows(struct compute *c, enum dtype row_dtype, void *rows, const float *x,
                       int64_t x_stride, int64_t n_rows, int32_t row_dim)
{
    struct row_job j = {.type = row_dtype,
                        .cached = rows,
                        .x = x,
                        .x_stride = x_stride,
                        .cached_bytes = kv_row_bytes(row_dtype, row_dim),
                        .n_rows = n_rows,
                        .n = row_dim};

    run_rows(c, &j, row_dim, store_rows_task);
}

static void load_rows_task(void *context, int64_t task, int worker)
{
    const struct row_job *j = context;

    (void)worker;
    for (int64_t t = first_row(j, task); t < first_row(j, task + 1); t++)
        j->rows->load(j->type, j->out + t * j->out_stride, j->cached_in + t * j->cached_bytes, j->n,
                      0, j->n);
}

static void load_rows(struct compute *c, enum dtype row_dtype, const void *rows, float *x,
                      int64_t x_stride, int64_t n_rows, int32_t row_dim)
{
    struct row_job j = {.type = row_dtype,
                        .cached_in = rows,
                        .out = x,
                        .out_stride = x_stride,
                        .cached_bytes = kv_row_bytes(row_dtype, row_dim),
                        .n_rows = n_rows,
                        .n = row_dim};

    run_rows(c, &j, row_dim, load_rows_task);
}

static void softmax_task(void *context, int64_t task, int worker)
{
    const struct row_job *j = context;

    (void)worker;
    for (int64_t t = first_row(j, task); t < first_row(j, task + 1); t++)
        j->rows->softmax(j->out + t * j->out_stride, j->n);
}

static void softmax(struct compute *c, float *x, int64_t stride, int64_t n_rows, int32_t n)
{
    struct row_job j = {.out = x, .out_stride = stride, .n_rows = n_rows, .n = n};

    run_rows(c, &j, 2 * (int64_t)n, softmax_task);
}

static float log_sum_exp(struct compute *c, const float *x, int32_t n)
{
    return c->k->vector_rows->log_sum_exp(x, n);
}

int64_t kv_row_bytes(enum dtype row_dtype, int32_t row_dim)
{
    if (row_dtype == MK_F32)
        return (int64_t)row_dim * 4;
    if (row_dtype == MK_BF16)
        return ((int64_t)row_dim + 1) / 2 * 4;
    return i8_scales_at(row_dim) + (int64_t)i8_blocks(row_dim) * 4;
}

void vector_fill_ops(struct kernels *k)
{
    k->rmsnorm = rmsnorm;
    k->rope = rope;
    k->silu_mul = silu_mul;
    k->add_scaled = add_scaled;
    k->combine = combine;
    k->store_rows = store_rows;
    k->load_rows = load_rows;
    k->softmax = softmax;
    k->log_sum_exp = log_sum_exp;
}
