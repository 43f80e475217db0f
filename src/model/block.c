/* block.c: one layer: attention, then feed-forward, each read from and written back to the residual
 * stream. */
#include <string.h>

#include "model/step.h"

static void plain_read(struct step *s, const float *gain, const float *h, float *x)
{
    const struct arch *a = &s->m->arch;

    s->c->k->rmsnorm(s->c, x, a->d_model, h, a->d_model, gain, s->n_rows, a->d_model,
                     a->rms_norm_eps);
}

static void plain_write(struct step *s, float *h, const float *out)
{
    int32_t d = s->m->arch.d_model;

    s->c->k->add_scaled(s->c, h, d, out, d, 1, s->n_rows, d);
}

const struct residual_kind residual_plain = {"plain", plain_read, plain_write};

int block_forward(struct step *s, const struct layer *layer, int32_t index, float *h,
                  struct mk_error *err)
{
    const struct residual_kind *residual = s->m->residual;
    struct arena_mark mark = arena_mark(s->memory);
    size_t n = (size_t)(s->n_rows * s->m->arch.d_model);
    float *x, *out;

    if (s->keep && s->keep->block_inputs)
        memcpy(s->keep->block_inputs + (size_t)index * n, h, n * sizeof *h);
    if (step_take(s, &x, s->m->arch.d_model, err) || step_take(s, &out, s->m->arch.d_model, err))
        return err->code;
    residual->read(s, layer->attention_norm, h, x);
    if (layer->attention->forward(s, layer->attention_weights, index, x, out, err))
        return err->code;
    residual->write(s, h, out);
    residual->read(s, layer->ffn_norm, h, x);
    if (layer->ffn->forward(s, layer->ffn_weights, index, x, out, err))
        return err->code;
    residual->write(s, h, out);
    arena_rewind(s->memory, mark);
    return 0;
}
