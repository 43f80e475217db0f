/* pass.c: forward with what backward needs kept, losses, and back through every block. */
#include "train/pass.h"

#include <string.h>

#include "train/backward.h"
#include "train/head_loss.h"
#include "train/reward.h"

/* One pass. The model's own rows are place 0, those of MTP block i place 1 + i: one row less each,
 * since block i looks 1 + i tokens ahead. */
struct place {
    struct step s;
    const struct train_seq *seqs; /* [n_seqs] ids, targets and weights of this place */
    float *normed;                /* [t, d_model] after the final norm */
    float *dnormed;               /* the gradient, summed from the head and the next MTP block */
    double loss;
};

struct pass {
    const struct model *m;
    struct params *p;
    struct compute *c;
    struct arena *memory;
    const struct pass_options *o;
    struct forward_keep keep;
    struct place *places; /* [1 + n_mtp] */
    int32_t n_places, n_seqs;
    struct backward back;
};

/* ---- Sequences ------------------------------------------------------------------------------ */

/* Ids and targets of MTP block `ahead` - 1: row i reads token i + ahead and learns the one behind
 * it. Sequences that are too short have no rows and are left out of `first`. */
static int shift(struct pass *ps, const struct train_seq *seqs, int32_t n_seqs, int32_t ahead,
                 struct train_seq **out, int32_t *n_out, struct mk_error *err)
{
    struct train_seq *shifted;

    if (arena_take(ps->memory, &shifted, (size_t)n_seqs, sizeof *shifted, err))
        return err->code;
    *n_out = 0;
    for (int32_t i = 0; i < n_seqs; i++) {
        if (seqs[i].n_ids <= ahead)
            continue;
        shifted[*n_out] = seqs[i];
        shifted[*n_out].ids += ahead;
        shifted[*n_out].targets += ahead;
        shifted[*n_out].weight += seqs[i].weight ? ahead : 0;
        shifted[*n_out].loss = NULL;
        shifted[*n_out].teacher = NULL; /* they look one token ahead */
        shifted[(*n_out)++].n_ids -= ahead;
    }
    *out = shifted;
    return 0;
}

/* Cached rows of one layer: a sequence starts anew, so all layers use the same memory. */
static int take_cache(struct pass *ps, struct forward_seq *f, int64_t rows, struct mk_error *err)
{
    int32_t layers = ps->m->arch.n_layers + ps->m->n_mtp;
    int64_t bytes = rows * kv_row_bytes(MK_F32, model_row_dim(ps->m));
    unsigned char **kv, *data;

    if (arena_take(ps->memory, &kv, (size_t)layers, sizeof *kv, err) ||
        arena_take(ps->memory, &data, (size_t)bytes, 1, err))
        return err->code;
    for (int32_t l = 0; l < layers; l++)
        kv[l] = data;
    f->kv = kv;
    return 0;
}

static int place_begin(struct pass *ps, struct place *pl, const struct train_seq *seqs,
                       int32_t n_seqs, struct mk_error *err)
{
    struct forward_seq *f;

    if (arena_take(ps->memory, &f, (size_t)n_seqs, sizeof *f, err))
        return err->code;
    for (int32_t i = 0; i < n_seqs; i++) {
        f[i] = (struct forward_seq){
            .ids = seqs[i].ids, .n_ids = seqs[i].n_ids, .keep_all = seqs[i].keep_all};
        if (seqs[i].behind) {
            f[i].prefix = &f[i - seqs[i].behind];
            f[i].position = f[i].prefix->n_ids;
        }
        if (take_cache(ps, &f[i], f[i].position + seqs[i].n_ids, err))
            return err->code;
    }
    *pl = (struct place){.seqs = seqs,
                         .s = {.m = ps->m,
                               .c = ps->c,
                               .memory = ps->memory,
                               .kv_dtype = MK_F32,
                               .seqs = f,
                               .n_seqs = n_seqs,
                               .keep = &ps->keep}};
    if (step_begin(&pl->s, err) || step_take(&pl->s, &pl->normed, ps->m->arch.d_model, err))
        return err->code;
    return 0;
}

/* ---- Forward -------------------------------------------------------------------------------- */

