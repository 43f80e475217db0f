/* scheduler.c: fill the slots, take a step, look who has ended. */
#include "generate/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generate/logprobs.h"
#include "generate/sampling_options.h"
#include "model/forward.h"

#define PREFILL_CHUNK 512 /* rows; bounds memory, changes no number */

/* One answer on its way. */
struct slot {
    struct kv_cache cache;
    bool busy, in_thought;
    int32_t answer, group; /* index of both */
    uint64_t sequence;
    int32_t n, n_thought, forced;
    double entropy; /* sum */
    int32_t *ids;   /* [max_tokens] */
    float *logprobs;
    uint32_t *sets;   /* [max_tokens, set_words] or NULL */
    int32_t *experts; /* [max_prompt + max_tokens, row_experts] or NULL */
};

/* What the samples of the group that is being begun share. */
struct prefix {
    struct kv_cache cache;
    float *logits;    /* [v] after the prompt */
    int32_t *experts; /* [max_prompt, row_experts] or NULL */
};

struct scheduler {
    const struct model *m;
    struct compute *c;
    struct schedule_options o;
    struct sampler sampler;
    struct arena own, step; /* lifetime: the scheduler's; one step's */
    struct prefix prefix;
    struct slot *slots;      /* [n_slots] */
    struct forward_seq *seqs; /* [n_slots] */
    int32_t *active;         /* [n_slots] slot of seqs[i] */
    float *logits;           /* [n_slots, v] */
    float *row;              /* [v] */
    int32_t *chosen;         /* [n_layers + n_mtp, rows of a step, used] or NULL */
    int32_t set_words, row_experts;
    struct schedule_counts counts;
    /* Of the run. */
    const struct schedule_group *groups;
    int32_t n_groups, group, sample; /* next to begin */
    int32_t n_begun;
    struct schedule_answer *answers;
    struct arena *memory;
};

/* ---- Memory --------------------------------------------------------------------------------- */

static int take_slot(struct scheduler *s, struct slot *slot, struct mk_error *err)
{
    size_t n = (size_t)s->o.max_tokens, rows = (size_t)(s->o.max_tokens + s->o.max_prompt);

    if (kv_cache_init(&slot->cache, model_cache_layers(s->m), model_row_dim(s->m), (int32_t)rows,
                      s->o.kv, err) ||
        arena_take(&s->own, &slot->ids, n, sizeof *slot->ids, err) ||
        arena_take(&s->own, &slot->logprobs, n, sizeof *slot->logprobs, err))
        return err->code;
    if (s->o.keep_sets && arena_take(&s->own, &slot->sets, n * (size_t)s->set_words,
                                     sizeof *slot->sets, err))
        return err->code;
    if (s->row_experts && arena_take(&s->own, &slot->experts, rows * (size_t)s->row_experts,
                                     sizeof *slot->experts, err))
        return err->code;
    return 0;
}

static int take_prefix(struct scheduler *s, struct mk_error *err)
{
    struct prefix *p = &s->prefix;

    if (kv_cache_init(&p->cache, model_cache_layers(s->m), model_row_dim(s->m), s->o.max_prompt,
                      s->o.kv, err) ||
        arena_take(&s->own, &p->logits, (size_t)s->m->arch.n_vocab, sizeof *p->logits, err))
        return err->code;
    if (!s->row_experts)
        return 0;
    return arena_take(&s->own, &p->experts, (size_t)s->o.max_prompt * (size_t)s->row_experts,
                      sizeof *p->experts, err);
}

static int take_memory(struct scheduler *s, struct mk_error *err)
{
    size_t n = (size_t)s->o.n_slots, v = (size_t)s->m->arch.n_vocab, rows;

    if (arena_take(&s->own, &s->slots, n, sizeof *s->slots, err))
        return err->code;
    memset(s->slots, 0, n * sizeof *s->slots);
    if (arena_take(&s->own, &s->seqs, n, sizeof *s->seqs, err) ||
        arena_take(&s->own, &s->active, n, sizeof *s->active, err) ||
        arena_take(&s->own, &s->logits, n * v, sizeof *s->logits, err) ||
        arena_take(&s->own, &s->row, v, sizeof *s->row, err) || take_prefix(s, err))
        return err->code;
    rows = n > PREFILL_CHUNK ? n : PREFILL_CHUNK;
    if (s->row_experts &&
        arena_take(&s->own, &s->chosen,
                   rows * (size_t)(s->m->arch.n_layers + s->m->n_mtp) *
                       (size_t)s->m->arch.n_experts_used,
                   sizeof *s->chosen, err))
        return err->code;
    for (size_t i = 0; i < n; i++)
        if (take_slot(s, &s->slots[i], err))
            return err->code;
    return 0;
}

