/* reward.c: the head's few products, in double and in order: no bit depends on the pass. */
#include "train/reward.h"

#include <string.h>

#include "model/names.h"
#include "train/logistic.h"

int reward_add_head(struct params *p, struct mk_error *err)
{
    struct param *items, *head;
    int64_t n = p->n_items, d = p->arch.d_model;

    if (params_get(p, W_SCORE, 0, 0))
        return 0;
    if (arena_take(&p->memory, &items, (size_t)n + 1, sizeof *items, err))
        return err->code;
    memcpy(items, p->items, (size_t)n * sizeof *items);
    head = &items[n];
    *head = (struct param){.role = W_SCORE,
                           .n_dims = 2,
                           .shape = {1, d},
                           .n = d,
                           .n_streams = 1,
                           .compute = MK_F32};
    weight_name(head->name, NAME_HF, W_SCORE, 0, 0);
    if (arena_take(&p->memory, &head->w, (size_t)d, sizeof *head->w, err))
        return err->code;
    memset(head->w, 0, (size_t)d * sizeof *head->w);
    p->items = items;
    p->n_items = n + 1;
    p->n_values += (uint64_t)d;
    p->slots[W_SCORE] = n;
    p->arch.scored = true;
    return params_view(p, err);
}

/* ---- The loss ------------------------------------------------------------------------------- */

void reward_weigh(void *user, const struct train_seq *seqs, int32_t n_seqs)
{
    const struct reward_pass *r = user;
    struct batch_origin *origins = r->b->origins + (seqs - r->b->seqs);

    for (int32_t i = 0; i + 1 < n_seqs; i += 2) {
        struct seq_score *chosen = seqs[i].score, *rejected = seqs[i + 1].score;
        double z = chosen->value - rejected->value, sum = chosen->value + rejected->value;
        double pull = sigmoid(-z);

        origins[i].loss = softplus(-z) + r->o->centre * sum * sum;
        origins[i + 1].loss = 0;
        chosen->pull = -pull + 2 * r->o->centre * sum;
        rejected->pull = pull + 2 * r->o->centre * sum;
        r->sums->n_pairs++;
        r->sums->n_right += z > 0;
        r->sums->loss += origins[i].loss;
        r->sums->margin += z;
        r->sums->chosen += chosen->value;
        r->sums->rejected += rejected->value;
    }
}

/* ---- The head ------------------------------------------------------------------------------- */

/* The row of the token that sequence i is scored at. */
static int64_t row_of(const struct backward *b, const struct train_seq *seqs, int32_t i)
{
    return (b->s->first_row[i] + seqs[i].score->at) * (int64_t)b->s->m->arch.d_model;
}

int reward_scores(struct backward *b, const struct train_seq *seqs, const float *normed,
                  struct mk_error *err)
{
    const struct param *head = params_get(b->p, W_SCORE, 0, 0);

    if (!head)
        return mk_error_set(err, MK_EINVAL, "the model has no score.weight: it is no reward model");
    for (int32_t i = 0; i < b->s->n_seqs; i++) {
        const float *h = normed + row_of(b, seqs, i);
        double sum = 0;

        for (int64_t j = 0; j < head->n; j++)
            sum += (double)head->w[j] * (double)h[j];
        seqs[i].score->value = sum;
        seqs[i].score->pull = 0;
    }
    return 0;
}

void reward_backward(struct backward *b, const struct train_seq *seqs, const float *normed,
                     double scale, float *dnormed)
{
    const struct param *head = params_get(b->p, W_SCORE, 0, 0);

    for (int32_t i = 0; i < b->s->n_seqs; i++) {
        int64_t row = row_of(b, seqs, i);
        double pull = scale * seqs[i].score->pull;

        for (int64_t j = 0; j < head->n; j++) {
            dnormed[row + j] += (float)(pull * (double)head->w[j]);
            if (head->grad)
                head->grad[j] += (float)(pull * (double)normed[row + j]);
        }
    }
}