/* Values that a token leaves in a lean block, and what more there is in a whole one. */
static void block_values(const struct model *m, int32_t layer, uint64_t *lean, uint64_t *more)
{
    const struct arch *a = &m->arch;
    uint64_t h = (uint64_t)a->n_heads, n = 2 * (uint64_t)a->d_model + h;

    *more = 0;
    if (a->attention == ARCH_MLA) {
        uint64_t d_k = (uint64_t)a->qk_nope_dim + (uint64_t)a->qk_rope_dim;
        uint64_t latent = (uint64_t)a->kv_lora_rank + (uint64_t)a->qk_rope_dim;

        n += h * d_k + 2 * latent + 2 * (uint64_t)a->q_lora_rank + h * (uint64_t)a->v_head_dim;
        if (attention_kind_for(a, &m->options) == &attention_mla_absorbed)
            n += h * (latent + (uint64_t)a->kv_lora_rank);
        else
            *more = h * (d_k + (uint64_t)a->v_head_dim);
    } else {
        n += (a->qk_norm ? 2u : 1u) * (uint64_t)a->head_dim * (h + 2 * (uint64_t)a->n_kv_heads) +
             h * (uint64_t)a->head_dim;
    }
    if (arch_layer_is_moe(a, layer))
        n += 2 * (uint64_t)(a->n_experts_used + a->n_shared_experts) * (uint64_t)a->d_expert +
             (uint64_t)a->n_experts + 3 * (uint64_t)a->n_experts_used;
    else
        n += 2 * (uint64_t)a->d_ff;
    *lean = n;
}

uint64_t pass_keep(const struct model *m, int64_t n_rows, uint64_t room, enum block_keep *keep,
                   bool *all)
{
    int32_t layers = m->arch.n_layers + m->n_mtp, first_lean = layers;
    uint64_t token = (uint64_t)n_rows * sizeof(float), lean, more, used = 0;

    for (int32_t l = 0; keep && l < layers; l++)
        keep[l] = KEEP_INPUT;
    for (int32_t l = layers - 1; l >= 0; l--) {
        block_values(m, l, &lean, &more);
        if (lean * token > room - used)
            break;
        used += lean * token;
        first_lean = l;
    }
    *all = first_lean == 0;
    for (int32_t l = layers - 1; l >= first_lean; l--) {
        bool whole;

        block_values(m, l, &lean, &more);
        whole = more * token <= room - used;
        used += whole ? more * token : 0;
        *all = *all && whole;
        if (keep)
            keep[l] = whole ? KEEP_WHOLE : KEEP_LEAN;
    }
    return used;
}

static int take_keep(struct pass *ps, int64_t n_rows, struct mk_error *err)
{
    int32_t layers = ps->m->arch.n_layers + ps->p->arch.n_mtp;
    struct block_saved *blocks;
    enum block_keep *keep;
    bool all;

    ps->keep = (struct forward_keep){.layer_rows = n_rows,
                                     .experts = ps->o->experts,
                                     .forced_experts = ps->o->forced_experts,
                                     .capacity = ps->o->capacity};
    if (ps->o->forward_only)
        return 0;
    if (arena_take(ps->memory, &blocks, (size_t)layers, sizeof *blocks, err) ||
        arena_take(ps->memory, &ps->keep.final_in, (size_t)ps->n_places, sizeof *ps->keep.final_in,
                   err) ||
        arena_take(ps->memory, &ps->keep.mtp, (size_t)ps->n_places, sizeof *ps->keep.mtp, err) ||
        arena_take(ps->memory, &keep, (size_t)layers, sizeof *keep, err))
        return err->code;
    memset(blocks, 0, (size_t)layers * sizeof *blocks);
    pass_keep(ps->m, n_rows, ps->o->keep_bytes, keep, &all);
    for (int32_t l = 0; l < layers; l++)
        blocks[l].keep = keep[l];
    ps->keep.blocks = blocks;
    return 0;
}

/* What an MTP block reads beside its ids: rows of the place before it that have a row here. */
static void hidden_rows(const struct place *from, const struct place *to, int32_t d, float *hidden)
{
    for (int32_t i = 0, j = 0; i < from->s.n_seqs && j < to->s.n_seqs; i++) {
        if (from->s.seqs[i].n_ids < 2)
            continue;
        memcpy(hidden + to->s.first_row[j] * d, from->normed + from->s.first_row[i] * d,
               (size_t)to->s.seqs[j].n_ids * (size_t)d * sizeof *hidden);
        j++;
    }
}

/* The gradient the other way. */
static void add_hidden_rows(const struct place *from, const struct place *to, int32_t d,
                            const float *dhidden)
{
    for (int32_t i = 0, j = 0; i < from->s.n_seqs && j < to->s.n_seqs; i++) {
        float *out = from->dnormed + from->s.first_row[i] * d;
        const float *in = dhidden + to->s.first_row[j] * d;

        if (from->s.seqs[i].n_ids < 2)
            continue;
        for (int64_t n = 0; n < (int64_t)to->s.seqs[j].n_ids * d; n++)
            out[n] += in[n];
        j++;
    }
}

