/* forward.c: token ids in, logits out. */
#include "model/forward.h"

#include <string.h>

#include "model/step.h"

static int check_seq(const struct model *m, const struct forward_seq *f, struct mk_error *err)
{
    if (f->n_ids < 1 || f->position < 0 || f->n_logits > f->n_ids)
        return mk_error_set(err, MK_EINVAL, "a step needs at least one token of each sequence");
    for (int32_t i = 0; i < f->n_ids; i++)
        if (f->ids[i] < 0 || f->ids[i] >= m->arch.n_vocab)
            return mk_error_set(err, MK_EINVAL,
                                "token id %d is outside the vocabulary of %d tokens", f->ids[i],
                                m->arch.n_vocab);
    return 0;
}

/* Turns of every row. Sequences often stand where the one before them stands, as answers to one
 * question do: what it has is copied. */
static void turn_rows(const struct step *s, float *rope)
{
    int64_t n = 2 * s->m->rope.n_pairs;

    for (int32_t i = 0; i < s->n_seqs; i++)
        for (int32_t j = 0; j < s->seqs[i].n_ids; j++) {
            int64_t position = s->seqs[i].position + j, row = s->first_row[i] + j;
            int64_t before = i > 0 ? position - s->seqs[i - 1].position : -1;

            if (before >= 0 && before < s->seqs[i - 1].n_ids)
                memcpy(rope + row * n, rope + (s->first_row[i - 1] + before) * n,
                       (size_t)n * sizeof *rope);
            else
                rope_row(&s->m->rope, (int32_t)position, rope + row * n);
        }
}

int step_begin(struct step *s, struct mk_error *err)
{
    int64_t *first, n_pairs = s->m->rope.n_pairs;
    float *rope;

    s->n_rows = 0;
    if (arena_take(s->memory, &first, (size_t)s->n_seqs, sizeof *first, err))
        return err->code;
    for (int32_t i = 0; i < s->n_seqs; i++) {
        if (check_seq(s->m, &s->seqs[i], err))
            return err->code;
        first[i] = s->n_rows;
        s->n_rows += s->seqs[i].n_ids;
    }
    s->first_row = first;
    if (step_take(s, &rope, 2 * n_pairs, err) || step_take(s, &s->x, s->m->arch.d_model, err) ||
        step_take(s, &s->out, s->m->arch.d_model, err))
        return err->code;
    turn_rows(s, rope);
    s->rope = rope;
    return 0;
}

static void embed(const struct step *s, float *h)
{
    int32_t d = s->m->arch.d_model;

    for (int32_t i = 0; i < s->n_seqs; i++)
        for (int32_t j = 0; j < s->seqs[i].n_ids; j++)
            packed_row(&s->m->embed, s->seqs[i].ids[j], h + (s->first_row[i] + j) * d);
}

static void copy_hidden(const struct step *s, const float *x)
{
    int32_t d = s->m->arch.d_model;

    for (int32_t i = 0; i < s->n_seqs; i++)
        if (s->seqs[i].hidden)
            memcpy(s->seqs[i].hidden, x + s->first_row[i] * d,
                   (size_t)s->seqs[i].n_ids * (size_t)d * sizeof *x);
}

/* Logits of the rows that were asked for, in one product. x [t, d_model] after the final norm. */
static int head(struct step *s, const float *x, struct mk_error *err)
{
    int64_t d = s->m->arch.d_model, v = s->m->arch.n_vocab, n = 0, row = 0;
    float *wanted, *logits;
    struct matmul_job job;

    for (int32_t i = 0; i < s->n_seqs; i++)
        n += s->seqs[i].logits ? s->seqs[i].n_logits : 0;
    if (n == 0)
        return 0;
    if (arena_take(s->memory, &wanted, (size_t)(n * d), sizeof *wanted, err))
        return err->code;
    for (int32_t i = 0; i < s->n_seqs; i++) {
        const struct forward_seq *f = &s->seqs[i];

        if (!f->logits)
            continue;
        memcpy(wanted + row * d, x + (s->first_row[i] + f->n_ids - f->n_logits) * d,
               (size_t)(f->n_logits * d) * sizeof *x);
        row += f->n_logits;
    }
    logits = s->seqs[0].logits;
    if (s->n_seqs > 1 && arena_take(s->memory, &logits, (size_t)(n * v), sizeof *logits, err))
        return err->code;
    job = (struct matmul_job){&s->m->head, NULL, wanted, d, n, logits, v};
    if (s->c->k->matmul(s->c, &job, 1, err))
        return err->code;
    row = 0;
    for (int32_t i = 0; i < s->n_seqs && s->n_seqs > 1; i++) {
        if (!s->seqs[i].logits)
            continue;
        memcpy(s->seqs[i].logits, logits + row * v,
               (size_t)(s->seqs[i].n_logits * v) * sizeof *logits);
        row += s->seqs[i].n_logits;
    }
    return 0;
}

