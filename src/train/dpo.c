/* dpo.c: from the losses of two answers to the weights of their tokens. */
#include "train/dpo.h"

#include "train/logistic.h"

double dpo_log_probability(const struct train_seq *s)
{
    double sum = 0;

    for (int32_t i = 0; i < s->n_ids; i++)
        sum -= (double)s->loss[i];
    return sum;
}

static void set_weight(const struct train_seq *s, float *weight, double value)
{
    for (int32_t i = 0; i < s->n_ids; i++)
        weight[i] = (float)value;
}

/* Of dloss / d(-log p(chosen)) = -dloss / d(-log p(rejected)), and the sft term's part. */
void dpo_weigh(void *user, const struct train_seq *seqs, int32_t n_seqs)
{
    const struct dpo_pass *d = user;
    const struct dpo_options *o = d->o;
    struct batch_origin *origins = d->b->origins + (seqs - d->b->seqs);

    for (int32_t i = 0; i + 1 < n_seqs; i += 2) {
        double chosen = dpo_log_probability(&seqs[i]), rejected = dpo_log_probability(&seqs[i + 1]);
        double z = o->beta * ((chosen - origins[i].reference) -
                              (rejected - origins[i + 1].reference));
        double s = o->label_smoothing, n = (double)origins[i].n_targets;
        double pull = o->beta * ((1 - s) * sigmoid(-z) - s * sigmoid(z));

        origins[i].loss = (1 - s) * softplus(-z) + s * softplus(z) - o->sft * chosen / n;
        origins[i + 1].loss = 0;
        set_weight(&seqs[i], origins[i].weight, pull + o->sft / n);
        set_weight(&seqs[i + 1], origins[i + 1].weight, -pull);
        d->sums->n_pairs++;
        d->sums->n_right += z > 0;
        d->sums->loss += origins[i].loss;
        d->sums->margin += z;
        d->sums->chosen += chosen;
        d->sums->rejected += rejected;
    }
}
