/* update.c: from the answers of a step to new weights.
 *
 * The policy before the step, pi_old, is known from the rollout itself when sampler and trainer
 * agree to the bit; the pass of the first update proves that they do. Else, and where a step has
 * several updates, a pass without gradients computes it. */
#include <math.h>
#include <string.h>

#include "rl/learner.h"

/* Everything that is trained on in a step, answer after answer. */
struct update {
    struct learner *l;
    struct rollout **rollouts; /* [n] of live groups */
    int32_t n;
    struct train_seq *seqs; /* [n] the rows that predict an answer, behind those of its prompt */
    struct train_seq *prefixes; /* [n] the rows of its prompt, but for the last */
    float **old, **ref, **weight; /* [n] of [answer.n]; ref NULL without KL */
    bool known;             /* old is the sampler's, still to be proved */
};

static int32_t n_prompt(const struct update *u, int32_t i)
{
    return (int32_t)u->l->asked[u->rollouts[i]->question].prompt.n;
}

/* ---- Sequences ------------------------------------------------------------------------------ */

/* The last row of a prompt predicts another token for each answer: it is the answer's first. */
static int take_seq(struct update *u, int32_t i, struct mk_error *err)
{
    struct arena *m = &u->l->memory;
    const struct schedule_answer *a = &u->rollouts[i]->answer;
    const struct question *asked = &u->l->asked[u->rollouts[i]->question];
    const struct arch *arch = &u->l->trainer->params->arch;
    int32_t before = n_prompt(u, i) - 1, *ids, *targets;
    float *loss;

    if (arena_take(m, &ids, (size_t)(before + 1 + a->n), sizeof *ids, err) ||
        arena_take(m, &targets, (size_t)(before + a->n), sizeof *targets, err) ||
        arena_take(m, &u->weight[i], (size_t)a->n, sizeof **u->weight, err) ||
        arena_take(m, &loss, (size_t)a->n, sizeof *loss, err) ||
        arena_take(m, &u->old[i], (size_t)a->n, sizeof **u->old, err))
        return err->code;
    memcpy(ids, asked->prompt.data, (size_t)(before + 1) * sizeof *ids);
    memcpy(ids + before + 1, a->ids, (size_t)a->n * sizeof *ids);
    for (int32_t t = 0; t < before + a->n; t++)
        targets[t] = t < before ? -1 : ids[t + 1];
    memset(u->weight[i], 0, (size_t)a->n * sizeof **u->weight);
    memcpy(u->old[i], a->logprobs, (size_t)a->n * sizeof *a->logprobs);
    u->prefixes[i] = (struct train_seq){
        .ids = ids, .targets = targets, .n_ids = before, .experts = a->experts};
    u->seqs[i] = (struct train_seq){
        .ids = ids + before,
        .targets = targets + before,
        .weight = u->weight[i],
        .loss = loss,
        .n_ids = a->n,
        .experts = a->experts ? a->experts + (int64_t)before * arch->n_layers * arch->n_experts_used
                              : NULL,
        .sets = a->sets};
    return 0;
}

static bool takes_part(const struct learner *l, const struct rollout *ro)
{
    return l->live[ro->question] && !(l->recipe->rl.mask_truncated && ro->reward.truncated);
}

static int begin(struct update *u, struct mk_error *err)
{
    struct learner *l = u->l;
    int32_t all = l->n_asked * (int32_t)l->recipe->rl.samples;
    size_t n = (size_t)all;

    if (arena_take(&l->memory, &u->rollouts, n, sizeof *u->rollouts, err) ||
        arena_take(&l->memory, &u->seqs, n, sizeof *u->seqs, err) ||
        arena_take(&l->memory, &u->prefixes, n, sizeof *u->prefixes, err) ||
        arena_take(&l->memory, &u->weight, n, sizeof *u->weight, err) ||
        arena_take(&l->memory, &u->old, n, sizeof *u->old, err))
        return err->code;
    for (int32_t i = 0; i < all; i++)
        if (takes_part(l, &l->rollouts[i]))
            u->rollouts[u->n++] = &l->rollouts[i];
    for (int32_t i = 0; i < u->n; i++)
        if (take_seq(u, i, err))
            return err->code;
    return 0;
}

/* Answers first .. first + n - 1, those to one question behind their prompt. A prompt comes again
 * after SHARED_ROWS rows of answers, which have to be in one pass. */
static int batch_of(struct update *u, int32_t first, int32_t n, struct batch *b,
                    struct mk_error *err)
{
    int32_t prefix = -1;
    int64_t rows = 0;
    struct train_seq *seqs;