/* The experts that sequences bring along, in the layout of forward_keep. */
static int replay(struct pass *ps, const struct train_seq *seqs, struct mk_error *err)
{
    int64_t layers = ps->m->arch.n_layers, used = ps->m->arch.n_experts_used, row = 0;
    int64_t n_rows = ps->places[0].s.n_rows;
    int32_t *all;

    if (!seqs[0].experts || used == 0)
        return 0;
    if (arena_take(ps->memory, &all, (size_t)(layers * n_rows * used), sizeof *all, err))
        return err->code;
    for (int32_t i = 0; i < ps->n_seqs; i++)
        for (int64_t j = 0; j < seqs[i].n_ids; j++, row++)
            for (int64_t l = 0; l < layers; l++)
                memcpy(all + (l * n_rows + row) * used, seqs[i].experts + (j * layers + l) * used,
                       (size_t)used * sizeof *all);
    ps->keep.forced_experts = all;
    return 0;
}

static int forward(struct pass *ps, const struct train_seq *seqs, struct mk_error *err)
{
    int32_t d = ps->m->arch.d_model, n = ps->n_seqs;
    float *hidden;

    if (place_begin(ps, &ps->places[0], seqs, n, err) ||
        take_keep(ps, ps->places[0].s.n_rows, err) || replay(ps, seqs, err) ||
        step_trunk(&ps->places[0].s, ps->places[0].normed, err))
        return err->code;
    for (int32_t i = 1; i < ps->n_places; i++) {
        struct place *pl = &ps->places[i];
        struct train_seq *shifted = NULL;

        if (shift(ps, seqs, ps->n_seqs, i, &shifted, &n, err))
            return err->code;
        if (n == 0) {
            ps->n_places = i;
            return 0;
        }
        if (place_begin(ps, pl, shifted, n, err) || step_take(&pl->s, &hidden, d, err))
            return err->code;
        hidden_rows(&ps->places[i - 1], pl, d, hidden);
        if (step_mtp(&pl->s, i - 1, hidden, pl->normed, err))
            return err->code;
    }
    return 0;
}

/* ---- Backward ------------------------------------------------------------------------------- */

static int rope_back(struct pass *ps, struct step *s, struct mk_error *err)
{
    int64_t n = s->n_rows * ps->m->rope.n_pairs;
    float *table;

    if (arena_take(ps->memory, &table, 2 * (size_t)n, sizeof *table, err))
        return err->code;
    for (int64_t i = 0; i < n; i++) {
        table[2 * i] = s->rope[2 * i];
        table[2 * i + 1] = -s->rope[2 * i + 1];
    }
    ps->back.s = s;
    ps->back.rope_back = table;
    return 0;
}

/* A block whose inside was not kept is computed once more. */
static int one_block(struct pass *ps, const struct layer *layer, int32_t index, float *dh,
                     struct mk_error *err)
{
    struct step *s = ps->back.s;
    struct block_saved *saved = &ps->keep.blocks[index];
    struct arena_mark mark = arena_mark(ps->memory);
    int32_t d = ps->m->arch.d_model;
    float *h;

    if (saved->keep == KEEP_INPUT) {
        if (step_take(s, &h, d, err))
            return err->code;
        memcpy(h, saved->in, (size_t)s->n_rows * (size_t)d * sizeof *h);
        saved->keep = KEEP_WHOLE;
        if (block_forward(s, layer, index, h, err))
            return err->code;
        saved->keep = KEEP_INPUT;
    }
    if (block_backward(&ps->back, index, saved, dh, err))
        return err->code;
    arena_rewind(ps->memory, mark);
    return 0;
}

/* Through a final norm: place->dnormed -> dh, written. */
static int final_norm(struct pass *ps, int32_t i, enum weight_role role, int32_t layer, float *dh,
                      struct mk_error *err)
{
    const struct place *pl = &ps->places[i];
    int32_t d = ps->m->arch.d_model;

    memset(dh, 0, (size_t)pl->s.n_rows * (size_t)d * sizeof *dh);
    return norm_backward(&ps->back, params_get(ps->p, role, layer, 0), dh, d, pl->dnormed, d,
                         ps->keep.final_in[i], d, pl->s.n_rows, d, ps->m->arch.rms_norm_eps, err);
}

