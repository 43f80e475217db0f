/* linear_backward.c: products with a weight matrix, biases and norms. */
#include "train/backward.h"

static struct gemm_job weight_job(const struct linear *l)
{
    int64_t n_in = l->p->shape[1], n_out = l->n_out ? l->n_out : l->p->shape[0];

    return (struct gemm_job){.a = l->dy,
                             .a_stride = l->dy_stride,
                             .a_rows = l->dy_rows,
                             .b = l->x,
                             .b_stride = l->x_stride,
                             .b_rows = l->x_rows,
                             .out = l->p->grad + l->stream * l->p->n + l->row0 * n_in,
                             .out_stride = n_in,
                             .n_rows = l->n_rows,
                             .n_out = (int32_t)n_out,
                             .n_in = (int32_t)n_in};
}

static struct gemm_job input_job(const struct linear *l)
{
    int64_t n_in = l->p->shape[1], n_out = l->n_out ? l->n_out : l->p->shape[0];

    return (struct gemm_job){.a = l->dy,
                             .a_stride = l->dy_stride,
                             .a_rows = l->dy_rows,
                             .b = l->p->w + l->row0 * n_in,
                             .b_stride = n_in,
                             .out = l->dx,
                             .out_stride = l->dx_stride,
                             .n_rows = l->n_rows,
                             .n_out = (int32_t)n_out,
                             .n_in = (int32_t)n_in,
                             .accumulate = l->add};
}

int linear_backward(struct backward *b, const struct linear *jobs, int32_t n_jobs,
                    struct mk_error *err)
{
    struct arena_mark mark = arena_mark(b->s->memory);
    struct compute *c = b->s->c;
    struct gemm_job *weights, *inputs;
    int32_t n_weights = 0, n_inputs = 0;

    if (arena_take(b->s->memory, &weights, (size_t)n_jobs, sizeof *weights, err) ||
        arena_take(b->s->memory, &inputs, (size_t)n_jobs, sizeof *inputs, err))
        return err->code;
    for (int32_t i = 0; i < n_jobs; i++) {
        if (jobs[i].p->grad && jobs[i].x)
            weights[n_weights++] = weight_job(&jobs[i]);
        if (jobs[i].dx)
            inputs[n_inputs++] = input_job(&jobs[i]);
    }
    if ((n_weights && c->k->gemm_tn(c, weights, n_weights, err)) ||
        (n_inputs && c->k->gemm_nn(c, inputs, n_inputs, err)))
        return err->code;
    arena_rewind(b->s->memory, mark);
    return 0;
}

void bias_backward(struct param *p, const float *dy, int64_t dy_stride, int64_t n_rows)
{
    if (!p || !p->grad)
        return;
    for (int64_t t = 0; t < n_rows; t++)
        for (int64_t r = 0; r < p->n; r++)
            p->grad[r] += dy[t * dy_stride + r];
}

int norm_backward(struct backward *b, struct param *p, float *dx, int64_t dx_stride,
                  const float *dout, int64_t dout_stride, const float *x, int64_t x_stride,
                  int64_t n_rows, int32_t n, float eps, struct mk_error *err)
{
    struct compute *c = b->s->c;

    return c->k->rmsnorm_backward(c, dx, dx_stride, p->grad, dout, dout_stride, x, x_stride, p->w,
                                  n_rows, n, eps, err);
}