static void norm(struct step *s, float *out, const float *x, const float *gain)
{
    const struct arch *a = &s->m->arch;

    s->c->k->rmsnorm(s->c, out, a->d_model, x, a->d_model, gain, s->n_rows, a->d_model,
                     a->rms_norm_eps);
}

static void keep_final(struct step *s, int32_t index, const float *x)
{
    if (s->keep && s->keep->final_in)
        s->keep->final_in[index] = x;
}

int step_trunk(struct step *s, float *h, struct mk_error *err)
{
    float *x = h; /* with what backward needs kept, apart from the normed result */

    if (s->keep && s->keep->final_in && step_take(s, &x, s->m->arch.d_model, err))
        return err->code;
    embed(s, x);
    for (int32_t l = 0; l < s->m->arch.n_layers; l++)
        if (block_forward(s, &s->m->layers[l], l, x, err))
            return err->code;
    keep_final(s, 0, x);
    norm(s, h, x, s->m->final_norm);
    copy_hidden(s, h);
    return 0;
}

int model_forward(const struct model *m, struct compute *c, struct arena *memory,
                  enum dtype kv_dtype, const struct forward_seq *seqs, int32_t n_seqs,
                  struct forward_keep *keep, struct mk_error *err)
{
    struct step s = {.m = m,
                     .c = c,
                     .memory = memory,
                     .kv_dtype = kv_dtype,
                     .seqs = seqs,
                     .n_seqs = n_seqs,
                     .keep = keep};
    float *h;

    if (n_seqs < 1)
        return mk_error_set(err, MK_EINVAL, "a step needs at least one sequence");
    if (step_begin(&s, err) || step_take(&s, &h, m->arch.d_model, err) || step_trunk(&s, h, err))
        return err->code;
    return head(&s, h, err);
}

int step_mtp(struct step *s, int32_t index, const float *hidden, float *h, struct mk_error *err)
{
    const struct mtp *mtp = &s->m->mtp[index];
    const struct kernels *k = s->c->k;
    int32_t d = s->m->arch.d_model;
    float eps = s->m->arch.rms_norm_eps, *x, *both; /* [t, d_model], [t, 2 d_model] */

    if (step_take(s, &x, d, err) || step_take(s, &both, 2 * d, err))
        return err->code;
    embed(s, x);
    k->rmsnorm(s->c, both, 2 * d, x, d, mtp->embed_norm, s->n_rows, d, eps);
    k->rmsnorm(s->c, both + d, 2 * d, hidden, d, mtp->hidden_norm, s->n_rows, d, eps);
    if (s->keep && s->keep->mtp) {
        s->keep->mtp[index] = (struct mtp_saved){.embed = x, .hidden = hidden, .both = both};
        if (step_take(s, &x, d, err))
            return err->code;
    }
    if (step_matmul(s, x, d, both, 2 * d, &mtp->proj, err) ||
        block_forward(s, &mtp->layer, s->m->arch.n_layers + index, x, err))
        return err->code;
    keep_final(s, 1 + index, x);
    norm(s, h, x, mtp->final_norm);
    copy_hidden(s, h);
    return 0;
}

int model_forward_mtp(const struct model *m, struct compute *c, struct arena *memory,
                      enum dtype kv_dtype, int32_t index, const struct forward_seq *seq,
                      const float *hidden, struct mk_error *err)
{
    struct step s = {
        .m = m, .c = c, .memory = memory, .kv_dtype = kv_dtype, .seqs = seq, .n_seqs = 1};
    float *h;

    if (index < 0 || index >= m->n_mtp)
        return mk_error_set(err, MK_EINVAL, "the model has %d multi-token-prediction blocks loaded",
                            m->n_mtp);
    if (step_begin(&s, err) || step_take(&s, &h, m->arch.d_model, err) ||
        step_mtp(&s, index, hidden, h, err))
        return err->code;
    return head(&s, h, err);
}