static void embed_backward(struct pass *ps, const struct place *pl, int32_t index, const float *dx)
{
    struct param *embed = params_get(ps->p, W_EMBED, 0, 0);
    int32_t d = ps->m->arch.d_model;

    for (int32_t i = 0; embed->grad && i < pl->s.n_seqs; i++)
        ps->c->k->embed_backward(ps->c, embed->grad + params_embed_stream(ps->p, index) * embed->n,
                                 d, pl->seqs[i].ids, dx + pl->s.first_row[i] * d, d,
                                 pl->seqs[i].n_ids, d);
}

/* In front of an MTP block's layer: projection and the two norms. dh [t, d_model] of the layer's
 * input; the hidden rows' gradient goes to the place before. */
static int mtp_front(struct pass *ps, int32_t i, const float *dh, struct mk_error *err)
{
    struct place *pl = &ps->places[i];
    struct step *s = &pl->s;
    int32_t d = ps->m->arch.d_model, layer = ps->m->arch.n_layers + i - 1;
    float eps = ps->m->arch.rms_norm_eps, *dboth, *dembed, *dhidden;
    const struct mtp_saved *saved = &ps->keep.mtp[i - 1];
    struct linear proj;

    if (step_take(s, &dboth, 2 * d, err) || step_take(s, &dembed, d, err) ||
        step_take(s, &dhidden, d, err))
        return err->code;
    memset(dembed, 0, (size_t)s->n_rows * (size_t)d * sizeof *dembed);
    memset(dhidden, 0, (size_t)s->n_rows * (size_t)d * sizeof *dhidden);
    proj = (struct linear){.p = params_get(ps->p, W_MTP_PROJ, layer, 0),
                           .n_rows = s->n_rows,
                           .dy = dh,
                           .dy_stride = d,
                           .x = saved->both,
                           .x_stride = 2 * d,
                           .dx = dboth,
                           .dx_stride = 2 * d};
    if (linear_backward(&ps->back, &proj, 1, err) ||
        norm_backward(&ps->back, params_get(ps->p, W_MTP_EMBED_NORM, layer, 0), dembed, d, dboth,
                      2 * d, saved->embed, d, s->n_rows, d, eps, err) ||
        norm_backward(&ps->back, params_get(ps->p, W_MTP_HIDDEN_NORM, layer, 0), dhidden, d,
                      dboth + d, 2 * d, saved->hidden, d, s->n_rows, d, eps, err))
        return err->code;
    embed_backward(ps, pl, i, dembed);
    add_hidden_rows(&ps->places[i - 1], pl, d, dhidden);
    return 0;
}

static int mtp_backward(struct pass *ps, int32_t i, struct mk_error *err)
{
    struct arena_mark mark = arena_mark(ps->memory);
    struct step *s = &ps->places[i].s;
    int32_t layer = ps->m->arch.n_layers + i - 1;
    float *dh;

    if (rope_back(ps, s, err) || step_take(s, &dh, ps->m->arch.d_model, err) ||
        final_norm(ps, i, W_MTP_NORM, layer, dh, err) ||
        one_block(ps, &ps->m->mtp[i - 1].layer, layer, dh, err) || mtp_front(ps, i, dh, err))
        return err->code;
    arena_rewind(ps->memory, mark);
    return 0;
}

static int trunk_backward(struct pass *ps, struct mk_error *err)
{
    struct step *s = &ps->places[0].s;
    float *dh;

    if (rope_back(ps, s, err) || step_take(s, &dh, ps->m->arch.d_model, err) ||
        final_norm(ps, 0, W_FINAL_NORM, 0, dh, err))
        return err->code;
    for (int32_t l = ps->m->arch.n_layers - 1; l >= 0; l--)
        if (one_block(ps, &ps->m->layers[l], l, dh, err))
            return err->code;
    embed_backward(ps, &ps->places[0], 0, dh);
    return 0;
}

/* ---- Losses --------------------------------------------------------------------------------- */

/* Losses alone, from which the weights follow. */
static int weigh(struct pass *ps, const struct head_loss *h, struct mk_error *err)
{
    struct head_loss alone = *h;

    if (!ps->o->weigh)
        return 0;
    alone.train = false;
    if (head_loss(&alone, err))
        return err->code;
    ps->o->weigh(ps->o->weigh_user, h->seqs, ps->n_seqs);
    return 0;
}

/* Scores of the sequences, and back from what they pull. */
static int scores(struct pass *ps, struct mk_error *err)
{
    struct place *pl = &ps->places[0];
    size_t n = (size_t)pl->s.n_rows * (size_t)ps->m->arch.d_model;

    ps->back.s = &pl->s;
    if (reward_scores(&ps->back, pl->seqs, pl->normed, err))
        return err->code;
    if (ps->o->weigh)
        ps->o->weigh(ps->o->weigh_user, pl->seqs, ps->n_seqs);
    if (ps->o->forward_only)
        return 0;
    if (step_take(&pl->s, &pl->dnormed, ps->m->arch.d_model, err))
        return err->code;
    memset(pl->dnormed, 0, n * sizeof *pl->dnormed);
    reward_backward(&ps->back, pl->seqs, pl->normed, ps->o->scale, pl->dnormed);
    return 0;
}

