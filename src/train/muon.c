/* muon.c: Newton-Schulz steps over the backward products, and the update. */
#include "train/muon.h"

#include <math.h>
#include <string.h>

/* X <- a X + (b A + c A A) X, A = X X^T. */
struct coefficients {
    float a, b, c;
};
static const struct coefficients quick = {3.4445f, -4.7750f, 2.0315f}, settle = {2, -1.5f, 0.5f};

static void transpose(const float *x, int64_t rows, int64_t columns, float *out)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < columns; k++)
            out[k * rows + r] = x[r * columns + k];
}

/* out [n, k] = a [n, m] b [m, k]. */
static int product(struct compute *c, const float *a, const float *b, float *out, int64_t n,
                   int64_t m, int64_t k, struct mk_error *err)
{
    struct gemm_job job = {.a = a,
                           .a_stride = m,
                           .b = b,
                           .b_stride = k,
                           .out = out,
                           .out_stride = k,
                           .n_rows = n,
                           .n_out = (int32_t)m,
                           .n_in = (int32_t)k};

    return c->k->gemm_nn(c, &job, 1, err);
}

/* Matrices of one orthogonalisation, n <= k. */
struct room {
    float *turned;        /* [k, n] */
    float *gram, *square; /* [n, n] */
    float *x;             /* [n, k] */
};

/* One step on x [n, k], in place. */
static int newton_schulz(struct compute *c, struct room *r, float *x, int64_t n, int64_t k,
                         struct coefficients q, struct mk_error *err)
{
    transpose(x, n, k, r->turned);
    if (product(c, x, r->turned, r->gram, n, k, n, err) ||
        product(c, r->gram, r->gram, r->square, n, n, n, err))
        return err->code;
    for (int64_t i = 0; i < n * n; i++)
        r->square[i] = q.b * r->gram[i] + q.c * r->square[i];
    if (product(c, r->square, x, r->x, n, n, k, err))
        return err->code;
    for (int64_t i = 0; i < n * k; i++)
        x[i] = q.a * x[i] + r->x[i];
    return 0;
}

static int iterate(struct compute *c, struct room *r, enum muon_variant variant, float *x,
                   int64_t n, int64_t k, struct mk_error *err)
{
    int n_quick = variant == MUON_V4 ? 8 : 5, n_settle = variant == MUON_V4 ? 2 : 0;
    double sum = 0;
    float norm;

    for (int64_t i = 0; i < n * k; i++)
        sum += (double)x[i] * x[i];
    norm = (float)fmax(sqrt(sum), 1e-7);
    for (int64_t i = 0; i < n * k; i++)
        x[i] /= norm;
    for (int i = 0; i < n_quick + n_settle; i++)
        if (newton_schulz(c, r, x, n, k, i < n_quick ? quick : settle, err))
            return err->code;
    return 0;
}

int muon_orthogonalise(struct compute *c, struct arena *memory, enum muon_variant variant, float *x,
                       int64_t rows, int64_t columns, struct mk_error *err)
{
    struct arena_mark mark = arena_mark(memory);
    bool tall = rows > columns;
    int64_t n = tall ? columns : rows, k = tall ? rows : columns;
    struct room r;
    float *wide = x;

    if (arena_take(memory, &r.turned, (size_t)(n * k), sizeof(float), err) ||
        arena_take(memory, &r.gram, (size_t)(n * n), sizeof(float), err) ||
        arena_take(memory, &r.square, (size_t)(n * n), sizeof(float), err) ||
        arena_take(memory, &r.x, (size_t)(n * k), sizeof(float), err) ||
        (tall && arena_take(memory, &wide, (size_t)(n * k), sizeof(float), err)))
        return err->code;
    if (tall)
        transpose(x, rows, columns, wide);
    if (iterate(c, &r, variant, wide, n, k, err))
        return err->code;
    if (tall)
        transpose(wide, n, k, x);
    arena_rewind(memory, mark);
    return 0;
}

/* What the orthogonal update is multiplied with. */
static double update_scale(const struct muon_options *o, double lr, int64_t rows, int64_t columns)
{
    double largest = (double)(rows > columns ? rows : columns);

    if (o->variant == MUON_V4)
        return lr * 0.18 * sqrt(largest);
    if (o->adjust == MUON_MATCH_RMS)
        return lr * 0.2 * sqrt(largest);
    return lr * sqrt(fmax(1, (double)rows / (double)columns));
}

int muon_step(struct compute *c, struct arena *memory, const struct muon_options *o, double lr,
              double scale, float *w, const float *grad, float *m, int64_t rows, int64_t columns,
              struct mk_error *err)
{
    struct arena_mark mark = arena_mark(memory);
    float momentum = (float)o->momentum, rest = (float)(1 - o->momentum), s = (float)scale;
    float shrink = (float)(1 - lr * o->weight_decay), step;
    int64_t n = rows * columns;
    float *update;

    if (arena_take(memory, &update, (size_t)n, sizeof *update, err))
        return err->code;
    for (int64_t i = 0; i < n; i++) {
        float g = s * grad[i];

        m[i] += rest * (g - m[i]);
        update[i] = o->nesterov ? g + momentum * (m[i] - g) : m[i];
    }
    if (muon_orthogonalise(c, memory, o->variant, update, rows, columns, err))
        return err->code;
    step = (float)update_scale(o, lr, rows, columns);
    for (int64_t i = 0; i < n; i++)
        w[i] = w[i] * shrink - step * update[i];
    arena_rewind(memory, mark);
    return 0;
}
