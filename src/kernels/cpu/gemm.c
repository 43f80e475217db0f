/* gemm.c: the matrix products of the backward pass, on row-major f32.
 *
 * Both are out[m, n] += sum over p of A[m, p] * B[p, n], p ascending; gemm_tn reads a with its axes
 * exchanged. First all of B is copied into panels that tiles can read in order, by all threads.
 * Then a task is a block of out: it walks p in slices, copies its part of A likewise and multiplies
 * (Goto & van de Geijn 2008):
 *
 *              <- cols ->         B: [slice][panel][terms][cols], shared by all tasks and by jobs
 *   A   rows   [  tile  ]            that follow one another with the same b
 *                                 A: [panel][terms][rows] of one slice, in second-level cache
 *
 * Between slices a sum lies in out as f32, which loses nothing: neither slices, blocks nor threads
 * leave a trace in it. Gathering an expert's rows and rounding to bf16 happen in the copying. */
#include <string.h>

#include "kernels/cpu/bf16_rows.h"

#define BLOCK_ROWS 192 /* of out, at most: with SLICE terms A takes 250 KB */
#define BLOCK_COLS MK_GEMM_LANES
#define ROW_GRAIN 24   /* a multiple of every tile's rows */
#define SLICE 320      /* terms of the sum, at most */
#define SLICE_GRAIN 8
#define LANE_WORDS (SLICE + MK_PANEL_GAP) /* at most, with its share of a gap */
#define TASKS_PER_THREAD 4
/* Of B copied together, for each thread: it is still in second-level cache when tiles read it. One
 * job may have more. */
#define B_WORDS ((int64_t)1 << 17)

struct gemm_part {
    const struct gemm_job *job;
    const struct gemm_rows *rows;
    int64_t first_task, n_row_blocks, n_col_blocks, block_rows;
    int64_t first_copy, n_slices; /* tasks that copy B: slice by column block */
    int64_t m, terms, slice;      /* rows of out, terms of each sum and of its slices */
    uint32_t *b;                  /* [n_slices][panels] */
    bool shares_b, from_zero;     /* shares_b: with the part before */
};

