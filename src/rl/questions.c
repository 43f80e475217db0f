/* questions.c: keyed draws. */
#include "rl/questions.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "generate/exchange.h"

/* Streams of base/rng.h that are used here, beside the seed. */
enum { KEY_TASK = 0x7261736b, KEY_LEVEL = 0x6c766c };

#define PASS_KEEP 0.95   /* of the running mean */
#define MIN_GROUPS 20    /* at a level, before it may rise */
#define NEW_SHARE 0.75   /* of questions at the highest level reached; the rest from those before */
#define N_LOOK 32        /* questions of a built-in task, and of a file, that are looked at for */
#define MAX_LOOK 20000   /* the longest */

/* What a recipe may not ask of a task. */
static int check_task(const struct task *t, const struct recipe *r, int32_t i, struct mk_error *err)
{
    const struct recipe_task *asks = &r->tasks[i];

    if (asks->level_max > task_max_level(t))
        return mk_error_set(err, MK_EINVAL,
                            "tasks: %s has levels 0 to %d, the recipe asks for %lld", asks->name,
                            task_max_level(t), (long long)asks->level_max);
    if (task_count(t, TASK_TRAIN) == 0)
        return mk_error_set(err, MK_EINVAL, "tasks: %s has no question to learn from", asks->name);
    if (task_is_code(t) && !r->rl.allow_code)
        return mk_error_set(err, MK_EINVAL,
                            "tasks: %s is judged by running programs that the model writes: say "
                            "rl.allow_code: true, and they run in a sandbox",
                            asks->name);
    return 0;
}

int questions_open(struct questions *q, const struct recipe *r, const char *base,
                   const struct tokenizer *t, struct mk_error *err)
{
    *q = (struct questions){.recipe = r, .t = t};
    if (exchange_check_form(r->rollout.prompt, err))
        return mk_error_wrap(err, "rollout.prompt");
    if (format_script_read(&q->language, r->rl.language, "rl.language", err))
        return err->code;
    for (int32_t i = 0; i < r->n_tasks; i++) {
        if (task_open_in(&q->tasks[i], base, r->tasks[i].name, err)) {
            questions_close(q);
            return err->code;
        }
        q->n_tasks = i + 1;
        q->has_code |= task_is_code(q->tasks[i]);
        q->places[i].level = r->tasks[i].level;
        if (check_task(q->tasks[i], r, i, err)) {
            questions_close(q);
            return err->code;
        }
    }
    return 0;
}

void questions_close(struct questions *q)
{
    for (int32_t i = 0; i < q->n_tasks; i++)
        task_close(q->tasks[i]);
    q->n_tasks = 0;
}

void question_release(struct question *q)
{
    task_item_release(&q->item);
    ids_release(&q->prompt);
}

static int32_t choose_task(const struct questions *q, int64_t n)
{
    double sum = 0, u, passed = 0;
    int32_t last = 0;

    for (int32_t i = 0; i < q->n_tasks; i++)
        sum += q->recipe->tasks[i].weight;
    u = rng_uniform((uint64_t)q->recipe->seed, KEY_TASK, (uint64_t)n) * sum;
    for (int32_t i = 0; i < q->n_tasks; i++) {
        if (q->recipe->tasks[i].weight <= 0)
            continue;
        last = i;
        passed += q->recipe->tasks[i].weight;
        if (passed > u)
            break;
    }
    return last;
}

static int32_t choose_level(const struct questions *q, int32_t task, int64_t n)
{
    double u = rng_uniform((uint64_t)q->recipe->seed, KEY_LEVEL, (uint64_t)n);
    int64_t from = q->recipe->tasks[task].level, now = q->places[task].level;

    if (u < NEW_SHARE || now == from)
        return (int32_t)now;
    return (int32_t)(from + (int64_t)((u - NEW_SHARE) / (1 - NEW_SHARE) * (double)(now - from)));
}

int questions_next(struct questions *q, struct question *out, struct mk_error *err)
{
    int64_t n = q->n_asked++;
    int32_t task = choose_task(q, n);

    *out = (struct question){.task = task, .level = choose_level(q, task, n)};
    if (task_draw(q->tasks[task], TASK_TRAIN, out->level, (uint64_t)q->recipe->seed,
                  q->places[task].n_drawn++, &out->item, err))
        return err->code;
    return exchange_encode(q->t, q->recipe->rollout.prompt, out->item.question, &out->prompt, err);
}

int questions_test(const struct questions *q, int32_t task, int64_t index, struct question *out,
                   struct mk_error *err)
{
    *out = (struct question){.task = task, .level = (int32_t)q->recipe->tasks[task].level_max};
    if (task_draw(q->tasks[task], TASK_TEST, out->level, (uint64_t)q->recipe->seed, index,
                  &out->item, err))
        return err->code;
    return exchange_encode(q->t, q->recipe->rollout.prompt, out->item.question, &out->prompt, err);
}

int questions_longest(const struct questions *q, int32_t *n, struct mk_error *err)
{
    static const enum task_split splits[] = {TASK_TRAIN, TASK_TEST};
    int code = 0;

    *n = 1;
    for (int32_t i = 0; i < 2 * q->n_tasks; i++) {
        const struct task *t = q->tasks[i / 2];
        int64_t count = task_count(t, splits[i % 2]), look = count < 0 ? N_LOOK : count;
        size_t most = 0;

        for (int64_t k = 0; k < look && k < MAX_LOOK && !code; k++) {
            struct question one = {.level = (int32_t)q->recipe->tasks[i / 2].level_max};

            code = task_draw(t, splits[i % 2], one.level, 0, k, &one.item, err);
            if (!code)
                code = exchange_encode(q->t, q->recipe->rollout.prompt, one.item.question,
                                       &one.prompt, err);
            most = one.prompt.n > most ? one.prompt.n : most;
            question_release(&one);
        }
        if (code)
            return code;
        most += count < 0 ? most / 8 : 0;
        *n = (int32_t)most > *n ? (int32_t)most : *n;
    }
    return 0;
}

void questions_judge(struct questions *q, const struct question *asked, double pass)
{
    struct questions_place *p = &q->places[asked->task];

    if (asked->level != p->level)
        return;
    p->pass = p->n_groups == 0 ? pass : PASS_KEEP * p->pass + (1 - PASS_KEEP) * pass;
    p->n_groups++;
    if (q->recipe->rl.raise_at > 0 && p->n_groups >= MIN_GROUPS &&
        p->pass >= q->recipe->rl.raise_at && p->level < q->recipe->tasks[asked->task].level_max) {
        p->level++;
        p->n_groups = 0;
        p->pass = 0;
    }
}