    if (arena_take(&u->l->memory, &seqs, 2 * (size_t)n, sizeof *seqs, err))
        return err->code;
    *b = (struct batch){.seqs = seqs};
    for (int32_t i = first; i < first + n; i++) {
        bool same = i > first && u->rollouts[i]->question == u->rollouts[i - 1]->question;

        if (u->prefixes[i].n_ids && (!same || rows + u->seqs[i].n_ids > LEARNER_SHARED_ROWS)) {
            prefix = b->n_seqs;
            rows = 0;
            seqs[b->n_seqs++] = u->prefixes[i];
            b->n_tokens += u->prefixes[i].n_ids;
        }
        rows += u->seqs[i].n_ids;
        seqs[b->n_seqs] = u->seqs[i];
        seqs[b->n_seqs].behind = u->prefixes[i].n_ids ? b->n_seqs - prefix : 0;
        b->n_seqs++;
        b->n_tokens += u->seqs[i].n_ids;
        b->n_targets += u->seqs[i].n_ids;
    }
    return 0;
}

/* ---- Log-probabilities ---------------------------------------------------------------------- */

/* What the sampler said and what the trainer says, in exact runs: the same bits. */
static int prove(const struct update *u, int32_t first, int32_t n, struct mk_error *err)
{
    for (int32_t i = first; i < first + n; i++) {
        const float *loss = u->seqs[i].loss;

        for (int32_t t = 0; t < u->rollouts[i]->answer.n; t++) {
            float logp = -loss[t], said = u->rollouts[i]->answer.logprobs[t];

            /* 0 and -0 are one probability. */
            if (memcmp(&logp, &said, sizeof logp) && (logp != 0 || said != 0))
                return mk_error_set(err, MK_EINTERNAL,
                                    "step %lld: the sampler gave token %d of answer %d the "
                                    "log-probability %.9g, the trainer %.9g: they must be equal, "
                                    "so this is a mistake in minke: please report it",
                                    (long long)u->l->step + 1, t, i, (double)said, (double)logp);
        }
    }
    return 0;
}

static int forward(struct update *u, const struct model *m, struct mk_error *err)
{
    struct batch b;

    if (batch_of(u, 0, u->n, &b, err))
        return err->code;
    return trainer_losses(u->l->trainer, m, &b, err);
}

static int take_reference(struct update *u, struct mk_error *err)
{
    struct learner *l = u->l;

    if (!l->has_reference)
        return 0;
    if (arena_take(&l->memory, &u->ref, (size_t)u->n, sizeof *u->ref, err) ||
        forward(u, &l->reference_model, err))
        return err->code;
    for (int32_t i = 0; i < u->n; i++) {
        int32_t n = u->rollouts[i]->answer.n;

        if (arena_take(&l->memory, &u->ref[i], (size_t)n, sizeof **u->ref, err))
            return err->code;
        for (int32_t t = 0; t < n; t++)
            u->ref[i][t] = -u->seqs[i].loss[t];
    }
    return 0;
}

/* pi_old where the rollout does not give it. */
static int take_old(struct update *u, struct learner_report *r, struct mk_error *err)
{
    const struct recipe *rc = u->l->recipe;
    double sum = 0;
    int64_t n = 0;

    u->known = u->l->exact && rc->rl.epochs == 1 && rc->rl.batches == 1;
    if (u->known)
        return 0;
    if (forward(u, &u->l->trainer->model, err) || (u->l->exact && prove(u, 0, u->n, err)))
        return err->code;
    for (int32_t i = 0; i < u->n; i++)
        for (int32_t t = 0; t < u->rollouts[i]->answer.n; t++, n++) {
            double d;

            u->old[i][t] = -u->seqs[i].loss[t];
            d = fabs((double)u->old[i][t] - (double)u->rollouts[i]->answer.logprobs[t]);
            r->mismatch = fmax(r->mismatch, d);
            sum += d;
        }
    r->mean_mismatch = n ? sum / (double)n : 0;
    return 0;
}

/* ---- Updates -------------------------------------------------------------------------------- */

/* The tokens that were drawn from the policy: all but the one that a budget put there. */
static int drawn(struct update *u, int32_t i, const bool **counts, struct mk_error *err)
{
    const struct schedule_answer *a = &u->rollouts[i]->answer;
    bool *all;

    *counts = NULL;
    if (a->forced < 0)
        return 0;
    if (arena_take(&u->l->memory, &all, (size_t)a->n, sizeof *all, err))
        return err->code;
    for (int32_t t = 0; t < a->n; t++)
        all[t] = t != a->forced;
    *counts = all;
    return 0;
}

/* What the losses of answers first .. first + n - 1 are divided by. */
static struct objective_scope scope_of(const struct update *u, int32_t first, int32_t n)
{
    struct objective_scope s = {.n_answers = n};

    for (int32_t i = first; i < first + n; i++) {
        const struct schedule_answer *a = &u->rollouts[i]->answer;

        s.n_tokens += a->n - (a->forced >= 0);
    }
    return s;
}

/* Weights of the tokens of answer i under the policy whose log-probabilities are `logp`. */
static int weigh(struct update *u, int32_t i, const struct objective_scope *s, const float *logp,
                 struct learner_report *r, struct mk_error *err)
{
    const struct rollout *ro = u->rollouts[i];
    struct objective_answer a = {.n = ro->answer.n,
                                 .advantage = ro->advantage,
                                 .logp = logp,
                                 .old = u->old[i],
                                 .sampled = u->l->exact ? NULL : ro->answer.logprobs,
                                 .ref = u->ref ? u->ref[i] : NULL};
    struct objective_sums sums;
    float *weight = u->weight[i];