struct gemm {
    struct gemm_part *parts;
    int32_t n_parts;
    bool transposed;  /* gemm_tn */
    uint32_t *panels; /* [worker, BLOCK_ROWS * LANE_WORDS] of A */
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* A[row .. row + n - 1, first .. first + n_terms - 1] -> panels. */
static void copy_a(uint32_t *panels, const struct gemm *g, const struct gemm_part *p, int64_t row,
                   int64_t n, int64_t first, int64_t n_terms)
{
    const struct gemm_job *j = p->job;
    int64_t from = g->transposed ? first : row, at = g->transposed ? row : first;
    const float *a = j->a + at + (j->a_rows ? 0 : from * j->a_stride);
    const int32_t *index = j->a_rows ? j->a_rows + from : NULL;

    if (g->transposed)
        p->rows->pack(panels, p->rows->rows, a, j->a_stride, index, n_terms, n);
    else
        p->rows->pack_turned(panels, p->rows->rows, a, j->a_stride, index, n_terms, n);
}

/* Words of one slice of B. */
static int64_t slice_words(const struct gemm_part *p)
{
    return ceil_div(p->job->n_in, p->rows->cols) *
           gemm_panel_words(p->slice, p->rows->terms, p->rows->cols);
}

/* Where columns col .. of a slice with n_terms terms lie. */
static uint32_t *b_panels(const struct gemm_part *p, int64_t slice, int64_t col, int64_t n_terms)
{
    return p->b + slice * slice_words(p) +
           col / p->rows->cols * gemm_panel_words(n_terms, p->rows->terms, p->rows->cols);
}

static void copy_task(void *context, int64_t task, int worker)
{
    const struct gemm *g = context;
    const struct gemm_part *p;
    const struct gemm_job *j;
    int32_t i = g->n_parts - 1;
    int64_t first, col, n_terms;

    (void)worker;
    while (g->parts[i].shares_b || g->parts[i].first_copy > task)
        i--;
    p = &g->parts[i];
    j = p->job;
    task -= p->first_copy;
    first = task / p->n_col_blocks * p->slice;
    col = task % p->n_col_blocks * BLOCK_COLS;
    n_terms = min64(p->terms - first, p->slice);
    p->rows->pack(b_panels(p, first / p->slice, col, n_terms), p->rows->cols,
                  j->b + col + (j->b_rows ? 0 : first * j->b_stride), j->b_stride,
                  j->b_rows ? j->b_rows + first : NULL, n_terms, min64(j->n_in - col, BLOCK_COLS));
}

/* A tile at the edge of out goes through a whole one. */
static void edge_tile(const struct gemm_rows *r, float *out, int64_t stride, const uint32_t *a,
                      const uint32_t *b, int64_t n_terms, bool from_zero, int64_t n_rows,
                      int64_t n_cols)
{
    float tile[24 * 64] = {0}; /* [rows, cols] */

    for (int64_t m = 0; m < n_rows && !from_zero; m++)
        memcpy(tile + m * r->cols, out + m * stride, (size_t)n_cols * sizeof *out);
    r->tile(tile, r->cols, a, b, n_terms, from_zero);
    for (int64_t m = 0; m < n_rows; m++)
        memcpy(out + m * stride, tile + m * r->cols, (size_t)n_cols * sizeof *out);
}

static void gemm_slice(const struct gemm_rows *r, float *out, int64_t stride, const uint32_t *a,
                       const uint32_t *b, int64_t n_terms, bool from_zero, int64_t n_rows,
                       int64_t n_cols)
{
    int64_t a_words = gemm_panel_words(n_terms, r->terms, r->rows);
    int64_t b_words = gemm_panel_words(n_terms, r->terms, r->cols);

    for (int64_t n = 0; n < n_cols; n += r->cols)
        for (int64_t m = 0; m < n_rows; m += r->rows) {
            const uint32_t *a_panel = a + m / r->rows * a_words;
            const uint32_t *b_panel = b + n / r->cols * b_words;
            float *tile = out + m * stride + n;

            if (n_rows - m >= r->rows && n_cols - n >= r->cols)
                r->tile(tile, stride, a_panel, b_panel, n_terms, from_zero);
            else
                edge_tile(r, tile, stride, a_panel, b_panel, n_terms, from_zero,
                          min64(n_rows - m, r->rows), min64(n_cols - n, r->cols));
        }
}

static void gemm_task(void *context, int64_t task, int worker)
{
    const struct gemm *g = context;
    const struct gemm_part *part;
    const struct gemm_job *j;
    uint32_t *a = g->panels + (int64_t)worker * BLOCK_ROWS * LANE_WORDS;
    int32_t i = g->n_parts - 1;
    int64_t row, col, n_rows, n_cols;

    while (g->parts[i].first_task > task)
        i--;
    part = &g->parts[i];
    j = part->job;
    task -= part->first_task;
    row = task % part->n_row_blocks * part->block_rows;
    col = task / part->n_row_blocks * BLOCK_COLS;
    n_rows = min64(part->m - row, part->block_rows);
    n_cols = min64(j->n_in - col, BLOCK_COLS);
    for (int64_t p = 0; p < part->terms; p += part->slice) {
        int64_t n_terms = min64(part->terms - p, part->slice);

        copy_a(a, g, part, row, n_rows, p, n_terms);
        gemm_slice(part->rows, j->out + row * j->out_stride + col, j->out_stride, a,
                   b_panels(part, p / part->slice, col, n_terms), n_terms,
                   part->from_zero && p == 0, n_rows, n_cols);
    }
}

/* Numbers the tasks of all parts, of at most so many rows each and nearly equal; returns how many
 * there are. */
static int64_t divide(struct gemm *g, int64_t most)
{
    int64_t n_tasks = 0;

    for (int32_t i = 0; i < g->n_parts; i++) {
        struct gemm_part *part = &g->parts[i];

        part->first_task = n_tasks;
        part->block_rows = ceil_div(part->m, ceil_div(part->m, most));
        part->block_rows = ceil_div(part->block_rows, ROW_GRAIN) * ROW_GRAIN;
        part->n_row_blocks = ceil_div(part->m, part->block_rows);
        n_tasks += part->n_row_blocks * part->n_col_blocks;
    }
    return n_tasks;
}

/* Memory for B of all parts, and the number of tasks that copy it. */
static int take_b(struct compute *c, struct gemm *g, int64_t *n_copies, struct mk_error *err)
{
    *n_copies = 0;
    for (int32_t i = 0; i < g->n_parts; i++) {
        struct gemm_part *p = &g->parts[i];

        p->first_copy = *n_copies;
        if (p->shares_b) {
            p->b = g->parts[i - 1].b;
            continue;
        }
        if (arena_take(&c->scratch, &p->b, (size_t)(p->n_slices * slice_words(p)), sizeof *p->b,
                       err))
            return err->code;
        *n_copies += p->n_slices * p->n_col_blocks;
    }
    return 0;
}

/* Some of the parts, their B in memory together. */
static int gemm_group(struct compute *c, const struct gemm *all, int32_t first, int32_t n,
                      struct mk_error *err)
{
    struct arena_mark mark = arena_mark(&c->scratch);
    struct gemm g = {all->parts + first, n, all->transposed, all->panels};
    int n_threads = exec_n_threads(c->ex);
    int64_t n_wanted = n_threads > 1 ? TASKS_PER_THREAD * n_threads : 1, n_tasks = 0, n_copies;

