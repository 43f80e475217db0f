/* gemm.c: the matrix products of the backward pass, on row-major f32.
 *
 * Both are out[m, n] += sum over p of A[m, p] * B[p, n], p ascending; gemm_tn reads a with its axes
 * exchanged. A task is a block of out; it walks p in slices, and for each slice copies its parts of
 * A and B into panels that the tiles then read in order (Goto & van de Geijn 2008):
 *
 *             <- COLS ->          B: [slice][16] a panel, the block's panels in second cache
 *   A  6 rows [ tile ]            A: [slice][6] a panel
 *
 * Between slices a sum lies in out as f32, which loses nothing: neither slices, blocks nor threads
 * leave a trace in it. The gather of an expert's rows happens in the copying. */
#include <string.h>

#include "kernels/cpu/backward_rows.h"

#define BLOCK_ROWS 96  /* of out; a multiple of MK_GEMM_ROWS */
#define BLOCK_COLS 256 /* a multiple of MK_GEMM_COLS */
#define SLICE 256      /* terms of the sum */

struct gemm_part {
    const struct gemm_job *job;
    int64_t first_task, n_row_blocks, n_col_blocks;
    int64_t m, terms; /* rows of out, terms of each sum */
    bool from_zero;
};

struct gemm {
    const struct backward_rows *rows;
    struct gemm_part *parts;
    int32_t n_parts;
    bool transposed; /* gemm_tn */
    float *panels;   /* [worker, (BLOCK_ROWS + BLOCK_COLS) * SLICE] */
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t row_of(const int32_t *rows, int64_t i)
{
    return rows ? rows[i] : i;
}

/* A[row .. row + n - 1, first .. first + n_terms - 1] -> panels [n_terms, 6]; missing rows become
 * zeros. */
static void copy_a(float *panels, const struct gemm *g, const struct gemm_job *j, int64_t row,
                   int64_t n, int64_t first, int64_t n_terms)
{
    for (int64_t i = 0; i < n; i += MK_GEMM_ROWS, panels += n_terms * MK_GEMM_ROWS) {
        int64_t in_panel = min64(n - i, MK_GEMM_ROWS);

        if (in_panel < MK_GEMM_ROWS)
            memset(panels, 0, (size_t)(n_terms * MK_GEMM_ROWS) * sizeof *panels);
        if (g->transposed)
            for (int64_t p = 0; p < n_terms; p++) {
                const float *from = j->a + row_of(j->a_rows, first + p) * j->a_stride + row + i;

                for (int64_t m = 0; m < in_panel; m++)
                    panels[p * MK_GEMM_ROWS + m] = from[m];
            }
        else
            for (int64_t m = 0; m < in_panel; m++) {
                const float *from = j->a + row_of(j->a_rows, row + i + m) * j->a_stride + first;

                for (int64_t p = 0; p < n_terms; p++)
                    panels[p * MK_GEMM_ROWS + m] = from[p];
            }
    }
}

/* B[first .. first + n_terms - 1, col .. col + n - 1] -> panels [n_terms, 16]; missing columns
 * become zeros. */
static void copy_b(float *panels, const struct gemm_job *j, int64_t col, int64_t n, int64_t first,
                   int64_t n_terms)
{
    for (int64_t p = 0; p < n_terms; p++) {
        const float *from = j->b + row_of(j->b_rows, first + p) * j->b_stride + col;
        float *to = panels + p * MK_GEMM_COLS;

        for (int64_t i = 0; i < n; i += MK_GEMM_COLS, to += n_terms * MK_GEMM_COLS) {
            if (n - i >= MK_GEMM_COLS) {
                memcpy(to, from + i, MK_GEMM_COLS * sizeof *to);
            } else {
                memset(to, 0, MK_GEMM_COLS * sizeof *to);
                memcpy(to, from + i, (size_t)(n - i) * sizeof *to);
            }
        }
    }
}

/* A tile at the edge of out goes through a whole one. */
static void edge_tile(const struct gemm *g, float *out, int64_t stride, const float *a,
                      const float *b, int64_t n_terms, bool from_zero, int64_t n_rows,
                      int64_t n_cols)
{
    float tile[MK_GEMM_ROWS * MK_GEMM_COLS] = {0};

    for (int64_t m = 0; m < n_rows && !from_zero; m++)
        memcpy(tile + m * MK_GEMM_COLS, out + m * stride, (size_t)n_cols * sizeof *out);
    g->rows->gemm_tile(tile, MK_GEMM_COLS, a, b, n_terms, from_zero);
    for (int64_t m = 0; m < n_rows; m++)
        memcpy(out + m * stride, tile + m * MK_GEMM_COLS, (size_t)n_cols * sizeof *out);
}

static void gemm_slice(const struct gemm *g, float *out, int64_t stride, const float *a,
                       const float *b, int64_t n_terms, bool from_zero, int64_t n_rows,
                       int64_t n_cols)
{
    for (int64_t n = 0; n < n_cols; n += MK_GEMM_COLS)
        for (int64_t m = 0; m < n_rows; m += MK_GEMM_ROWS) {
            float *tile = out + m * stride + n;

            if (n_rows - m >= MK_GEMM_ROWS && n_cols - n >= MK_GEMM_COLS)
                g->rows->gemm_tile(tile, stride, a + m * n_terms, b + n * n_terms, n_terms,
                                   from_zero);
            else
                edge_tile(g, tile, stride, a + m * n_terms, b + n * n_terms, n_terms, from_zero,
                          min64(n_rows - m, MK_GEMM_ROWS), min64(n_cols - n, MK_GEMM_COLS));
        }
}

static void gemm_task(void *context, int64_t task, int worker)
{
    const struct gemm *g = context;
    const struct gemm_part *part;
    const struct gemm_job *j;
    float *b = g->panels + (int64_t)worker * (BLOCK_ROWS + BLOCK_COLS) * SLICE;
    float *a = b + BLOCK_COLS * SLICE;
    int32_t i = g->n_parts - 1;
    int64_t row, col, n_rows, n_cols;

    while (g->parts[i].first_task > task)
        i--;
    part = &g->parts[i];
    j = part->job;
    task -= part->first_task;
    row = task % part->n_row_blocks * BLOCK_ROWS;
    col = task / part->n_row_blocks * BLOCK_COLS;
    n_rows = min64(part->m - row, BLOCK_ROWS);
    n_cols = min64(j->n_in - col, BLOCK_COLS);
    for (int64_t p = 0; p < part->terms; p += SLICE) {
        int64_t n_terms = min64(part->terms - p, SLICE);

        copy_b(b, j, col, n_cols, p, n_terms);
        copy_a(a, g, j, row, n_rows, p, n_terms);
        gemm_slice(g, j->out + row * j->out_stride + col, j->out_stride, a, b, n_terms,
                   part->from_zero && p == 0, n_rows, n_cols);
    }
}

static int gemm(struct compute *c, bool transposed, const struct gemm_job *jobs, int32_t n_jobs,
                struct mk_error *err)
{
    struct gemm g = {.rows = c->k->backward_rows, .transposed = transposed};
    int64_t n_tasks = 0;

