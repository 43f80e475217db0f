/* learner.c: a learner's parts, and what it keeps. */
#include "rl/learner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/folder.h"
#include "base/map_file.h"
#include "train/checkpoint.h"
#include "train/narrow.h"

#define MAX_STATE_BYTES ((size_t)1 << 20)
#define MAX_PATH 4096

/* ---- Parts ---------------------------------------------------------------------------------- */

static struct objective objective_of(const struct recipe *r)
{
    struct objective o = objective_defaults((enum objective_kind)r->rl.loss);

    if (r->rl.normalise > 0)
        o.norm = (enum objective_norm)(r->rl.normalise - 1);
    o.constant = (double)(r->rl.constant ? r->rl.constant : r->rollout.tokens);
    if (r->rl.std > 0)
        o.divide_by_std = r->rl.std == 2;
    if (r->rl.clip_low >= 0)
        o.clip_low = r->rl.clip_low;
    if (r->rl.clip_high >= 0)
        o.clip_high = r->rl.clip_high;
    o.beta = r->rl.kl;
    o.kl = (enum objective_kl)r->rl.kl_form;
    o.importance_cap = r->rl.importance_cap;
    o.mask_delta = r->rl.mask_delta;
    return o;
}

int learner_take_reference(struct learner *l, struct mk_error *err)
{
    const struct params *from = l->trainer->params;
    struct model_options o = l->trainer->model.options;

    if (!l->has_reference) {
        if (params_init(&l->reference, &from->arch, err))
            return err->code;
        l->has_reference = true;
        if (narrow_init(&l->reference, l->trainer->o.compute, l->c->ex, err))
            return err->code;
    }
    /* Adapters, which stand behind the model's own weights, are merged in these. */
    for (int64_t i = 0; i < l->reference.n_items; i++)
        memcpy(l->reference.items[i].w, from->items[i].w, (size_t)from->items[i].n * sizeof(float));
    narrow_round(&l->reference, l->c->ex);
    return params_pack(&l->reference, &l->reference_model, &o, err);
}

/* A second packed model for the sampler, when its arithmetic is another. */
static int pack_fast(struct learner *l, struct mk_error *err)
{
    struct model_options o = l->trainer->model.options;

    if (l->recipe->rollout.numerics == MK_EXACT)
        return 0;
    o.numerics = MK_FAST;
    if (params_pack(l->trainer->params, &l->fast, &o, err))
        return err->code;
    l->has_fast = true;
    return 0;
}

static int take_scheduler(struct learner *l, struct mk_error *err)
{
    struct schedule_options o = learner_schedule(l, false);
    const struct model *m = l->has_fast ? &l->fast : &l->trainer->model;

    if (l->recipe->rollout.think_budget > 0 && (o.think_begin < 0 || o.think_end < 0))
        return mk_error_set(err, MK_EINVAL,
                            "rollout.think_budget: the vocabulary has no <think> and </think>");
    if (o.n_stop_ids < 1)
        return mk_error_set(err, MK_EINVAL, "the model's config.json has no eos_token_id: its "
                                            "answers would never end");
    return scheduler_create(&l->scheduler, m, l->c, &o, err);
}

static int take_judge(struct learner *l, const char *base, struct mk_error *err)
{
    const char *name = l->recipe->rl.reward_model;
    char path[MAX_PATH];

    if (!*name)
        return 0;
    if (folder_join(path, sizeof path, base, name, err) ||
        reward_model_open(&l->judge, path, l->t, l->c, l->trainer->o.pass_tokens, err))
        return mk_error_wrap(err, "rl.reward_model");
    l->has_judge = true;
    return 0;
}

/* On-policy distillation: what the policy writes, teachers grade token by token. Texts are new at
 * every step, so what teachers say of them is not kept. */
