/* optim.c: moments, clipping and AdamW over pieces of all tensors. */
#include "train/optim.h"

#include <math.h>
#include <string.h>

#include "tensor/dtype.h"

#define CHUNK 16384 /* values that a thread takes at a time */

struct optim_chunk {
    int64_t item, begin, n;
};

struct optim_options optim_defaults(void)
{
    return (struct optim_options){
        .kind = OPTIM_ADAMW,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .eps = 1e-8,
        .weight_decay = 0.1,
        .clip = 1,
        .muon = {MUON_TORCH, MUON_MATCH_RMS, 0.95, 0.1, true},
        .muon_lr = 1,
    };
}

uint64_t optim_moment_bytes(const struct optim *op, int64_t n)
{
    return (uint64_t)n * (op->o.bf16_moments ? sizeof(uint16_t) : sizeof(float));
}

/* ---- Memory --------------------------------------------------------------------------------- */

/* Matrices inside the blocks; the router decides on small differences and stays with AdamW. */
static bool takes_muon(const struct param *p)
{
    return p->n_dims == 2 && p->role != W_EMBED && p->role != W_HEAD && p->role != W_ROUTER &&
           p->role != W_SCORE;
}

static int take_moment(struct optim *op, void **moment, int64_t n, bool wide, struct mk_error *err)
{
    uint64_t bytes = wide ? (uint64_t)n * sizeof(float) : optim_moment_bytes(op, n);

    if (arena_take(&op->memory, moment, (size_t)bytes, 1, err))
        return err->code;
    memset(*moment, 0, (size_t)bytes);
    return 0;
}

static int take_items(struct optim *op, struct params *p, struct mk_error *err)
{
    if (arena_take(&op->memory, &op->items, (size_t)p->n_items, sizeof *op->items, err))
        return err->code;
    for (int64_t i = 0; i < p->n_items; i++) {
        struct param *q = &p->items[i];
        struct optim_tensor *t = &op->items[op->n_items];

        if (!q->grad)
            continue;
        *t = (struct optim_tensor){
            .p = q, .muon = op->o.kind == OPTIM_MUON && takes_muon(q), .decay = q->n_dims == 2};
        if (take_moment(op, &t->m, q->n, t->muon, err) ||
            (!t->muon && take_moment(op, &t->v, q->n, false, err)))
            return err->code;
        op->n_chunks += (q->n + CHUNK - 1) / CHUNK;
        op->n_items++;
    }
    return 0;
}

/* What the kernel table's AdamW takes: everything but Muon's, with moments in f32. */
static void list_pieces(struct optim *op)
{
    for (int64_t i = 0; !op->o.bf16_moments && i < op->n_chunks; i++) {
        const struct optim_chunk *c = &op->chunks[i];
        const struct optim_tensor *t = &op->items[c->item];

        if (t->muon)
            continue;
        op->pieces[op->n_pieces++] = (struct adamw_piece){.w = t->p->w + c->begin,
                                                          .m = (float *)t->m + c->begin,
                                                          .v = (float *)t->v + c->begin,
                                                          .grad = t->p->grad + c->begin,
                                                          .n = c->n,
                                                          .decay = t->decay};
    }
}

int optim_init(struct optim *op, struct params *p, const struct optim_options *o,
               struct mk_error *err)
{
    int64_t c = 0;

    *op = (struct optim){.o = *o};
    arena_init(&op->memory, SIZE_MAX / 4);
    if (take_items(op, p, err) ||
        arena_take(&op->memory, &op->chunks, (size_t)op->n_chunks, sizeof *op->chunks, err) ||
        arena_take(&op->memory, &op->pieces, (size_t)op->n_chunks, sizeof *op->pieces, err) ||
        arena_take(&op->memory, &op->partial, (size_t)op->n_chunks, sizeof *op->partial, err)) {
        optim_release(op);
        return err->code;
    }
    for (int64_t i = 0; i < op->n_items; i++)
        for (int64_t at = 0; at < op->items[i].p->n; at += CHUNK) {
            int64_t left = op->items[i].p->n - at;

            op->chunks[c++] = (struct optim_chunk){i, at, left < CHUNK ? left : CHUNK};
        }
    list_pieces(op);
    return 0;
}

