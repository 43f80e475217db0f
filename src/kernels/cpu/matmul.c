/* matmul.c: divides matrix products among the threads and walks rows and panels.
 *
 * A task is a range of panels by a range of rows of one job: never a part of K, so no sum is ever
 * put together from pieces and the division leaves no trace in the result. Rows go through in
 * chunks of MK_MAX_TILE_ROWS: the chunk's activations stay in the second-level cache while the
 * task's panels pass by. */
#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/matmul_rows.h"

#define CHUNK MK_MAX_TILE_ROWS
#define ROWS_PER_ROUNDING 8       /* rows of one task that rounds activations */
#define ROUND_ALONE_VALUES 16384  /* fewer are rounded by the caller: waking others costs more */
#define TASKS_PER_THREAD 4        /* so that a thread that was held up can be helped */
#define MIN_TASK_WORK 2048        /* rows * inputs * panels */

/* One set of rows, rounded once for all jobs that share it. */
struct input {
    const float *x;
    int64_t x_stride, n_rows;
    int32_t n_in;
    bool rounded;           /* a job with block weights reads it */
    bool narrow;            /* a job with bf16 weights reads it in bf16 */
    struct x_block *blocks; /* [chunk][n_in / 32][rows of the chunk] */
    unsigned char *bf16;    /* [n_rows] as bf16_rows.h has them, bf16_stride bytes apart */
    int64_t bf16_stride;
    int64_t first_task;
};

struct part {
    const struct matmul_job *job;
    const struct input *input;
    int64_t first_task; /* tasks of a part: row range by row range, panels fastest */
    int64_t panels_per_task, n_panel_tasks, chunks_per_task, n_row_tasks;
};