/* Cross entropy of every place; gradients of the normed rows unless forward_only. */
static int losses(struct pass *ps, struct pass_result *r, struct mk_error *err)
{
    int32_t d = ps->m->arch.d_model;

    for (int32_t i = 0; i < ps->n_places; i++) {
        struct place *pl = &ps->places[i];
        double lambda = i == 0 ? 1 : ps->o->mtp_weight / ps->p->arch.n_mtp;
        struct head_loss h = {.back = &ps->back,
                              .seqs = pl->seqs,
                              .place = i,
                              .scale = ps->o->scale * lambda,
                              .normed = pl->normed,
                              .distill = ps->o->distill,
                              .train = !ps->o->forward_only};

        ps->back.s = &pl->s;
        if (i == 0 && weigh(ps, &h, err))
            return err->code;
        if (h.train) {
            if (step_take(&pl->s, &pl->dnormed, d, err))
                return err->code;
            memset(pl->dnormed, 0, (size_t)pl->s.n_rows * (size_t)d * sizeof *pl->dnormed);
            h.dnormed = pl->dnormed;
        }
        h.loss = i == 0 ? r->loss : r->mtp_loss[i - 1];
        h.divergence = r->divergence;
        if (head_loss(&h, err))
            return err->code;
        r->divergence = h.divergence;
        if (i == 0)
            r->loss = h.loss;
        else
            r->mtp_loss[i - 1] = h.loss;
        r->n_targets += i == 0 ? h.n_targets : 0;
    }
    return 0;
}

static int check(const struct model *m, const struct params *p, const struct pass_options *o,
                 const struct train_seq *seqs, int32_t n_seqs, struct mk_error *err)
{
    if (n_seqs < 1)
        return mk_error_set(err, MK_EINVAL, "a training pass needs at least one sequence");
    for (int32_t i = 0; i < n_seqs; i++)
        if (seqs[i].behind < 0 || seqs[i].behind > i ||
            (seqs[i].behind && (seqs[i - seqs[i].behind].behind || !o->trunk_only)))
            return mk_error_set(err, MK_EINVAL,
                                "sequence %d goes on behind one that is not of this pass", i);
    for (int32_t i = 0; i < n_seqs; i++)
        if (!seqs[i].experts != !seqs[0].experts || (seqs[i].experts && !o->trunk_only && m->n_mtp))
            return mk_error_set(err, MK_EINVAL,
                                "experts are replayed for all sequences of a pass, without MTP");
    if (m->n_mtp != p->arch.n_mtp)
        return mk_error_set(err, MK_EINVAL, "the model was packed without its %d MTP blocks",
                            p->arch.n_mtp);
    if (!o->forward_only && m->arch.attention == ARCH_MLA &&
        attention_kind_for(&m->arch, &m->options) == &attention_mla_fast)
        return mk_error_set(err, MK_EINVAL,
                            "numerics `fast` mixes two forms of attention: train with `exact`");
    return 0;
}

int pass_run(const struct model *m, struct params *p, struct compute *c, struct arena *memory,
             const struct train_seq *seqs, int32_t n_seqs, const struct pass_options *o,
             struct pass_result *r, struct mk_error *err)
{
    struct pass ps = {.m = m,
                      .p = p,
                      .c = c,
                      .memory = memory,
                      .o = o,
                      .n_places = o->trunk_only ? 1 : 1 + m->n_mtp,
                      .n_seqs = n_seqs,
                      .back = {.p = p,
                               .balance = &o->balance,
                               .balance_loss = r->balance_loss,
                               .expert_tokens = r->expert_tokens,
                               .dropped = r->dropped}};

    if (check(m, p, o, seqs, n_seqs, err))
        return err->code;
    arena_reset(memory);
    if (arena_take(memory, &ps.places, (size_t)ps.n_places, sizeof *ps.places, err) ||
        forward(&ps, seqs, err) ||
        (o->score ? scores(&ps, err) : losses(&ps, r, err)))
        return err->code;
    r->n_rows += ps.places[0].s.n_rows;
    if (o->forward_only)
        return 0;
    for (int32_t i = ps.n_places - 1; i > 0; i--)
        if (mtp_backward(&ps, i, err))
            return err->code;
    return trunk_backward(&ps, err);
}