static int take_teachers(struct learner *l, const char *base, struct mk_error *err)
{
    const struct distill_place place = {.base = base};
    const struct recipe *r = l->recipe;
    int32_t n_vocab = l->trainer->params->arch.n_vocab;

    if (r->distill.n_teachers && (r->distill.weight < 1 || r->rl.kl > 0 || *r->rl.reward_model))
        return mk_error_set(err, MK_EINVAL,
                            "distill.teachers: in minke rl they teach instead of rewards: leave "
                            "distill.weight, rl.kl and rl.reward_model out");
    if (distill_open(&l->teachers, r, &place, l->t, n_vocab, l->c, err))
        return err->code;
    if (r->distill.n_teachers && l->teachers.n_vocab < n_vocab)
        return mk_error_set(err, MK_EINVAL,
                            "distill.teachers: the student's vocabulary has %d rows, padding "
                            "included, and a teacher's %d: it may write what no teacher can grade; "
                            "make it no larger (vocab_size in config.json)",
                            n_vocab, l->teachers.n_vocab);
    l->trainer->o.distill.n_vocab = l->teachers.n_vocab;
    return 0;
}

static int check_options(const struct recipe *r, const struct trainer *t, struct mk_error *err)
{
    if (t->o.capacity.factor > 0 && t->params->arch.n_experts)
        return mk_error_set(err, MK_EINVAL,
                            "balance.capacity: answers are written without dropping, and what is "
                            "trained is the policy that wrote them: leave it out");
    if (r->rollout.numerics != MK_EXACT && t->o.compute == MK_F8_E4M3 &&
        t->params->arch.attention == ARCH_MLA)
        return mk_error_set(err, MK_EINVAL,
                            "rollout.numerics: fast rollouts split what MLA expands its latents "
                            "with, and blocks of FP8 cannot be split: take exact, or another "
                            "train.compute");
    if (learner_most_answers(r) > INT32_MAX)
        return mk_error_set(err, MK_ELIMIT,
                            "rl.questions times rl.refill times rl.samples is more than 2^31 "
                            "answers a step");
    return 0;
}

int learner_init(struct learner *l, const struct recipe *r, const char *base, struct trainer *t,
                 const struct tokenizer *tokenizer, struct mk_error *err)
{
    *l = (struct learner){.recipe = r, .trainer = t, .t = tokenizer, .c = t->c};
    arena_init(&l->memory, SIZE_MAX / 4);
    l->objective = objective_of(r);
    l->exact = r->rollout.kv == MK_KV_F32 && r->rollout.numerics == MK_EXACT;
    if (check_options(r, t, err) || questions_open(&l->questions, r, base, tokenizer, err) ||
        take_judge(l, base, err) || take_teachers(l, base, err) || pack_fast(l, err) ||
        take_scheduler(l, err) ||
        (r->rl.kl > 0 && learner_take_reference(l, err))) {
        learner_release(l);
        return err->code;
    }
    return 0;
}

static void forget_step(struct learner *l)
{
    for (int32_t i = 0; i < l->n_asked; i++)
        question_release(&l->asked[i]);
    l->n_asked = 0;
    arena_reset(&l->memory);
}

void learner_release(struct learner *l)
{
    forget_step(l);
    scheduler_free(l->scheduler);
    questions_close(&l->questions);
    if (l->has_fast)
        model_release(&l->fast);
    if (l->has_judge)
        reward_model_release(&l->judge);
    if (l->teachers.n)
        teachers_release(&l->teachers);
    if (l->has_reference) {
        if (l->reference_model.memory.first)
            model_release(&l->reference_model);
        params_release(&l->reference);
    }
    arena_release(&l->memory);
    memset(l, 0, sizeof *l);
}

/* ---- Steps ---------------------------------------------------------------------------------- */

static bool refresh_due(const struct learner *l)
{
    int64_t every = l->recipe->rl.reference_every;

    return l->has_reference && every > 0 && l->step % every == 0;
}

int learner_step(struct learner *l, struct learner_report *r, bool (*stop)(void *user), void *user,
                 struct mk_error *err)
{
    struct questions before = l->questions;
    double begun = clock_ms(), cpu = clock_cpu_ms();

