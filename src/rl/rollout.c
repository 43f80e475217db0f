/* rollout.c: questions, answers, rewards; groups that teach nothing are asked again elsewhere. */
#include <string.h>

#include "generate/exchange.h"
#include "rl/learner.h"

#define MAX_TEXT ((size_t)1 << 26)
#define MAX_STOPS 8
#define MAX_PROMPT_ROOM 4096 /* ids of a prompt */

struct schedule_options learner_schedule(const struct learner *l, bool greedy)
{
    const struct recipe *r = l->recipe;
    static const enum dtype kinds[] = {MK_F32, MK_BF16, MK_I8};
    struct schedule_options o = {
        .n_slots = (int32_t)r->rollout.slots,
        .max_tokens = (int32_t)r->rollout.tokens,
        .max_prompt = MAX_PROMPT_ROOM,
        .kv = kinds[r->rollout.kv],
        .sampling = mk_sampling_default(),
        .stop_ids = l->trainer->params->arch.eos_ids,
        .n_stop_ids = l->trainer->params->arch.n_eos_ids,
        .think_budget = (int32_t)r->rollout.think_budget,
        .think_begin = tokenizer_find(l->t, "<think>"),
        .think_end = tokenizer_find(l->t, "</think>"),
        .keep_experts = r->rl.replay_experts && !greedy,
        .keep_sets = r->rl.replay_sets && !greedy && (r->rollout.top_k > 0 || r->rollout.top_p < 1),
    };

    o.sampling.seed = (uint64_t)r->seed;
    if (greedy) {
        o.sampling.temperature = 0;
    } else {
        o.sampling.top_k = (int32_t)r->rollout.top_k;
        o.sampling.top_p = (float)r->rollout.top_p;
    }
    return o;
}

static int decode(const struct learner *l, const struct schedule_answer *a, const char **text,
                  size_t *n, struct arena *memory, struct mk_error *err)
{
    struct buf b;
    char *copy;
    int code;

    buf_init(&b, MAX_TEXT);
    code = exchange_text(l->t, a, &b, err);
    if (!code && !(code = arena_take(memory, &copy, b.n + 1, 1, err))) {
        if (b.n)
            memcpy(copy, b.data, b.n);
        copy[b.n] = '\0';
        *text = copy;
        *n = b.n;
    }
    buf_release(&b);
    return code;
}

static int judge(struct learner *l, const struct question *asked, struct rollout *ro,
                 struct mk_error *err)
{
    size_t n = 0;

    if (decode(l, &ro->answer, &ro->text, &n, &l->memory, err))
        return err->code;
    return reward_of(&l->questions, asked, ro->text, n, ro->answer.n, ro->answer.stopped,
                     &ro->reward, err);
}

int learner_answer(struct learner *l, struct scheduler *s, const struct question *asked, int32_t n,
                   int32_t n_samples, uint64_t sequence, struct rollout *rollouts,
                   bool (*stop)(void *user), void *user, struct mk_error *err)
{
    struct schedule_group *groups;
    struct schedule_answer *answers;

    if (arena_take(&l->memory, &groups, (size_t)n, sizeof *groups, err) ||
        arena_take(&l->memory, &answers, (size_t)n * (size_t)n_samples, sizeof *answers, err))
        return err->code;
    for (int32_t i = 0; i < n; i++)
        groups[i] = (struct schedule_group){
            .prompt = asked[i].prompt.data,
            .n_prompt = (int32_t)asked[i].prompt.n,
            .n_samples = n_samples,
            .sequence = sequence + (uint64_t)i * (uint64_t)n_samples};
    if (scheduler_run(s, groups, n, answers, &l->memory, stop, user, err))
        return err->code;
    for (int32_t i = 0; i < n * n_samples; i++) {
        rollouts[i] = (struct rollout){.question = i / n_samples, .answer = answers[i]};
        if (judge(l, &asked[i / n_samples], &rollouts[i], err))
            return err->code;
    }
    return 0;
}

/* ---- One step ------------------------------------------------------------------------------- */

static void count_rollout(struct learner *l, struct learner_report *r, const struct rollout *ro)
{
    struct learner_task *task = &r->tasks[l->asked[ro->question].task];

    r->n_answers++;
    r->n_tokens += ro->answer.n;
    r->n_correct += ro->reward.correct;
    r->n_formed += ro->reward.well_formed;
    r->n_truncated += ro->reward.truncated;
    r->n_timed_out += ro->reward.timed_out;
    r->reward += ro->reward.total;
    r->score += ro->reward.score;
    r->length += ro->answer.n;
    r->entropy += ro->answer.entropy * ro->answer.n;
    task->n_answers++;
    task->n_correct += ro->reward.correct;
    task->reward += ro->reward.total;
}

/* Advantages of one group; whether it is live. */
static bool weigh_group(struct learner *l, int32_t i, struct mk_error *err, int *code)
{
    int32_t n = (int32_t)l->recipe->rl.samples;
    struct rollout *ro = l->rollouts + (int64_t)i * n;
    double *reward, *advantage;
    int32_t n_correct = 0;

    *code = arena_take(&l->memory, &reward, (size_t)n, sizeof *reward, err);
    if (!*code)
        *code = arena_take(&l->memory, &advantage, (size_t)n, sizeof *advantage, err);
    if (*code)
        return false;
    for (int32_t j = 0; j < n; j++) {
        reward[j] = ro[j].reward.total;
        n_correct += ro[j].reward.correct;
    }
    objective_advantages(reward, n, l->objective.divide_by_std, advantage);
    for (int32_t j = 0; j < n; j++)
        ro[j].advantage = advantage[j];
    questions_judge(&l->questions, &l->asked[i], (double)n_correct / n);
    return objective_is_live(reward, n) || !learner_filters(l->recipe);
}

