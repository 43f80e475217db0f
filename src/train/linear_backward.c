/* linear_backward.c: products with a weight matrix, biases and norms. */
#include <string.h>

#include "kernels/fp8.h"
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
                             .n_in = (int32_t)n_in,
                             .bf16 = l->p->compute == MK_BF16};
}

static struct gemm_job input_job(const struct linear *l)
{
    int64_t n_in = l->p->shape[1], n_out = l->n_out ? l->n_out : l->p->shape[0];

    return (struct gemm_job){.a = l->dy,
                             .a_stride = l->dy_stride,
                             .a_rows = l->dy_rows,
                             .b = param_used(l->p) + l->row0 * n_in,
                             .b_stride = n_in,
                             .out = l->dx,
                             .out_stride = l->dx_stride,
                             .n_rows = l->n_rows,
                             .n_out = (int32_t)n_out,
                             .n_in = (int32_t)n_in,
                             .accumulate = l->add,
                             .bf16 = l->p->compute == MK_BF16};
}

/* ---- FP8 ------------------------------------------------------------------------------------ */

/* Rows as one block of memory: fp8_round wants it so, and inputs must not be changed. */
static int gather(struct backward *b, float **out, const float *x, int64_t stride,
                  const int32_t *rows, int64_t n, int64_t width, struct mk_error *err)
{
    if (arena_take(b->s->memory, out, (size_t)(n * width), sizeof **out, err))
        return err->code;
    for (int64_t i = 0; i < n; i++)
        memcpy(*out + i * width, x + (rows ? rows[i] : i) * stride, (size_t)width * sizeof *x);
    return 0;
}

/* How a layer's inputs and gradients are rounded, see kernels/fp8.h. NULL: not at all. */
struct rules {
    const struct fp8_rule *kept, *turned; /* x: by the forward pass, then along the tokens */
    const struct fp8_rule *sent;          /* dy, before it becomes dy_turned */
    const struct fp8_rule *dy, *dy_turned;
};

static struct rules rules_of(enum weight_role role)
{
    struct rules r = {.kept = &fp8_activation,
                      .turned = &fp8_activation_turned,
                      .dy = &fp8_gradient,
                      .dy_turned = &fp8_gradient_turned};

    if (role == W_O) {
        r.kept = &fp8_attention_out;
        r.turned = &fp8_sent_turned;
    } else if (role == W_EXPERT_GATE || role == W_EXPERT_UP) {
        r.kept = &fp8_sent;
        r.turned = &fp8_sent_turned;
    } else if (role == W_DOWN || role == W_SHARED_DOWN || role == W_EXPERT_DOWN) {
        r.kept = NULL; /* computed again */
    }
    if (role == W_EXPERT_DOWN) {
        r.dy = r.sent = &fp8_sent_gradient;
        r.dy_turned = &fp8_sent_gradient_turned;
    }
    return r;
}

static void round_rows(struct exec *ex, const struct fp8_rule *first, const struct fp8_rule *then,
                       float *x, int64_t n, int64_t width)
{
    if (first)
        fp8_round(ex, first, x, x, n, width);
    fp8_round(ex, then, x, x, n, width);
}

/* for_dx: dy as dy W takes it; for_dw: dy and x as dy^T x takes them. */
static int round_job(struct backward *b, const struct linear *l, struct linear *for_dw,
                     struct linear *for_dx, struct mk_error *err)
{
    int64_t n_out = l->n_out ? l->n_out : l->p->shape[0], n_in = l->p->shape[1];
    struct rules rules = rules_of(l->p->role);
    struct exec *ex = b->s->c->ex;
    float *dy, *turned, *x;

    *for_dw = *for_dx = *l;
    if (l->dx) {
        if (gather(b, &dy, l->dy, l->dy_stride, l->dy_rows, l->n_rows, n_out, err))
            return err->code;
        round_rows(ex, NULL, rules.dy, dy, l->n_rows, n_out);
        for_dx->dy = dy;
        for_dx->dy_stride = n_out;
        for_dx->dy_rows = NULL;
    }
    if ((!l->p->grad && !l->p->lora) || !l->x)
        return 0;
    if (gather(b, &turned, l->dy, l->dy_stride, l->dy_rows, l->n_rows, n_out, err) ||
        gather(b, &x, l->x, l->x_stride, l->x_rows, l->n_rows, n_in, err))
        return err->code;
    round_rows(ex, rules.sent, rules.dy_turned, turned, l->n_rows, n_out);
    round_rows(ex, rules.kept, rules.turned, x, l->n_rows, n_in);
    for_dw->dy = turned;
    for_dw->dy_stride = n_out;
    for_dw->dy_rows = NULL;
    for_dw->x = x;
    for_dw->x_stride = n_in;
    for_dw->x_rows = NULL;
    return 0;
}

/* ---- All jobs ------------------------------------------------------------------------------- */

int linear_backward(struct backward *b, const struct linear *jobs, int32_t n_jobs,
                    struct mk_error *err)
{
    struct arena_mark mark = arena_mark(b->s->memory);
    struct gemm_job *weights, *writing, *adding;
    int32_t n_weights = 0, n_writing = 0, n_adding = 0;
    struct compute *c = b->s->c;
    struct linear *for_dw;

    if (arena_take(b->s->memory, &weights, (size_t)n_jobs, sizeof *weights, err) ||
        arena_take(b->s->memory, &writing, (size_t)n_jobs, sizeof *writing, err) ||
        arena_take(b->s->memory, &adding, (size_t)n_jobs, sizeof *adding, err) ||
        arena_take(b->s->memory, &for_dw, (size_t)n_jobs, sizeof *for_dw, err))
        return err->code;
    for (int32_t i = 0; i < n_jobs; i++) {
        struct linear for_dx = jobs[i];

        for_dw[i] = jobs[i];
        if (jobs[i].p->compute == MK_F8_E4M3 && round_job(b, &jobs[i], &for_dw[i], &for_dx, err))
            return err->code;
        if (jobs[i].p->grad && jobs[i].x)
            weights[n_weights++] = weight_job(&for_dw[i]);
        if (jobs[i].dx && jobs[i].add)
            adding[n_adding++] = input_job(&for_dx);
        else if (jobs[i].dx)
            writing[n_writing++] = input_job(&for_dx);
    }
    if ((n_weights && c->k->gemm_tn(c, weights, n_weights, err)) ||
        (n_writing && c->k->gemm_nn(c, writing, n_writing, err)) ||
        (n_adding && c->k->gemm_nn(c, adding, n_adding, err)) ||
        lora_backward(b, for_dw, n_jobs, err))
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