    *r = (struct learner_report){.step = l->step + 1};
    forget_step(l);
    if (learner_collect(l, r, stop, user, err)) {
        l->questions = before;
        if (err->code == MK_ECANCELLED)
            return err->code;
        return mk_error_wrap(err, "step %lld", (long long)r->step);
    }
    r->rollout_ms = clock_ms() - begun;
    r->rollout_cpu_ms = clock_cpu_ms() - cpu;
    begun = clock_ms();
    cpu = clock_cpu_ms();
    if (learner_update(l, r, err) || (r->n_updates && pack_fast(l, err)))
        return err->code;
    l->step = r->step;
    l->passed = 0;
    if (refresh_due(l) && learner_take_reference(l, err))
        return err->code;
    r->update_ms = clock_ms() - begun;
    r->update_cpu_ms = clock_cpu_ms() - cpu;
    return 0;
}

/* A file may have fewer test questions than are to be asked: none counts twice. */
static int test_task(struct learner *l, struct scheduler *s, int32_t task, int32_t most,
                     struct learner_test *out, struct mk_error *err)
{
    int64_t all = task_count(l->questions.tasks[task], TASK_TEST);
    int32_t n = all >= 0 && all < most ? (int32_t)all : most;
    struct question *asked;
    struct rollout *rollouts;
    int code = 0;

    if (arena_take(&l->memory, &asked, (size_t)n, sizeof *asked, err) ||
        arena_take(&l->memory, &rollouts, (size_t)n, sizeof *rollouts, err))
        return err->code;
    memset(asked, 0, (size_t)n * sizeof *asked);
    for (int32_t i = 0; i < n && !code; i++)
        code = questions_test(&l->questions, task, i, &asked[i], err);
    if (!code)
        code = learner_answer(l, s, asked, n, 1, 0, rollouts, NULL, NULL, err);
    for (int32_t i = 0; i < n && !code; i++) {
        out->n_answers++;
        out->n_correct += rollouts[i].reward.correct;
        out->length += rollouts[i].answer.n;
        out->tasks[task].n_answers++;
        out->tasks[task].n_correct += rollouts[i].reward.correct;
    }
    for (int32_t i = 0; i < n; i++)
        question_release(&asked[i]);
    return code;
}

int learner_evaluate(struct learner *l, int32_t n, struct learner_test *out, struct mk_error *err)
{
    struct schedule_options o = learner_schedule(l, true);
    struct scheduler *s;
    int code = 0;

    *out = (struct learner_test){0};
    forget_step(l);
    if (scheduler_create(&s, &l->trainer->model, l->c, &o, err))
        return err->code;
    for (int32_t i = 0; i < l->questions.n_tasks && !code; i++)
        if (task_count(l->questions.tasks[i], TASK_TEST) != 0) /* -1: without end */
            code = test_task(l, s, i, n, out, err);
    scheduler_free(s);
    if (!code && out->n_answers) {
        out->length /= (double)out->n_answers;
        l->passed = (double)out->n_correct / (double)out->n_answers;
    }
    return code;
}

static int keep_text(struct learner *l, const char *text, const char **kept, struct mk_error *err)
{
    size_t n = strlen(text) + 1;
    char *copy;

    if (arena_take(&l->memory, &copy, n, 1, err))
        return err->code;
    *kept = memcpy(copy, text, n);
    return 0;
}

int learner_try(struct learner *l, int32_t task, int64_t index, struct learner_try *out,
                struct mk_error *err)
{
    struct schedule_options o = learner_schedule(l, true);
    struct question asked = {0};
    struct rollout answer;
    struct scheduler *s;
    int code;

    *out = (struct learner_try){0};
    forget_step(l);
    o.n_slots = 1;
    if (scheduler_create(&s, &l->trainer->model, l->c, &o, err))
        return err->code;
    code = questions_test(&l->questions, task, index, &asked, err);
    if (!code)
        code = learner_answer(l, s, &asked, 1, 1, 0, &answer, NULL, NULL, err);
    if (!code && !keep_text(l, asked.item.question, &out->question, err))
        code = keep_text(l, asked.item.answer, &out->reference, err);
    if (!code) {
        out->text = answer.text;
        out->n_tokens = answer.answer.n;
        out->correct = answer.reward.correct;
    }
    question_release(&asked);
    scheduler_free(s);
    return code;
}

/* ---- What is kept --------------------------------------------------------------------------- */

