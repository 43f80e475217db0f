/* job.c: questions, examples and prompts of a suite. */
#include "eval/job.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "eval/likelihood.h"

#define OF_A_TASK 100 /* questions of a task that has no end */
#define SYNC_EVERY 32 /* lines that a power cut may cost */

size_t job_stem(const struct task_item *item)
{
    size_t n = strlen(item->question);

    for (int i = 0; i < item->n_choices; i++)
        n -= strlen(item->choices[i]) + strlen("\nA. ");
    return n;
}

static bool asks_for_texts(const struct job *j)
{
    return j->way == SUITE_CHOICES && j->o->choices == EVAL_TEXTS;
}

/* ---- Examples -------------------------------------------------------------------------------- */

/* Without the choices below it, and answered with the text of one. */
static int without_letters(struct shot *shot, const struct task_item *item, struct mk_error *err)
{
    char *answer = strdup(item->choices[item->answer[0] - 'A']);

    if (!answer)
        return mk_error_memory(err, strlen(item->answer));
    free(shot->answer);
    shot->answer = answer;
    shot->question[job_stem(item)] = '\0';
    return 0;
}

static int add_shot(struct job *j, const struct task *from, int level, int64_t index,
                    struct mk_error *err)
{
    enum task_split split = suite_is_built_in(j->suite) ? TASK_TRAIN : TASK_ALL;
    struct shot *shot = &j->shots.items[j->shots.n];
    struct task_item item;
    int rc = task_draw(from, split, level, split == TASK_TRAIN ? j->o->seed : 0, index, &item,
                       err);

    if (rc)
        return rc;
    rc = shot_make(shot, j->suite, from, &item, err);
    if (!rc)
        j->shots.n++;
    if (!rc && asks_for_texts(j) && item.n_choices)
        rc = without_letters(shot, &item, err);
    task_item_release(&item);
    return rc;
}

int job_level(const struct job *j, int64_t i)
{
    return j->suite->level >= 0 ? j->suite->level : (int)(i % (task_max_level(j->task) + 1));
}

static int make_shots(struct job *j, struct mk_error *err)
{
    int32_t n = j->o->n_shots;
    struct task *other = NULL;
    int rc = 0;

    if (!n)
        return 0;
    if (j->style == PROMPT_FORM || task_is_code(j->task))
        return mk_error_set(err, MK_EINVAL, "%s: examples are for prompts of kind chat and raw, "
                            "and not for programs: leave --shots out", j->suite->name);
    j->shots.items = calloc((size_t)n, sizeof *j->shots.items);
    if (!j->shots.items)
        return mk_error_memory(err, (size_t)n * sizeof *j->shots.items);
    if (j->o->shots_from && task_open(&other, j->o->shots_from, err))
        return err->code;
    for (int64_t i = 0; !rc && i < n; i++)
        rc = add_shot(j, other ? other : j->task, other ? 0 : job_level(j, i), i, err);
    task_close(other);
    return rc;
}

/* ---- Questions ------------------------------------------------------------------------------- */

static int make_prompt(struct job *j, struct asked *a, struct mk_error *err)
{
    bool texts = asks_for_texts(j);
    const struct prompt_way way = {j->m, j->style, j->form,
                                   texts ? "Question: {question}\nAnswer:" : j->suite->kind->raw,
                                   texts ? "{question}" : j->suite->kind->chat, &j->shots};
    char *question = strdup(a->item.question);
    int rc = question ? 0 : mk_error_memory(err, strlen(a->item.question));

    if (!rc && texts)
        question[job_stem(&a->item)] = '\0';
    if (!rc)
        rc = prompt_make(&a->prompt, &way, question, err);
    free(question);
    return rc;
}

/* n, and where a file's first question stands: examples of its own come first. */
static int count(struct job *j, int64_t *first, struct mk_error *err)
{
    j->n_all = task_count(j->task, TASK_ALL);
    *first = j->n_all >= 0 && !j->o->shots_from ? j->o->n_shots : 0;
    j->n = j->n_all < 0 ? OF_A_TASK : j->n_all - *first;
    if (j->o->limit > 0 && (j->n_all < 0 || j->o->limit < j->n))
        j->n = j->o->limit;
    if (j->n < 1)
        return mk_error_set(err, MK_EINVAL, "%s: %" PRId64 " questions, %d of them examples: none "
                            "is left to ask", j->suite->task, j->n_all, j->o->n_shots);
    j->asked = calloc((size_t)j->n, sizeof *j->asked);
    return j->asked ? 0 : mk_error_memory(err, (size_t)j->n * sizeof *j->asked);
}

static int draw(struct job *j, struct mk_error *err)
{
    bool built_in = suite_is_built_in(j->suite);
    int64_t first;
    int rc = count(j, &first, err);

    for (int64_t i = 0; !rc && i < j->n; i++) {
        struct task_item *item = &j->asked[i].item;

        rc = built_in ? task_draw(j->task, TASK_TEST, job_level(j, i), j->o->seed, i, item, err)
                      : task_draw(j->task, TASK_ALL, 0, 0, first + i, item, err);
    }
    return rc;
}

static int make_prompts(struct job *j, struct mk_error *err)
{
    for (int64_t i = 0; i < j->n; i++) {
        struct asked *a = &j->asked[i];

        if (make_prompt(j, a, err))
            return err->code;
        if ((int64_t)a->prompt.ids.n > j->longest)
            j->longest = (int64_t)a->prompt.ids.n;
    }
    return 0;
}

/* ---- What was answered before ---------------------------------------------------------------- */