/* The reward model counts in the last steps alone where the recipe says so: longer, and the policy
 * finds what it likes (R1: 400 of 1,700 steps). */
static bool judge_counts(const struct learner *l)
{
    int64_t last = l->recipe->rl.reward_model_last;

    return l->has_judge && (last == 0 || l->step >= l->recipe->rl.steps - last);
}

/* Adds the reward model's scores to what the rules gave. */
static int score(struct learner *l, const struct question *asked, struct rollout *rollouts,
                 int32_t n, struct mk_error *err)
{
    struct reward_text *texts;

    if (!judge_counts(l))
        return 0;
    if (arena_take(&l->memory, &texts, (size_t)n, sizeof *texts, err))
        return err->code;
    for (int32_t i = 0; i < n; i++) {
        const struct question *q = &asked[rollouts[i].question];
        const struct schedule_answer *a = &rollouts[i].answer;

        texts[i] = (struct reward_text){.prompt = q->prompt.data,
                                        .n_prompt = (int32_t)q->prompt.n,
                                        .ids = a->ids,
                                        .n = a->n,
                                        .text = rollouts[i].text,
                                        .stopped = a->stopped};
    }
    if (reward_model_score(&l->judge, texts, n,
                           (enum reward_reads)l->recipe->rl.reward_model_reads, &l->memory, err))
        return err->code;
    for (int32_t i = 0; i < n; i++) {
        rollouts[i].reward.score = texts[i].score;
        rollouts[i].reward.total += l->recipe->rl.reward_model_weight * texts[i].score;
    }
    return 0;
}

/* n more questions behind those that were asked. */
static int ask(struct learner *l, int32_t n, bool (*stop)(void *user), void *user,
               struct mk_error *err)
{
    int32_t first = l->n_asked, samples = (int32_t)l->recipe->rl.samples;
    uint64_t sequence = (uint64_t)l->questions.n_asked * (uint64_t)samples;
    struct rollout *rollouts = l->rollouts + (int64_t)first * samples;

    for (int32_t i = 0; i < n; i++) {
        l->asked[l->n_asked++] = (struct question){0};
        if (questions_next(&l->questions, &l->asked[l->n_asked - 1], err))
            return err->code;
        if (l->asked[l->n_asked - 1].prompt.n > MAX_PROMPT_ROOM)
            return mk_error_set(err, MK_ELIMIT, "a question of %zu tokens: at most %d are possible",
                                l->asked[l->n_asked - 1].prompt.n, MAX_PROMPT_ROOM);
    }
    if (learner_answer(l, l->scheduler, l->asked + first, n, samples, sequence, rollouts, stop,
                       user, err) ||
        score(l, l->asked + first, rollouts, n * samples, err))
        return err->code;
    for (int32_t i = 0; i < n * samples; i++)
        rollouts[i].question += first;
    return 0;
}

static int take_room(struct learner *l, struct mk_error *err)
{
    const struct recipe *r = l->recipe;

    l->n_asked = 0;
    l->room = (int32_t)(learner_most_answers(r) / r->rl.samples);
    if (arena_take(&l->memory, &l->asked, (size_t)l->room, sizeof *l->asked, err) ||
        arena_take(&l->memory, &l->live, (size_t)l->room, sizeof *l->live, err) ||
        arena_take(&l->memory, &l->rollouts, (size_t)l->room * (size_t)r->rl.samples,
                   sizeof *l->rollouts, err)) {
        l->room = 0;
        return err->code;
    }
    return 0;
}

int learner_collect(struct learner *l, struct learner_report *r, bool (*stop)(void *user),
                    void *user, struct mk_error *err)
{
    int32_t samples = (int32_t)l->recipe->rl.samples;
    int code = 0;

    if (take_room(l, err))
        return err->code;
    while (r->n_live < l->recipe->rl.questions && l->n_asked < l->room) {
        struct schedule_counts counts;
        int32_t first = l->n_asked, n = (int32_t)l->recipe->rl.questions - r->n_live;

        n = n < l->room - first ? n : l->room - first;
        if (ask(l, n, stop, user, err))
            return err->code;
        counts = scheduler_counts(l->scheduler);
        r->n_decodes += counts.n_steps;
        r->n_prompt_tokens += counts.n_prompt_tokens;
        for (int32_t i = first; i < l->n_asked && !code; i++) {
            l->live[i] = weigh_group(l, i, err, &code);
            r->n_live += l->live[i];
        }
        if (code)
            return code;
        for (int32_t i = first * samples; i < l->n_asked * samples; i++)
            count_rollout(l, r, &l->rollouts[i]);
    }
    r->n_asked = l->n_asked;
    r->judged = judge_counts(l);
    r->score /= (double)r->n_answers;
    r->reward /= (double)r->n_answers;
    r->length /= (double)r->n_answers;
    r->entropy /= (double)r->n_tokens;
    return 0;
}