int scheduler_create(struct scheduler **out, const struct model *m, struct compute *c,
                     const struct schedule_options *o, struct mk_error *err)
{
    struct scheduler *s;

    *out = NULL;
    if (o->n_slots < 1 || o->max_tokens < 1 || o->max_prompt < 1 ||
        o->max_tokens > INT32_MAX - o->max_prompt)
        return mk_error_set(err, MK_EINVAL,
                            "%d answers of %d tokens behind prompts of %d: each must be at least 1",
                            o->n_slots, o->max_tokens, o->max_prompt);
    if (sampling_check(&o->sampling, m->arch.n_vocab, err))
        return err->code;
    s = calloc(1, sizeof *s);
    if (!s)
        return mk_error_memory(err, sizeof *s);
    s->m = m;
    s->c = c;
    s->o = *o;
    s->set_words = schedule_set_words(m->arch.n_vocab);
    s->row_experts = o->keep_experts ? m->arch.n_layers * m->arch.n_experts_used : 0;
    arena_init(&s->own, SIZE_MAX / 4);
    arena_init(&s->step, SIZE_MAX / 4);
    if (take_memory(s, err) || sampler_init(&s->sampler, m->arch.n_vocab, err)) {
        scheduler_free(s);
        return err->code;
    }
    *out = s;
    return 0;
}

void scheduler_free(struct scheduler *s)
{
    if (!s)
        return;
    for (int32_t i = 0; s->slots && i < s->o.n_slots; i++)
        kv_cache_release(&s->slots[i].cache);
    kv_cache_release(&s->prefix.cache);
    sampler_release(&s->sampler);
    arena_release(&s->own);
    arena_release(&s->step);
    free(s);
}

struct schedule_counts scheduler_counts(const struct scheduler *s)
{
    return s->counts;
}

/* ---- The forward pass ----------------------------------------------------------------------- */

/* [layers, n_rows, used] as the pass keeps them -> row i's own [layers, used]. */
static void gather_experts(const struct scheduler *s, int32_t n_rows, int32_t i, int32_t *out)
{
    int32_t used = s->m->arch.n_experts_used;

    for (int32_t l = 0; l < s->m->arch.n_layers; l++)
        memcpy(out + l * used, s->chosen + ((int64_t)l * n_rows + i) * used,
               (size_t)used * sizeof *out);
}

static int forward(struct scheduler *s, const struct forward_seq *seqs, int32_t n_seqs,
                   struct mk_error *err)
{
    struct forward_keep keep = {.experts = s->chosen};

    arena_reset(&s->step);
    return model_forward(s->m, s->c, &s->step, s->o.kv, seqs, n_seqs, s->chosen ? &keep : NULL,
                         err);
}

static int prefill(struct scheduler *s, const struct schedule_group *g, struct mk_error *err)
{
    struct prefix *p = &s->prefix;

    for (int32_t done = 0, n; done < g->n_prompt; done += n) {
        struct forward_seq seq = {.ids = g->prompt + done,
                                  .position = done,
                                  .kv = p->cache.layers,
                                  .logits = p->logits,
                                  .n_logits = 1};

        n = g->n_prompt - done < PREFILL_CHUNK ? g->n_prompt - done : PREFILL_CHUNK;
        seq.n_ids = n;
        if (forward(s, &seq, 1, err))
            return err->code;
        for (int32_t i = 0; i < n && p->experts; i++)
            gather_experts(s, n, i, p->experts + (int64_t)(done + i) * s->row_experts);
    }
    s->counts.n_prompt_tokens += g->n_prompt;
    return 0;
}

/* ---- Choosing a token ----------------------------------------------------------------------- */

static bool filters(const struct mk_sampling *o)
{
    return o->top_k > 0 || o->top_p < 1 || o->min_p > 0;
}

/* The tokens that were left as bits, and the row with all others ruled out. */
static void keep_set(struct scheduler *s, uint32_t *set, const float *logits)
{
    const struct candidates *c = &s->sampler.kept;

    memset(set, 0, (size_t)s->set_words * sizeof *set);
    for (int32_t i = 0; i < c->n; i++)
        set[c->ids[i] / 32] |= (uint32_t)1 << c->ids[i] % 32;
    for (int32_t i = 0; i < s->m->arch.n_vocab; i++)
        s->row[i] = set[i / 32] >> i % 32 & 1 ? logits[i] : -INFINITY;
}

static bool must_end_thought(const struct scheduler *s, const struct slot *slot)
{
    return s->o.think_budget > 0 && slot->in_thought && slot->n_thought >= s->o.think_budget;
}

