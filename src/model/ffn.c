/* ffn.c: the dense feed-forward network. */
#include "model/ffn.h"

int ffn_load(struct loader *ld, struct ffn_weights *w, enum weight_role gate, int32_t layer,
             int32_t expert, int64_t width, struct mk_error *err)
{
    int64_t d = ld->model->arch.d_model;
    struct matrix_part g = {gate, layer, expert, width, 0, width, d};
    struct matrix_part u = {gate + 1, layer, expert, width, 0, width, d};
    struct matrix_part o = {gate + 2, layer, expert, d, 0, d, width};

    if (load_matrix(ld, &w->gate, &g, err) || load_matrix(ld, &w->up, &u, err))
        return err->code;
    return load_matrix(ld, &w->down, &o, err);
}

int ffn_swiglu(struct step *s, const struct ffn_weights *w, const float *x, float *out,
               struct swiglu_saved *saved, struct mk_error *err)
{
    int64_t d = s->m->arch.d_model, f = w->gate.n_out;
    struct matmul_job jobs[2];
    struct arena_mark mark;
    float *gate, *up, *act; /* [t, f] */
    int code;

    if (step_take(s, &gate, f, err) || step_take(s, &up, f, err))
        return err->code;
    jobs[0] = (struct matmul_job){&w->gate, NULL, x, d, s->n_rows, gate, f};
    jobs[1] = (struct matmul_job){&w->up, NULL, x, d, s->n_rows, up, f};
    if (s->c->k->matmul(s->c, jobs, 2, err))
        return err->code;
    mark = arena_mark(s->memory);
    act = gate;
    if (saved) {
        *saved = (struct swiglu_saved){gate, up};
        if (step_take(s, &act, f, err))
            return err->code;
    }
    s->c->k->silu_mul(s->c, act, f, gate, up, f, s->n_rows, (int32_t)f);
    code = step_matmul(s, out, d, act, f, &w->down, err);
    arena_rewind(s->memory, mark);
    return code;
}

static int dense_load(struct loader *ld, int32_t layer, void **weights, struct mk_error *err)
{
    struct ffn_weights *w;

    if (load_take(ld, &w, 1, sizeof *w, err) ||
        ffn_load(ld, w, W_GATE, layer, 0, ld->model->arch.d_ff, err))
        return err->code;
    *weights = w;
    return 0;
}

static int dense_forward(struct step *s, const void *weights, int32_t layer, const float *x,
                         float *out, struct mk_error *err)
{
    (void)layer;
    return ffn_swiglu(s, weights, x, out, s->saved ? &s->saved->ffn.dense : NULL, err);
}

const struct ffn_kind ffn_dense = {"dense", dense_load, dense_forward};
