/* moe_backward.c: the backward pass of the mixture of experts (model/moe.c).
 *
 * With D = dout and rows gathered by expert as in the forward pass:
 *   da = D W_down;  dweight = <act, da>;  dW_down += D^T (weight act);  da *= weight
 * so neither the experts' outputs nor their gathered inputs need to be kept. */
#include <string.h>

#include "kernels/fp8.h"
#include "train/backward.h"

#define ROWS_A_TASK 64

/* Of the choices of all tokens, gathered by expert: n = t * used rows. */
struct gathered {
    int64_t n, f;
    int32_t *token;           /* [n] whose row it is */
    int64_t *choice;          /* [n] index into [t, used] */
    const float *weight;      /* [t, used] */
    const bool *dropped;      /* [t, used] or NULL */
    struct swiglu_saved kept; /* [n, f] each */
    float *act;               /* [n, f] in: SwiGLU's product; out: weight * it */
    float *dact;              /* [n, f] in: unweighted; out: weighted */
    float *dweight;           /* [t, used] */
};

/* Sixteen partial sums, added up in one order. */
static float dot(const float *x, const float *y, int64_t n)
{
    float part[16] = {0}, sum = 0;
    int64_t i = 0;

    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            part[j] += x[i + j] * y[i + j];
    for (; i < n; i++)
        part[i % 16] += x[i] * y[i];
    for (int j = 0; j < 16; j++)
        sum += part[j];
    return sum;
}

static void weigh_task(void *context, int64_t task, int worker)
{
    const struct gathered *g = context;
    int64_t end = (task + 1) * ROWS_A_TASK < g->n ? (task + 1) * ROWS_A_TASK : g->n;

    (void)worker;
    for (int64_t i = task * ROWS_A_TASK; i < end; i++) {
        float *act = g->act + i * g->f, *dact = g->dact + i * g->f;
        float weight = g->weight[g->choice[i]];

        g->dweight[g->choice[i]] =
            g->dropped && g->dropped[g->choice[i]] ? 0 : dot(act, dact, g->f);
        for (int64_t j = 0; j < g->f; j++) {
            act[j] *= weight;
            dact[j] *= weight;
        }
    }
}

static int gather(struct backward *b, int32_t layer, const struct moe_saved *saved,
                  struct gathered *g, struct mk_error *err)
{
    struct step *s = b->s;
    const struct arch *a = &s->m->arch;
    size_t n = (size_t)s->n_rows * (size_t)a->n_experts_used, values = n * (size_t)a->d_expert;

    *g = (struct gathered){.n = (int64_t)n,
                           .f = a->d_expert,
                           .weight = saved->routing.weight,
                           .dropped = saved->routing.dropped,
                           .kept = saved->experts};
    if (arena_take(s->memory, &g->token, n, sizeof *g->token, err) ||
        arena_take(s->memory, &g->choice, n, sizeof *g->choice, err) ||
        arena_take(s->memory, &g->act, values, sizeof *g->act, err) ||
        arena_take(s->memory, &g->dact, values, sizeof *g->dact, err) ||
        arena_take(s->memory, &g->dweight, n, sizeof *g->dweight, err) ||
        swiglu_kept(b, params_get(b->p, W_EXPERT_GATE, layer, 0), g->n, &g->kept, err))
        return err->code;
    for (size_t i = 0; i < n; i++) {
        g->token[saved->routing.row[i]] = (int32_t)(i / (size_t)a->n_experts_used);
        g->choice[saved->routing.row[i]] = (int64_t)i;
    }
    s->c->k->silu_mul(s->c, g->act, g->f, g->kept.gate, g->kept.up, g->f, g->n, a->d_expert);
    return 0;
}

/* A job of one expert: its matrix of this role, its rows of `all`. dy and x are gathered unless
 * their rows are named. */
static struct linear expert_job(struct backward *b, int32_t layer, const struct routing *r,
                                int32_t expert, enum weight_role role, const struct linear *all)
{
    int64_t first = r->first[expert];
    struct linear l = *all;

    l.p = params_get(b->p, role, layer, expert);
    l.n_rows = r->first[expert + 1] - first;
    if (l.dy_rows)
        l.dy_rows += first;
    else
        l.dy += first * l.dy_stride;
    if (l.x_rows)
        l.x_rows += first;
    else if (l.x)
        l.x += first * l.x_stride;
    if (l.dx)
        l.dx += first * l.dx_stride;
    return l;
}

/* These jobs, the first for the matrix `role`, the next for the one behind it, for every expert
 * that has rows. */
static int experts(struct backward *b, int32_t layer, const struct moe_saved *saved,
                   enum weight_role role, const struct linear *all, int32_t n_all,
                   struct mk_error *err)
{
    int32_t n_experts = b->s->m->arch.n_experts, n = 0;
    const struct routing *r = &saved->routing;
    struct linear *jobs;