    if (drawn(u, i, &a.counts, err))
        return err->code;
    sums = objective_gradient(&u->l->objective, s, &a, weight);
    if (!isfinite(sums.loss))
        return mk_error_set(err, MK_EINVAL, "step %lld: the %s not a number%s",
                            (long long)u->l->step + 1,
                            isfinite(ro->advantage) ? "probability of an answer is"
                                                    : "reward of an answer is",
                            isfinite(ro->advantage) ? ": the weights have blown up, lower "
                                                      "optimizer.lr"
                                                    : "");
    for (int32_t t = 0; t < a.n; t++)
        weight[t] = -weight[t];
    r->loss += sums.loss;
    r->kl += sums.kl;
    r->n_clipped += sums.n_clipped;
    r->n_masked += sums.masked;
    r->n_trained += a.n;
    return 0;
}

/* Teachers read an answer with all of its prompt. */
static int grade(struct update *u, struct mk_error *err)
{
    struct learner *l = u->l;
    struct train_seq *whole;

    if (!l->teachers.n)
        return 0;
    if (arena_take(&l->memory, &whole, (size_t)u->n, sizeof *whole, err))
        return err->code;
    for (int32_t i = 0; i < u->n; i++) {
        whole[i] = u->prefixes[i];
        whole[i].n_ids += u->seqs[i].n_ids;
    }
    if (teachers_grade(&l->teachers, whole, u->n, &l->memory, err))
        return err->code;
    for (int32_t i = 0; i < u->n; i++) /* rows of its targets, which are the answer's */
        u->seqs[i].teacher = whole[i].teacher;
    return 0;
}

/* Every token of every answer counts alike; how far the policy is from the teachers there is all
 * that is learned, nothing is said through the draw (GKD, 2306.13649, algorithm 1 with all answers
 * the student's). */
static int taught_update(struct update *u, int32_t first, int32_t n, struct learner_report *r,
                         struct mk_error *err)
{
    struct step_report step;
    struct batch b;

    if (batch_of(u, first, n, &b, err))
        return err->code;
    for (int32_t i = first; i < first + n; i++)
        for (int32_t t = 0; t < u->rollouts[i]->answer.n; t++)
            u->weight[i][t] = 1;
    if (trainer_update(u->l->trainer, &b, 1 / (double)b.n_targets, u->l->step + 1, &step, err))
        return err->code;
    r->loss += step.loss;
    r->divergence += step.divergence;
    r->n_trained += b.n_targets;
    r->norm = step.norm;
    r->lr = step.lr;
    r->n_updates++;
    return u->known ? prove(u, first, n, err) : 0;
}

static int one_update(struct update *u, int32_t first, int32_t n, bool first_update,
                      struct learner_report *r, struct mk_error *err)
{
    struct objective_scope s;
    struct step_report step;
    struct batch b;
    float *logp;

    /* log pi of the weights as they are now: known in the first update. */
    if (batch_of(u, first, n, &b, err) ||
        (!first_update && trainer_losses(u->l->trainer, &u->l->trainer->model, &b, err)))
        return err->code;
    s = scope_of(u, first, n);
    for (int32_t i = first; i < first + n; i++) {
        int32_t n_tokens = u->rollouts[i]->answer.n;

        if (arena_take(&u->l->memory, &logp, (size_t)n_tokens, sizeof *logp, err))
            return err->code;
        for (int32_t t = 0; t < n_tokens; t++)
            logp[t] = first_update ? u->old[i][t] : -u->seqs[i].loss[t];
        if (weigh(u, i, &s, logp, r, err))
            return err->code;
    }
    if (trainer_update(u->l->trainer, &b, 1, u->l->step + 1, &step, err))
        return err->code;
    r->norm = step.norm;
    r->lr = step.lr;
    r->n_updates++;
    return u->known ? prove(u, first, n, err) : 0;
}

int learner_update(struct learner *l, struct learner_report *r, struct mk_error *err)
{
    struct update u = {.l = l};
    int32_t batches = (int32_t)l->recipe->rl.batches;
    bool taught = l->teachers.n > 0;

    if (begin(&u, err))
        return err->code;
    if (u.n == 0)
        return 0;
    if (take_old(&u, r, err) || take_reference(&u, err) || grade(&u, err))
        return err->code;
    batches = batches < u.n ? batches : u.n;
    for (int32_t e = 0; e < l->recipe->rl.epochs; e++)
        for (int32_t b = 0; b < batches; b++) {
            int32_t first = (int32_t)((int64_t)u.n * b / batches);
            int32_t end = (int32_t)((int64_t)u.n * (b + 1) / batches);

            if (taught ? taught_update(&u, first, end - first, r, err)
                       : one_update(&u, first, end - first, e == 0 && b == 0, r, err))
                return err->code;
        }
    r->loss /= r->n_updates;
    r->kl /= r->n_updates;
    r->divergence /= r->n_updates;
    return 0;
}