static int choose(struct scheduler *s, struct slot *slot, const float *logits, int32_t *id,
                  struct mk_error *err)
{
    const struct schedule_group *g = &s->groups[slot->group];
    struct past past = {slot->ids, slot->n, 0};
    bool greedy = s->o.sampling.temperature == 0;

    if (sampler_choose(&s->sampler, logits, &past, &s->o.sampling, slot->sequence,
                       (uint64_t)(g->n_prompt + slot->n), id, err))
        return err->code;
    if (!greedy)
        slot->entropy += filters_entropy(&s->sampler.kept);
    if (must_end_thought(s, slot)) {
        *id = s->o.think_end;
        slot->forced = slot->n;
        slot->in_thought = false;
    }
    if (slot->sets && !greedy && slot->forced != slot->n) {
        keep_set(s, slot->sets + (int64_t)slot->n * s->set_words, logits);
        if (filters(&s->o.sampling))
            logits = s->row;
    } else if (slot->sets) {
        memset(slot->sets + (int64_t)slot->n * s->set_words, 0xff,
               (size_t)s->set_words * sizeof *slot->sets);
    }
    slot->logprobs[slot->n] =
        logprobs_of(logits, logprobs_sum(s->c, logits, s->m->arch.n_vocab), *id);
    return 0;
}

/* ---- Slots ---------------------------------------------------------------------------------- */

static int copy_out(struct scheduler *s, const struct slot *slot, struct mk_error *err)
{
    struct schedule_answer *a = &s->answers[slot->answer];
    size_t n = (size_t)slot->n;
    size_t rows = (size_t)s->groups[slot->group].n_prompt + n - 1;

    a->n = slot->n;
    a->forced = slot->forced;
    a->entropy = slot->entropy / slot->n;
    if (arena_take(s->memory, &a->ids, n, sizeof *a->ids, err) ||
        arena_take(s->memory, &a->logprobs, n, sizeof *a->logprobs, err))
        return err->code;
    memcpy(a->ids, slot->ids, n * sizeof *a->ids);
    memcpy(a->logprobs, slot->logprobs, n * sizeof *a->logprobs);
    if (slot->sets) {
        n *= (size_t)s->set_words;
        if (arena_take(s->memory, &a->sets, n, sizeof *a->sets, err))
            return err->code;
        memcpy(a->sets, slot->sets, n * sizeof *a->sets);
    }
    if (slot->experts) {
        n = rows * (size_t)s->row_experts;
        if (arena_take(s->memory, &a->experts, n, sizeof *a->experts, err))
            return err->code;
        memcpy(a->experts, slot->experts, n * sizeof *a->experts);
    }
    return 0;
}

static bool is_stop(const struct scheduler *s, int32_t id)
{
    for (int32_t i = 0; i < s->o.n_stop_ids; i++)
        if (s->o.stop_ids[i] == id)
            return true;
    return false;
}

/* One more token of an answer; the slot is free again when it was the last. */
static int advance(struct scheduler *s, struct slot *slot, const float *logits,
                   struct mk_error *err)
{
    int32_t id;

    if (choose(s, slot, logits, &id, err))
        return err->code;
    s->counts.n_tokens++;
    slot->n_thought += slot->in_thought;
    if (id == s->o.think_begin && s->o.think_budget > 0 && slot->forced < 0)
        slot->in_thought = true;
    else if (id == s->o.think_end)
        slot->in_thought = false;
    slot->ids[slot->n++] = id;
    s->answers[slot->answer].stopped = is_stop(s, id);
    if (!s->answers[slot->answer].stopped && slot->n < s->o.max_tokens &&
        !(s->o.ended && s->o.ended(s->o.ended_user, slot->ids, slot->n)))
        return 0;
    slot->busy = false;
    return copy_out(s, slot, err);
}

static void copy_prefix(const struct scheduler *s, struct slot *slot, int32_t n_prompt)
{
    const struct prefix *p = &s->prefix;

    for (int32_t l = 0; l < p->cache.n_layers; l++)
        memcpy(slot->cache.layers[l], p->cache.layers[l],
               (size_t)n_prompt * (size_t)p->cache.row_bytes);
    if (slot->experts)
        memcpy(slot->experts, p->experts,
               (size_t)n_prompt * (size_t)s->row_experts * sizeof *slot->experts);
}