struct plan {
    const struct matmul_rows *rows;
    const struct bf16_rows *bf16; /* NULL: inputs stay f32 */
    struct input *inputs; /* [n_inputs] */
    struct part *parts;   /* [n_parts] */
    int32_t n_inputs, n_parts;
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* ---- Rounding the activations ---- */

static bool same_input(const struct input *in, const struct matmul_job *job)
{
    return in->x == job->x && in->x_stride == job->x_stride && in->n_rows == job->n_rows &&
           in->n_in == job->w->n_in;
}

static void round_rows(const struct plan *plan, const struct input *in, int64_t first, int64_t end)
{
    int64_t n_blocks = in->n_in / MK_BLOCK;

    for (int64_t r = first; in->narrow && r < end; r++)
        plan->bf16->round(in->bf16 + r * in->bf16_stride, in->x + r * in->x_stride, in->n_in);
    for (int64_t r = first; in->rounded && r < end; r++) {
        int64_t chunk = r / CHUNK * CHUNK;
        int64_t in_chunk = in->n_rows - chunk < CHUNK ? in->n_rows - chunk : CHUNK;

        plan->rows->quantise(in->blocks + chunk * n_blocks + r % CHUNK, in_chunk,
                             in->x + r * in->x_stride, (int32_t)n_blocks);
    }
}

static void round_task(void *context, int64_t task, int worker)
{
    const struct plan *plan = context;
    int32_t i = plan->n_inputs - 1;
    int64_t first, end;

    (void)worker;
    while (plan->inputs[i].first_task > task ||
           !(plan->inputs[i].rounded || plan->inputs[i].narrow))
        i--;
    first = (task - plan->inputs[i].first_task) * ROWS_PER_ROUNDING;
    end = first + ROWS_PER_ROUNDING;
    if (end > plan->inputs[i].n_rows)
        end = plan->inputs[i].n_rows;
    round_rows(plan, &plan->inputs[i], first, end);
}

static int round_inputs(struct compute *c, struct plan *plan, struct mk_error *err)
{
    int64_t n_tasks = 0, n_values = 0;

    for (int32_t i = 0; i < plan->n_inputs; i++) {
        struct input *in = &plan->inputs[i];
        int64_t n_blocks = in->n_rows * (in->n_in / MK_BLOCK);

        in->first_task = n_tasks;
        if (!in->rounded && !in->narrow)
            continue;
        if (in->rounded &&
            arena_take(&c->scratch, &in->blocks, (size_t)n_blocks, sizeof *in->blocks, err))
            return err->code;
        /* An odd number of cache lines: rows never share one set of the first-level cache. */
        in->bf16_stride = in->narrow ? (plan->bf16->value_bytes * in->n_in + 63) / 64 * 64 : 0;
        in->bf16_stride += in->bf16_stride / 64 % 2 ? 0 : 64;
        if (in->narrow && arena_take(&c->scratch, &in->bf16, (size_t)in->n_rows,
                                     (size_t)in->bf16_stride, err))
            return err->code;
        n_tasks += ceil_div(in->n_rows, ROWS_PER_ROUNDING);
        n_values += in->n_rows * in->n_in;
    }
    if (n_values >= ROUND_ALONE_VALUES)
        exec_run(c->ex, n_tasks, round_task, plan);
    else
        for (int64_t t = 0; t < n_tasks; t++)
            round_task(plan, t, 0);
    return 0;
}

/* ---- Dividing the work ---- */

/* In units of 16 products: comparable between jobs, not exact. */
static int64_t panel_work(const struct matmul_job *job)
{
    return job->n_rows * job->w->n_in;
}

static void divide(struct part *p, int64_t work_per_task)
{
    int64_t n_panels = packed_n_panels(p->job->w);
    int64_t n_chunks = ceil_div(p->job->n_rows, CHUNK);
    int64_t work = panel_work(p->job);
    int64_t n_row_tasks = ceil_div(work, work_per_task);

    p->panels_per_task = work_per_task / work;
    if (p->panels_per_task < 1)
        p->panels_per_task = 1;
    p->n_panel_tasks = ceil_div(n_panels, p->panels_per_task);
    p->panels_per_task = ceil_div(n_panels, p->n_panel_tasks); /* evenly */
    p->n_panel_tasks = ceil_div(n_panels, p->panels_per_task);
    p->chunks_per_task = ceil_div(n_chunks, n_row_tasks < n_chunks ? n_row_tasks : n_chunks);
    p->n_row_tasks = ceil_div(n_chunks, p->chunks_per_task);
}

/* Numbers the tasks of all parts; returns how many there are. */
static int64_t divide_all(struct plan *plan, int n_threads)
{
    int64_t work = 0, work_per_task, n_tasks = 0;

    for (int32_t i = 0; i < plan->n_parts; i++)
        work += panel_work(plan->parts[i].job) * packed_n_panels(plan->parts[i].job->w);
    work_per_task = n_threads == 1 ? work : ceil_div(work, (int64_t)n_threads * TASKS_PER_THREAD);
    if (work_per_task < MIN_TASK_WORK)
        work_per_task = MIN_TASK_WORK;
    for (int32_t i = 0; i < plan->n_parts; i++) {
        struct part *p = &plan->parts[i];

        divide(p, work_per_task);
        p->first_task = n_tasks;
        n_tasks += p->n_panel_tasks * p->n_row_tasks;
    }
    return n_tasks;
}

static int make_plan(struct plan *plan, struct compute *c, const struct matmul_job *jobs,
                     int32_t n_jobs, struct mk_error *err)
{
    *plan = (struct plan){.rows = c->k->matmul_rows,
                          .bf16 = c->k->bf16_inputs ? c->k->bf16_rows : NULL};
    if (arena_take(&c->scratch, &plan->inputs, (size_t)n_jobs, sizeof *plan->inputs, err) ||
        arena_take(&c->scratch, &plan->parts, (size_t)n_jobs, sizeof *plan->parts, err))
        return err->code;
    for (int32_t i = 0; i < n_jobs; i++) {
        const struct matmul_job *job = &jobs[i];
        struct input *in = plan->n_inputs ? &plan->inputs[plan->n_inputs - 1] : NULL;

        if (job->n_rows < 1)
            continue;
        if (!in || !same_input(in, job)) {
            in = &plan->inputs[plan->n_inputs++];
            *in = (struct input){.x = job->x,
                                 .x_stride = job->x_stride,
                                 .n_rows = job->n_rows,
                                 .n_in = job->w->n_in};
        }
        in->rounded = in->rounded || dtype_is_quantised(job->w->dtype);
        in->narrow = in->narrow || (plan->bf16 && job->w->dtype == MK_BF16);
        plan->parts[plan->n_parts++] = (struct part){.job = job, .input = in};
    }
    return 0;
}

/* ---- Multiplying ---- */

/* Takes the lanes that exist out of the accumulators, acc_stride apart. */
static void write_rows(const struct matmul_job *job, const float *acc, int32_t acc_stride,
                       int64_t panel, int64_t row, int32_t n_rows)
{
    int64_t r = panel * MK_PANEL;
    int64_t n = job->w->n_out - r < MK_PANEL ? job->w->n_out - r : MK_PANEL;

    for (int32_t i = 0; i < n_rows; i++, acc += acc_stride) {
        float *out = job->out + (row + i) * job->out_stride + r;

        if (n == MK_PANEL && !job->bias)
            memcpy(out, acc, MK_PANEL * sizeof *out);
        else
            for (int64_t lane = 0; lane < n; lane++)
                out[lane] = job->bias ? acc[lane] + job->bias[r + lane] : acc[lane];
    }
}

/* Plain weights go straight into out where all lanes exist. */
static void multiply_panel(const struct plan *plan, const struct part *p, int64_t panel,
                           int64_t row, int32_t n_rows)
{
    const struct matmul_job *job = p->job;
    const struct packed *w = job->w;
    const unsigned char *data = w->data + panel * w->panel_bytes;
    _Alignas(64) float acc[CHUNK * MK_PANEL]; /* [n_rows, 16] */
    int32_t n_blocks = w->n_in / MK_BLOCK;
    bool plain = !dtype_is_quantised(w->dtype);
    bool direct = plain && !job->bias && (panel + 1) * MK_PANEL <= w->n_out;
    float *out = direct ? job->out + row * job->out_stride + panel * MK_PANEL : acc;

    if (plain)
        plan->rows->plain[w->dtype](out, direct ? job->out_stride : MK_PANEL, data, w->n_in,
                                    w->block_in, job->x + row * job->x_stride, job->x_stride,
                                    n_rows);
    else
        plan->rows->blocks[w->dtype](acc, data, n_blocks, p->input->blocks + row * n_blocks,
                                     n_rows);
    if (!direct)
        write_rows(job, acc, MK_PANEL, panel, row, n_rows);
}

/* One or two panels with inputs in bf16; straight into out where all lanes exist. */
static void multiply_bf16(const struct plan *plan, const struct part *p, int64_t panel,
                          int32_t n_panels, int64_t row, int32_t n_rows)
{
    const struct matmul_job *job = p->job;
    const struct packed *w = job->w;
    bool direct = !job->bias && (panel + n_panels) * MK_PANEL <= w->n_out;
    _Alignas(64) float acc[CHUNK * 2 * MK_PANEL]; /* [n_rows, 32] */
    float *out = direct ? job->out + row * job->out_stride + panel * MK_PANEL : acc;

    plan->bf16->panels(out, direct ? job->out_stride : 2 * MK_PANEL,
                       w->data + panel * w->panel_bytes, w->panel_bytes, n_panels, w->n_in,
                       p->input->bf16 + row * p->input->bf16_stride, p->input->bf16_stride,
                       n_rows);
    for (int32_t i = 0; i < n_panels && !direct; i++)
        write_rows(job, acc + i * MK_PANEL, 2 * MK_PANEL, panel + i, row, n_rows);
}

/* Panels first .. end - 1 by a chunk of rows. */
static void multiply_panels(const struct plan *plan, const struct part *p, int64_t first,
                            int64_t end, int64_t row, int32_t n_rows)
{
    bool bf16 = plan->bf16 && p->job->w->dtype == MK_BF16;

    for (int64_t i = first; i < end && bf16; i += 2)
        multiply_bf16(plan, p, i, end - i < 2 ? 1 : 2, row, n_rows);
    for (int64_t i = first; i < end && !bf16; i++)
        multiply_panel(plan, p, i, row, n_rows);
}

static void multiply_task(void *context, int64_t task, int worker)
{
    const struct plan *plan = context;
    int32_t low = 0, high = plan->n_parts;
    const struct part *p;
    int64_t panel, end_panel, row, end_row;

    (void)worker;
    while (high - low > 1) {
        int32_t middle = low + (high - low) / 2;

        if (plan->parts[middle].first_task <= task)
            low = middle;
        else
            high = middle;
    }
    p = &plan->parts[low];
    task -= p->first_task;
    panel = task % p->n_panel_tasks * p->panels_per_task;
    end_panel = panel + p->panels_per_task;
    if (end_panel > packed_n_panels(p->job->w))
        end_panel = packed_n_panels(p->job->w);
    row = task / p->n_panel_tasks * p->chunks_per_task * CHUNK;
    end_row = row + p->chunks_per_task * CHUNK;
    if (end_row > p->job->n_rows)
        end_row = p->job->n_rows;
    for (; row < end_row; row += CHUNK)
        multiply_panels(plan, p, panel, end_panel, row,
                        (int32_t)(end_row - row < CHUNK ? end_row - row : CHUNK));
}

static int matmul(struct compute *c, const struct matmul_job *jobs, int32_t n_jobs,
                  struct mk_error *err)
{
    struct plan plan;
    int code;

    arena_reset(&c->scratch);
    code = make_plan(&plan, c, jobs, n_jobs, err);
    if (!code)
        code = round_inputs(c, &plan, err);
    if (!code)
        exec_run(c->ex, divide_all(&plan, exec_n_threads(c->ex)), multiply_task, &plan);
    return code;
}

void matmul_fill_ops(struct kernels *k)
{
    k->matmul = matmul;
}