    arena_reset(&c->scratch);
    if (arena_take(&c->scratch, &g.parts, (size_t)n_jobs, sizeof *g.parts, err) ||
        arena_take(&c->scratch, &g.panels, (size_t)exec_n_threads(c->ex),
                   (BLOCK_ROWS + BLOCK_COLS) * SLICE * sizeof *g.panels, err))
        return err->code;
    for (int32_t i = 0; i < n_jobs; i++) {
        const struct gemm_job *j = &jobs[i];
        struct gemm_part *part = &g.parts[g.n_parts];

        if (j->n_rows < 1 || j->n_out < 1 || j->n_in < 1)
            continue;
        *part = (struct gemm_part){.job = j,
                                   .first_task = n_tasks,
                                   .m = transposed ? j->n_out : j->n_rows,
                                   .terms = transposed ? j->n_rows : j->n_out,
                                   .from_zero = !transposed && !j->accumulate};
        part->n_row_blocks = (part->m + BLOCK_ROWS - 1) / BLOCK_ROWS;
        part->n_col_blocks = (j->n_in + BLOCK_COLS - 1) / BLOCK_COLS;
        n_tasks += part->n_row_blocks * part->n_col_blocks;
        g.n_parts++;
    }
    if (n_tasks)
        exec_run(c->ex, n_tasks, gemm_task, &g);
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