/* The next sample into a free slot. */
static int begin(struct scheduler *s, struct slot *slot, struct mk_error *err)
{
    const struct schedule_group *g = &s->groups[s->group];

    if (s->sample == 0 && prefill(s, g, err))
        return err->code;
    slot->busy = true;
    slot->answer = s->n_begun++;
    s->answers[slot->answer] = (struct schedule_answer){0};
    slot->group = s->group;
    slot->sequence = g->sequence + (uint64_t)s->sample;
    slot->n = slot->n_thought = 0;
    slot->forced = -1;
    slot->entropy = 0;
    slot->in_thought = s->o.think_budget > 0 && g->prompt[g->n_prompt - 1] == s->o.think_begin;
    copy_prefix(s, slot, g->n_prompt);
    if (++s->sample == g->n_samples) {
        s->group++;
        s->sample = 0;
    }
    return advance(s, slot, s->prefix.logits, err);
}

static int fill(struct scheduler *s, struct mk_error *err)
{
    for (int32_t i = 0; i < s->o.n_slots; i++)
        while (!s->slots[i].busy && s->group < s->n_groups)
            if (begin(s, &s->slots[i], err))
                return err->code;
    return 0;
}

/* One token more of `slot`; `first` is of its group and has the same prompt. */
static struct forward_seq next_row(const struct scheduler *s, const struct slot *slot,
                                   const struct slot *first, float *logits)
{
    int32_t n_prompt = s->groups[slot->group].n_prompt, last = slot->n - 1;

    return (struct forward_seq){.ids = &slot->ids[last],
                                .n_ids = 1,
                                .position = n_prompt + last,
                                .kv = slot->cache.layers,
                                .shared_kv = first->cache.layers,
                                .n_shared = n_prompt,
                                .logits = logits,
                                .n_logits = 1};
}

/* What is under way, the samples of a group one after another: attention reads one copy of their
 * prompt for all of them. Returns how many. */
static int32_t list_active(struct scheduler *s)
{
    int64_t v = s->m->arch.n_vocab;
    int32_t n = 0, lowest = s->group;

    for (int32_t i = 0; i < s->o.n_slots; i++)
        if (s->slots[i].busy && s->slots[i].group < lowest)
            lowest = s->slots[i].group;
    for (int32_t group = lowest; group <= s->group; group++) {
        const struct slot *first = NULL;

        for (int32_t i = 0; i < s->o.n_slots; i++) {
            const struct slot *slot = &s->slots[i];

            if (!slot->busy || slot->group != group)
                continue;
            first = first ? first : slot;
            s->active[n] = i;
            s->seqs[n] = next_row(s, slot, first, s->logits + n * v);
            n++;
        }
    }
    return n;
}

/* Every answer under way by one token; *n: how many there were. */
static int step(struct scheduler *s, int32_t *n, struct mk_error *err)
{
    int64_t v = s->m->arch.n_vocab;

    *n = list_active(s);
    if (*n == 0)
        return 0;
    if (forward(s, s->seqs, *n, err))
        return err->code;
    s->counts.n_steps++;
    for (int32_t i = 0; i < *n; i++) {
        struct slot *slot = &s->slots[s->active[i]];

        if (slot->experts)
            gather_experts(s, *n, i, slot->experts + (int64_t)s->seqs[i].position * s->row_experts);
        if (advance(s, slot, s->logits + i * v, err))
            return err->code;
    }
    return 0;
}

static int check(const struct scheduler *s, const struct schedule_group *groups, int32_t n_groups,
                 struct mk_error *err)
{
    for (int32_t i = 0; i < n_groups; i++)
        if (groups[i].n_prompt < 1 || groups[i].n_prompt > s->o.max_prompt ||
            groups[i].n_samples < 1)
            return mk_error_set(err, MK_ELIMIT,
                                "prompt %d: %d ids and %d samples: expected 1 to %d ids and at "
                                "least 1 sample",
                                i, groups[i].n_prompt, groups[i].n_samples, s->o.max_prompt);
    return 0;
}

int scheduler_run(struct scheduler *s, const struct schedule_group *groups, int32_t n_groups,
                  struct schedule_answer *answers, struct arena *memory,
                  bool (*stop)(void *user), void *user, struct mk_error *err)
{
    int32_t n = 1;

    if (check(s, groups, n_groups, err))
        return err->code;
    s->groups = groups;
    s->n_groups = n_groups;
    s->group = s->sample = s->n_begun = 0;
    s->answers = answers;
    s->memory = memory;
    s->counts = (struct schedule_counts){0};
    for (int32_t i = 0; i < s->o.n_slots; i++)
        s->slots[i].busy = false;
    while (n > 0) {
        if (stop && stop(user))
            return mk_error_set(err, MK_ECANCELLED, "stopped");
        if (fill(s, err) || step(s, &n, err))
            return err->code;
    }
    return 0;
}
