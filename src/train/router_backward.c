/* router_backward.c: gradients of the gate (deepseek.md 3.5). Selection, bias and the choice of
 * groups have none; the balance losses reach every expert's score. */
#include <string.h>

#include "model/router.h"
#include "train/backward.h"

/* ds [e] from the weights of the chosen. Normalised: w_i = R s_i / n, so ds_i = R / n * (gw_i - sum
 * gw_j s_j / n). V2 drops R when it normalises. */
static void weights_backward(const struct arch *a, const float *score, const int32_t *index,
                             const float *dweight, float *ds)
{
    float factor = a->routed_scaling_factor, sum = 0, dot = 0;

    memset(ds, 0, (size_t)a->n_experts * sizeof *ds);
    if (!a->norm_topk_prob) {
        for (int32_t j = 0; j < a->n_experts_used; j++)
            ds[index[j]] = factor * dweight[j];
        return;
    }
    if (a->router != ARCH_ROUTER_NOAUX)
        factor = 1;
    for (int32_t j = 0; j < a->n_experts_used; j++)
        sum += score[index[j]];
    sum += 1e-20f;
    for (int32_t j = 0; j < a->n_experts_used; j++)
        dot += dweight[j] * score[index[j]];
    for (int32_t j = 0; j < a->n_experts_used; j++)
        ds[index[j]] = factor / sum * (dweight[j] - dot / sum);
}

/* Adds the balance losses: coef [e] of P; V3's scores are divided by their sum there. */
static void add_balance(const struct arch *a, const float *score, const double *coef, double scale,
                        float *ds)
{
    double sum = 0, dot = 0;

    if (a->router != ARCH_ROUTER_NOAUX) {
        for (int32_t e = 0; e < a->n_experts; e++)
            ds[e] += (float)(scale * coef[e]);
        return;
    }
    for (int32_t e = 0; e < a->n_experts; e++) {
        sum += score[e];
        dot += coef[e] * score[e];
    }
    for (int32_t e = 0; e < a->n_experts; e++)
        ds[e] += (float)(scale * (coef[e] - dot / sum) / sum);
}

/* Through sigmoid (V3) or softmax (V2), in place. */
static void scores_backward(const struct arch *a, const float *score, float *ds)
{
    float dot = 0;

    if (a->router == ARCH_ROUTER_NOAUX) {
        for (int32_t e = 0; e < a->n_experts; e++)
            ds[e] *= score[e] * (1 - score[e]);
        return;
    }
    for (int32_t e = 0; e < a->n_experts; e++)
        dot += ds[e] * score[e];
    for (int32_t e = 0; e < a->n_experts; e++)
        ds[e] = score[e] * (ds[e] - dot);
}

/* coef, mean, and twice as much to work in. */
struct balance_room {
    double *coef, *mean, *scratch;
};

/* One sequence: its share of the loss, then its rows. */
static void sequence(struct backward *b, int32_t layer, const struct moe_saved *saved, int32_t i,
                     const float *scores, const struct balance_room *room, const float *dweight,
                     float *dlogits)
{
    const struct arch *a = &b->s->m->arch;
    const struct balance_options *o = b->balance;
    int64_t first = b->s->first_row[i], n = b->s->seqs[i].n_ids, used = a->n_experts_used;
    bool balanced = o && balance_wanted(o);

    if (balanced) {
        balance_coefficients(o, a, scores + first * a->n_experts,
                             saved->routing.index + first * used, n, room->coef, room->mean,
                             room->scratch);
        for (int32_t e = 0; e < a->n_experts && b->balance_loss; e++)
            b->balance_loss[layer] += o->token_scale * (double)n * room->coef[e] * room->mean[e];
    }
    for (int64_t t = first; t < first + n; t++) {
        const float *s = scores + t * a->n_experts;
        float *ds = dlogits + t * a->n_experts;

        weights_backward(a, s, saved->routing.index + t * used, dweight + t * used, ds);
        if (balanced)
            add_balance(a, s, room->coef, o->token_scale, ds);
        scores_backward(a, s, ds);
    }
}

int router_backward(struct backward *b, int32_t layer, const struct moe_saved *saved,
                    const float *dweight, float *dlogits, struct mk_error *err)
{
    struct step *s = b->s;
    const struct arch *a = &s->m->arch;
    struct arena_mark mark = arena_mark(s->memory);
    struct balance_room room;
    float *scores;

    if (step_take(s, &scores, a->n_experts, err) ||
        arena_take(s->memory, &room.coef, 4 * (size_t)a->n_experts, sizeof *room.coef, err))
        return err->code;
    room.mean = room.coef + a->n_experts;
    room.scratch = room.mean + a->n_experts;
    for (int64_t t = 0; t < s->n_rows; t++)
        router_scores(a, saved->logits + t * a->n_experts, scores + t * a->n_experts);
    for (int32_t i = 0; i < s->n_seqs; i++)
        sequence(b, layer, saved, i, scores, &room, dweight, dlogits);
    arena_rewind(s->memory, mark);
    return 0;
}
