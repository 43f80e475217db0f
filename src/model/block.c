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

/* The stream before the block outlives it, and what its parts keep, of attention the sums. */
static int begin_saving(struct step *s, int32_t index, const float *h, struct mk_error *err)
{
    struct block_saved *b = s->keep && s->keep->blocks ? &s->keep->blocks[index] : NULL;
    size_t n = (size_t)s->n_rows * (size_t)s->m->arch.d_model;
    float *in;

    s->saved = NULL;
    if (!b)
        return 0;
    if (!b->in) {
        if (step_take(s, &in, s->m->arch.d_model, err))
            return err->code;
        memcpy(in, h, n * sizeof *h);
        b->in = in;
    }
    if (b->keep == KEEP_INPUT)
        return 0;
    s->saved = b;
    return step_take(s, &b->lse, s->m->arch.n_heads, err);
}

int block_forward(struct step *s, const struct layer *layer, int32_t index, float *h,
                  struct mk_error *err)
{
    const struct residual_kind *residual = s->m->residual;
    struct arena_mark mark;
    int32_t d = s->m->arch.d_model;

    if (begin_saving(s, index, h, err))
        return err->code;
    mark = arena_mark(s->memory);
    residual->read(s, layer->attention_norm, h, s->x);
    if (layer->attention->forward(s, layer->attention_weights, index, s->x, s->out, err))
        return err->code;
    residual->write(s, h, s->out);
    if (s->saved && step_copy(s, &s->saved->mid, h, d, d, err))
        return err->code;
    residual->read(s, layer->ffn_norm, h, s->x);
    if (layer->ffn->forward(s, layer->ffn_weights, index, s->x, s->out, err))
        return err->code;
    residual->write(s, h, s->out);
    if (!s->saved)
        arena_rewind(s->memory, mark);
    s->saved = NULL;
    return 0;
}