    if (arena_take(b->s->memory, &jobs, (size_t)n_experts * (size_t)n_all, sizeof *jobs, err))
        return err->code;
    for (int32_t e = 0; e < n_experts; e++)
        for (int32_t i = 0; i < n_all && r->first[e + 1] > r->first[e]; i++)
            jobs[n++] = expert_job(b, layer, r, e, role + (enum weight_role)i, &all[i]);
    return linear_backward(b, jobs, n, err);
}

/* Through the experts: dx_rows [n, d_model] gathered, and g->dweight. */
static int experts_backward(struct backward *b, int32_t layer, const struct moe_saved *moe,
                            struct gathered *g, const float *x, const float *dout, float *dx_rows,
                            struct mk_error *err)
{
    struct step *s = b->s;
    int64_t d = s->m->arch.d_model, f = g->f;
    struct linear into_act = {
        .dy = dout, .dy_stride = d, .dy_rows = g->token, .dx = g->dact, .dx_stride = f};
    struct linear down = {
        .dy = dout, .dy_stride = d, .dy_rows = g->token, .x = g->act, .x_stride = f};
    struct linear in[2] = {{.dy_stride = f,
                            .x = x,
                            .x_stride = d,
                            .x_rows = g->token,
                            .dx = dx_rows,
                            .dx_stride = d}};
    float *dup = g->act; /* not needed any more by then */

    if (experts(b, layer, moe, W_EXPERT_DOWN, &into_act, 1, err))
        return err->code;
    exec_run(s->c->ex, (g->n + ROWS_A_TASK - 1) / ROWS_A_TASK, weigh_task, g);
    if (experts(b, layer, moe, W_EXPERT_DOWN, &down, 1, err))
        return err->code;
    s->c->k->silu_mul_backward(s->c, g->dact, dup, f, g->kept.gate, g->kept.up, f, g->dact, f, g->n,
                               (int32_t)f);
    in[1] = in[0];
    in[0].dy = g->dact;
    in[1].dy = dup;
    in[1].add = true;
    if (experts(b, layer, moe, W_EXPERT_GATE, in, 2, err))
        return err->code;
    if (params_get(b->p, W_EXPERT_GATE, layer, 0)->compute == MK_F8_E4M3)
        bf16_round(s->c->ex, dx_rows, dx_rows, g->n * d); /* as it is sent back */
    return 0;
}

static void count(struct backward *b, int32_t layer, const struct routing *r, int64_t n)
{
    for (int64_t i = 0; b->expert_tokens && i < n; i++)
        b->expert_tokens[(int64_t)layer * b->s->m->arch.n_experts + r->index[i]]++;
    for (int64_t i = 0; b->dropped && r->dropped && i < n; i++)
        b->dropped[layer] += r->dropped[i];
}

int moe_backward(struct backward *b, int32_t layer, const struct block_saved *saved, const float *x,
                 const float *dout, float *dx, struct mk_error *err)
{
    struct step *s = b->s;
    const struct arch *a = &s->m->arch;
    const struct moe_saved *moe = &saved->ffn.moe;
    struct arena_mark mark = arena_mark(s->memory);
    int64_t d = a->d_model;
    float *dx_rows, *dlogits, *ones;
    struct gathered g;
    struct linear router;

    count(b, layer, &moe->routing, s->n_rows * a->n_experts_used);
    if (gather(b, layer, moe, &g, err) || step_take(s, &dx_rows, d * a->n_experts_used, err) ||
        step_take(s, &dlogits, a->n_experts, err) || step_take(s, &ones, a->n_experts_used, err) ||
        experts_backward(b, layer, moe, &g, x, dout, dx_rows, err))
        return err->code;
    if (!a->n_shared_experts)
        memset(dx, 0, (size_t)(s->n_rows * d) * sizeof *dx);
    else if (swiglu_backward(b, W_SHARED_GATE, layer, x, &moe->shared, dout, dx, err))
        return err->code;
    for (int64_t i = 0; i < g.n; i++)
        ones[i] = 1;
    s->c->k->combine(s->c, dx, d, dx_rows, d, moe->routing.row, ones, s->n_rows, a->n_experts_used,
                     (int32_t)d);
    if (router_backward(b, layer, moe, g.dweight, dlogits, err))
        return err->code;
    router = (struct linear){.p = params_get(b->p, W_ROUTER, layer, 0),
                             .n_rows = s->n_rows,
                             .dy = dlogits,
                             .dy_stride = a->n_experts,
                             .x = x,
                             .x_stride = d,
                             .dx = dx,
                             .dx_stride = d,
                             .add = true};
    if (linear_backward(b, &router, 1, err))
        return err->code;
    arena_rewind(s->memory, mark);
    return 0;
}