    if (take_b(c, &g, &n_copies, err))
        return err->code;
    for (int64_t most = BLOCK_ROWS; most > ROW_GRAIN && n_tasks < n_wanted; most /= 2)
        n_tasks = divide(&g, most);
    exec_run(c->ex, n_copies, copy_task, &g);
    exec_run(c->ex, n_tasks, gemm_task, &g);
    arena_rewind(&c->scratch, mark);
    return 0;
}

static bool same_b(const struct gemm_part *x, const struct gemm_part *y)
{
    return x->job->b == y->job->b && x->job->b_stride == y->job->b_stride &&
           x->job->b_rows == y->job->b_rows && x->job->n_in == y->job->n_in &&
           x->terms == y->terms && x->rows == y->rows;
}

/* The jobs that have something to do. */
static void list_parts(struct gemm *g, const struct kernels *k, const struct gemm_job *jobs,
                       int32_t n_jobs)
{
    for (int32_t i = 0; i < n_jobs; i++) {
        const struct gemm_job *j = &jobs[i];
        struct gemm_part *p = &g->parts[g->n_parts];

        if (j->n_rows < 1 || j->n_out < 1 || j->n_in < 1)
            continue;
        *p = (struct gemm_part){.job = j,
                                .rows = j->bf16 ? &k->bf16_rows->gemm : k->gemm_rows,
                                .m = g->transposed ? j->n_out : j->n_rows,
                                .terms = g->transposed ? j->n_rows : j->n_out,
                                .from_zero = !g->transposed && !j->accumulate};
        p->n_slices = ceil_div(p->terms, SLICE); /* nearly equal: a short one costs most a term */
        p->slice = ceil_div(ceil_div(p->terms, p->n_slices), SLICE_GRAIN) * SLICE_GRAIN;
        p->n_slices = ceil_div(p->terms, p->slice);
        p->n_col_blocks = ceil_div(j->n_in, BLOCK_COLS);
        p->shares_b = g->n_parts > 0 && same_b(p, p - 1);
        g->n_parts++;
    }
}

static int gemm(struct compute *c, bool transposed, const struct gemm_job *jobs, int32_t n_jobs,
                struct mk_error *err)
{
    struct gemm g = {.transposed = transposed};
    int64_t most_words = B_WORDS * exec_n_threads(c->ex);

    arena_reset(&c->scratch);
    if (arena_take(&c->scratch, &g.parts, (size_t)n_jobs, sizeof *g.parts, err) ||
        arena_take(&c->scratch, &g.panels, (size_t)exec_n_threads(c->ex),
                   (size_t)BLOCK_ROWS * LANE_WORDS * sizeof *g.panels, err))
        return err->code;
    list_parts(&g, c->k, jobs, n_jobs);
    for (int32_t i = 0, n; i < g.n_parts; i += n) {
        int64_t words = 0;

        g.parts[i].shares_b = false;
        for (n = 0; i + n < g.n_parts; n++) {
            const struct gemm_part *p = &g.parts[i + n];

            if (n > 0 && !p->shares_b && words >= most_words)
                break;
            words += p->shares_b ? 0 : p->n_slices * slice_words(p);
        }
        if (gemm_group(c, &g, i, n, err))
            return err->code;
    }
    return 0;
}

static int gemm_nn(struct compute *c, const struct gemm_job *jobs, int32_t n_jobs,
                   struct mk_error *err)
{
    return gemm(c, false, jobs, n_jobs, err);
}

static int gemm_tn(struct compute *c, const struct gemm_job *jobs, int32_t n_jobs,
                   struct mk_error *err)
{
    return gemm(c, true, jobs, n_jobs, err);
}

void gemm_fill_ops(struct kernels *k)
{
    k->gemm_nn = gemm_nn;
    k->gemm_tn = gemm_tn;
}