void optim_release(struct optim *op)
{
    arena_release(&op->memory);
    memset(op, 0, sizeof *op);
}

/* ---- Norm ----------------------------------------------------------------------------------- */

static void norm_task(void *context, int64_t task, int worker)
{
    struct optim *op = context;
    const struct optim_chunk *c = &op->chunks[task];
    const float *g = op->items[c->item].p->grad + c->begin;
    double sum[4] = {0};
    int64_t i = 0;

    (void)worker;
    for (; i + 4 <= c->n; i += 4) {
        sum[0] += (double)g[i] * g[i];
        sum[1] += (double)g[i + 1] * g[i + 1];
        sum[2] += (double)g[i + 2] * g[i + 2];
        sum[3] += (double)g[i + 3] * g[i + 3];
    }
    for (; i < c->n; i++)
        sum[i % 4] += (double)g[i] * g[i];
    op->partial[task] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

double optim_norm(struct optim *op, struct exec *ex)
{
    double sum = 0;

    exec_run(ex, op->n_chunks, norm_task, op);
    for (int64_t i = 0; i < op->n_chunks; i++)
        sum += op->partial[i];
    return sqrt(sum);
}

/* ---- AdamW ---------------------------------------------------------------------------------- */

struct adamw {
    struct optim *op;
    struct adamw_step step;
};

static inline float adamw_value(const struct adamw_step *a, float w, float grad, float *m, float *v)
{
    float g = a->scale * grad;

    *m += a->rest1 * (g - *m);
    *v = a->beta2 * *v + a->rest2 * g * g;
    return w - a->step * *m / (sqrtf(*v) / a->root2 + a->eps);
}

static void adamw_bf16(const struct adamw_step *a, float shrink, float *w, const float *g,
                       uint16_t *m, uint16_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float wide_m = bf16_to_f32(m[i]), wide_v = bf16_to_f32(v[i]);

        w[i] = adamw_value(a, w[i] * shrink, g[i], &wide_m, &wide_v);
        m[i] = f32_to_bf16(wide_m);
        v[i] = f32_to_bf16(wide_v);
    }
}

/* Moments in bf16; those in f32 are the kernel table's. */
static void adamw_task(void *context, int64_t task, int worker)
{
    const struct adamw *a = context;
    const struct optim_chunk *c = &a->op->chunks[task];
    const struct optim_tensor *t = &a->op->items[c->item];

    (void)worker;
    if (!t->muon)
        adamw_bf16(&a->step, t->decay ? a->step.shrink : 1, t->p->w + c->begin,
                   t->p->grad + c->begin, (uint16_t *)t->m + c->begin, (uint16_t *)t->v + c->begin,
                   c->n);
}

static int muon_all(struct optim *op, struct compute *c, double lr, double scale,
                    struct mk_error *err)
{
    for (int64_t i = 0; i < op->n_items; i++) {
        struct optim_tensor *t = &op->items[i];

        if (t->muon && muon_step(c, &op->memory, &op->o.muon, lr * op->o.muon_lr, scale, t->p->w,
                                 t->p->grad, t->m, t->p->shape[0], t->p->shape[1], err))
            return err->code;
    }
    return 0;
}

int optim_step(struct optim *op, struct compute *c, double lr, double norm, struct mk_error *err)
{
    const struct optim_options *o = &op->o;
    double scale = 1, t = (double)++op->step;
    struct adamw a;

    if (o->clip > 0)
        scale = fmin(1, o->clip / (norm + 1e-6));
    a = (struct adamw){.op = op,
                       .step = {.scale = (float)scale,
                                .beta2 = (float)o->beta2,
                                .rest1 = (float)(1 - o->beta1),
                                .rest2 = (float)(1 - o->beta2),
                                .eps = (float)o->eps,
                                .shrink = (float)(1 - lr * o->weight_decay),
                                .step = (float)(lr / (1 - pow(o->beta1, t))),
                                .root2 = (float)sqrt(1 - pow(o->beta2, t))}};
    if (o->bf16_moments)
        exec_run(c->ex, op->n_chunks, adamw_task, &a);
    else
        c->k->adamw(c, &a.step, op->pieces, op->n_pieces);
    return o->kind == OPTIM_MUON ? muon_all(op, c, lr, scale, err) : 0;
}
