/* ffn_backward.c: the backward pass of SwiGLU (model/ffn.c). */
#include "kernels/fp8.h"
#include "train/backward.h"

static int round_copy(struct backward *b, const float **x, int64_t n, int64_t f,
                      struct mk_error *err)
{
    float *copy;

    if (arena_take(b->s->memory, &copy, (size_t)(n * f), sizeof *copy, err))
        return err->code;
    fp8_round(b->s->c->ex, &fp8_activation, copy, *x, n, f);
    *x = copy;
    return 0;
}

int swiglu_kept(struct backward *b, const struct param *gate, int64_t n, struct swiglu_saved *saved,
                struct mk_error *err)
{
    if (gate->compute != MK_F8_E4M3)
        return 0;
    return round_copy(b, &saved->gate, n, gate->shape[0], err) ||
                   round_copy(b, &saved->up, n, gate->shape[0], err)
               ? err->code
               : 0;
}

int swiglu_backward(struct backward *b, enum weight_role gate, int32_t layer, const float *x,
                    const struct swiglu_saved *saved, const float *dout, float *dx,
                    struct mk_error *err)
{
    struct swiglu_saved kept = *saved;
    struct step *s = b->s;
    struct arena_mark mark = arena_mark(s->memory);
    struct param *w_gate = params_get(b->p, gate, layer, 0);
    struct param *w_up = params_get(b->p, gate + 1, layer, 0);
    struct param *w_down = params_get(b->p, gate + 2, layer, 0);
    int64_t d = s->m->arch.d_model, f = w_gate->shape[0], n = s->n_rows;
    float *act, *dgate, *dup; /* [t, f] */
    struct linear down, in[2];

    if (step_take(s, &act, f, err) || step_take(s, &dgate, f, err) || step_take(s, &dup, f, err) ||
        swiglu_kept(b, w_gate, n, &kept, err))
        return err->code;
    s->c->k->silu_mul(s->c, act, f, kept.gate, kept.up, f, n, (int32_t)f);
    down = (struct linear){.p = w_down,
                           .n_rows = n,
                           .dy = dout,
                           .dy_stride = d,
                           .x = act,
                           .x_stride = f,
                           .dx = dup,
                           .dx_stride = f};
    if (linear_backward(b, &down, 1, err))
        return err->code;
    s->c->k->silu_mul_backward(s->c, dgate, dup, f, kept.gate, kept.up, f, dup, f, n, (int32_t)f);
    in[0] = (struct linear){.p = w_gate,
                            .n_rows = n,
                            .dy = dgate,
                            .dy_stride = f,
                            .x = x,
                            .x_stride = d,
                            .dx = dx,
                            .dx_stride = d};
    in[1] = in[0];
    in[1].p = w_up;
    in[1].dy = dup;
    in[1].add = true;
    if (linear_backward(b, in, 2, err))
        return err->code;
    arena_rewind(s->memory, mark);
    return 0;
}

int dense_backward(struct backward *b, int32_t layer, const struct block_saved *saved,
                   const float *x, const float *dout, float *dx, struct mk_error *err)
{
    return swiglu_backward(b, W_GATE, layer, x, &saved->ffn.dense, dout, dx, err);
}