static char *state_json(const struct learner *l)
{
    json_t *tasks = json_array(), *root;
    char *text;

    for (int32_t i = 0; i < l->questions.n_tasks; i++) {
        const struct questions_place *p = &l->questions.places[i];

        json_array_append_new(
            tasks, json_pack("{s:s, s:I, s:I, s:I, s:f}", "name", l->recipe->tasks[i].name, "drawn",
                             (json_int_t)p->n_drawn, "groups", (json_int_t)p->n_groups, "level",
                             (json_int_t)p->level, "pass", p->pass));
    }
    root = json_pack("{s:I, s:f, s:I, s:o}", "step", (json_int_t)l->step, "passed", l->passed,
                     "asked", (json_int_t)l->questions.n_asked, "tasks", tasks);
    text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    return text;
}

int learner_save(void *learner, const char *dir, struct mk_error *err)
{
    const struct learner *l = learner;
    char path[MAX_PATH], *text = state_json(l);
    int code;

    if (!text)
        return mk_error_memory(err, 0);
    snprintf(path, sizeof path, "%s/rl.json", dir);
    code = write_file(path, text, strlen(text), err);
    free(text);
    snprintf(path, sizeof path, "%s/reference.safetensors", dir);
    if (!code && l->has_reference)
        code = checkpoint_write_weights(&l->reference, path, err);
    return code;
}

static bool get_count(const json_t *o, const char *key, int64_t max, int64_t *out)
{
    const json_t *v = json_object_get(o, key);

    *out = json_is_integer(v) ? json_integer_value(v) : -1;
    return *out >= 0 && *out <= max;
}

static bool get_task(const struct learner *l, int32_t i, const json_t *o,
                     struct questions_place *p)
{
    const json_t *pass = json_object_get(o, "pass");
    const char *name = json_string_value(json_object_get(o, "name"));

    p->pass = json_is_number(pass) ? json_number_value(pass) : NAN;
    return name && !strcmp(name, l->recipe->tasks[i].name) &&
           get_count(o, "drawn", INT64_MAX, &p->n_drawn) &&
           get_count(o, "groups", INT64_MAX, &p->n_groups) &&
           get_count(o, "level", l->recipe->tasks[i].level_max, &p->level) && p->pass >= 0 &&
           p->pass <= 1;
}

static bool get_state(struct learner *l, const json_t *root)
{
    const json_t *tasks = json_object_get(root, "tasks");
    struct questions *q = &l->questions;

    l->passed = json_number_value(json_object_get(root, "passed"));
    if (!get_count(root, "step", INT64_MAX, &l->step) ||
        !get_count(root, "asked", INT64_MAX, &q->n_asked) ||
        json_array_size(tasks) != (size_t)q->n_tasks)
        return false;
    for (int32_t i = 0; i < q->n_tasks; i++)
        if (!get_task(l, i, json_array_get(tasks, (size_t)i), &q->places[i]))
            return false;
    return true;
}

static int restore_reference(struct learner *l, const char *dir, struct mk_error *err)
{
    struct model_options o = l->trainer->model.options;
    char path[MAX_PATH];

    snprintf(path, sizeof path, "%s/reference.safetensors", dir);
    if (checkpoint_read_weights(&l->reference, path, err))
        return err->code;
    narrow_round(&l->reference, l->c->ex);
    return params_pack(&l->reference, &l->reference_model, &o, err);
}

int learner_restore(struct learner *l, const char *dir, struct mk_error *err)
{
    struct map_file m;
    json_error_t at;
    json_t *root;
    bool good;

    if (map_file_open_in(&m, dir, "rl.json", err))
        return err->code;
    root = m.bytes <= MAX_STATE_BYTES ? json_loadb((const char *)m.data, m.bytes, 0, &at) : NULL;
    map_file_close(&m);
    good = root && get_state(l, root);
    json_decref(root);
    if (!good)
        return mk_error_set(err, MK_EFORMAT,
                            "%s/rl.json: not the state of a run with these tasks: take a "
                            "checkpoint of this recipe",
                            dir);
    if (pack_fast(l, err))
        return err->code;
    return l->has_reference ? restore_reference(l, dir, err) : 0;
}