static int take_line(void *user, int64_t id, const json_t *line, struct mk_error *err)
{
    struct job *j = user;
    const char *question = json_string_value(json_object_get(line, "question"));
    bool same = id < j->n && (j->windows ? texts_is_line_of(j, id, line)
                              : question && !strcmp(question, j->asked[id].item.question));

    if (!same)
        return mk_error_set(err, MK_EINVAL,
                            "%s/%s.jsonl: line %" PRId64 " is of another question than %s has "
                            "there: say another --out", j->o->out, j->suite->name, id + 1,
                            j->suite->task);
    return records_scores(line, &j->table, err);
}

int job_append(struct job *j, json_t *line, struct mk_error *err)
{
    if (line && records_scores(line, &j->table, err)) {
        json_decref(line);
        return err->code;
    }
    return records_append(&j->records, line, err);
}

void job_tell(const struct job *j, int64_t n_tokens)
{
    struct eval_progress p = {j->suite->name, j->records.n, j->n, j->n_before, n_tokens};

    if (j->o->progress)
        j->o->progress(j->o->user, &p);
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* Answers end where the model's context does. */
static int limit_tokens(struct job *j, struct mk_error *err)
{
    int64_t room = j->m->model.arch.max_context - j->longest;

    j->n_samples = j->o->n_samples ? j->o->n_samples : j->suite->kind->samples;
    j->max_tokens = j->o->max_tokens;
    if (room < 1)
        return mk_error_set(err, MK_ELIMIT, "%s: a prompt of %" PRId64 " tokens, the model's "
                            "context has %d: fewer --shots", j->suite->name, j->longest,
                            j->m->model.arch.max_context);
    if (j->max_tokens > room)
        j->max_tokens = (int32_t)room;
    return 0;
}

int job_draw(struct job *j, struct mk_model *m, const struct suite *s,
             const struct eval_options *o, struct mk_error *err)
{
    *j = (struct job){.m = m, .o = o, .suite = s, .way = s->kind->way, .style = o->style,
                      .form = o->form};
    if (j->way == SUITE_CHOICES && o->choices == EVAL_WRITTEN)
        j->way = SUITE_ANSWERS;
    if (prompt_choose(&j->style, &j->form, m, err) ||
        (j->way != SUITE_TEXT && (task_open(&j->task, s->task, err) || draw(j, err)))) {
        job_close(j);
        return err->code;
    }
    return 0;
}

int job_open(struct job *j, struct mk_model *m, const struct suite *s,
             const struct eval_options *o, struct mk_error *err)
{
    int rc = job_draw(j, m, s, o, err);

    if (rc)
        return rc;
    if (j->way == SUITE_TEXT)
        rc = texts_read(j, err);
    else if (make_shots(j, err) || make_prompts(j, err) || limit_tokens(j, err))
        rc = err->code;
    if (rc || records_open(&j->records, o->out, s->name, take_line, j, err)) {
        job_close(j);
        return err->code;
    }
    j->n_before = j->records.n;
    return 0;
}

void job_close(struct job *j)
{
    for (int64_t i = 0; j->asked && i < j->n; i++) {
        task_item_release(&j->asked[i].item);
        prompt_release(&j->asked[i].prompt);
    }
    free(j->asked);
    free(j->windows);
    ids_release(&j->text_ids);
    shots_release(&j->shots);
    task_close(j->task);
    records_close(&j->records);
    score_release(&j->table);
    *j = (struct job){0};
}

/* ---- What is scored by its probability ------------------------------------------------------- */

int job_score_each(struct job *j, int32_t context, job_one_fn *one, struct mk_error *err)
{
    struct likelihood l;
    int rc = 0;

    if (j->records.n >= j->n)
        return 0;
    if (likelihood_open(&l, j->m, context, j->o->kv, err))
        return err->code;
    while (!rc && j->records.n < j->n) {
        job_tell(j, 0);
        if (j->o->stop && j->o->stop(j->o->user))
            rc = mk_error_set(err, MK_ECANCELLED, "stopped");
        if (!rc)
            rc = one(j, &l, j->records.n, err);
        if (!rc && j->records.n % SYNC_EVERY == 0)
            rc = records_sync(&j->records, err);
    }
    likelihood_close(&l);
    return rc ? rc : records_sync(&j->records, err);
}

/* ---- The line below a score ------------------------------------------------------------------ */

static void describe_prompt(const struct job *j, char *out, size_t size)
{
    if (j->style == PROMPT_CHAT)
        snprintf(out, size, "template %s", chat_format_name(j->m->chat));
    else
        snprintf(out, size, "%s prompt", j->style == PROMPT_RAW ? "raw" : "own");
}

/* Temperature and top-p say nothing of answers that are not drawn. */
static void describe_draws(const struct job *j, char *out, size_t size)
{
    if (j->o->temperature > 0)
        snprintf(out, size, "sampled, n %d, T %g, top-p %g", j->n_samples,
                 (double)j->o->temperature, (double)j->o->top_p);
    else
        snprintf(out, size, "greedy, n %d", j->n_samples);
}

void job_describe(const struct job *j, char *line, size_t size)
{
    static const char *const ways[] = {"letters", "texts"};
    const struct eval_options *o = j->o;
    char prompt[64], draws[96];

    describe_prompt(j, prompt, sizeof prompt);
    describe_draws(j, draws, sizeof draws);
    if (j->way == SUITE_TEXT)
        snprintf(line, size, "%s, log-likelihood, windows of %d tokens", o->model_name,
                 j->max_tokens);
    else if (j->way == SUITE_CHOICES)
        snprintf(line, size, "%s, %s, %d shots, log-likelihood of %s, seed %" PRIu64,
                 o->model_name, prompt, o->n_shots, ways[o->choices], o->seed);
    else
        snprintf(line, size, "%s, %s, %d shots, %s, max %d tokens, seed %" PRIu64, o->model_name,
                 prompt, o->n_shots, draws, j->max_tokens, o->seed);
}
