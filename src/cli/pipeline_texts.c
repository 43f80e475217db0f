/* pipeline_texts.c: stages that write texts: a corpus of questions with a teacher's answers, and a
 * model's own answers, kept by a verifier. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/folder.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/pipeline.h"
#include "cli/progress.h"
#include "cli/tasks.h"
#include "distill/traces.h"
#include "generate/exchange.h"

#define PROMPT_ROOM 4096 /* ids */

/* ---- Questions ------------------------------------------------------------------------------ */

static int check_part(const struct blend_part *p, const struct recipe_task *t,
                      struct mk_error *err)
{
    if (t->level_max > task_max_level(p->task))
        return mk_error_set(err, MK_EINVAL,
                            "tasks: %s has levels 0 to %d, the recipe asks for %lld", t->name,
                            task_max_level(p->task), (long long)t->level_max);
    for (int trace = TASK_TRACE_SCRATCHPAD; trace < TASK_N_TRACES; trace++)
        if (p->share[trace] > 0 && !task_has_trace(p->task, trace))
            return mk_error_set(err, MK_EINVAL, "tasks: %s has no %s traces", t->name,
                                task_trace_name(trace));
    return 0;
}

static int open_part(struct blend_part *p, const struct recipe_task *t, const char *base,
                     struct mk_error *err)
{
    *p = (struct blend_part){.weight = t->weight,
                             .level_low = (int)t->level,
                             .level_high = (int)t->level_max,
                             .share = {[TASK_TRACE_SCRATCHPAD] = t->scratchpad,
                                       [TASK_TRACE_SEARCH] = t->search,
                                       [TASK_TRACE_IMPATIENT] = t->impatient}};
    p->share[TASK_TRACE_DIRECT] = 1 - t->scratchpad - t->search - t->impatient;
    if (t->weight <= 0)
        return mk_error_set(err, MK_EINVAL, "tasks: %s: its weight must be above 0", t->name);
    if (task_open_in(&p->task, base, t->name, err))
        return err->code;
    if (!check_part(p, t, err))
        return 0;
    blend_part_close(p);
    return err->code;
}

static void close_blend(struct blend *b)
{
    for (int i = 0; i < b->n_parts; i++)
        blend_part_close(&b->parts[i]);
    free(b->parts);
}

static int open_blend(struct blend *b, const struct recipe *r, const char *base, int64_t form,
                      struct mk_error *err)
{
    *b = (struct blend){.seed = (uint64_t)r->seed, .form = (enum blend_form)form};
    b->parts = calloc((size_t)r->n_tasks, sizeof *b->parts);
    if (!b->parts)
        return mk_error_memory(err, (size_t)r->n_tasks * sizeof *b->parts);
    for (; b->n_parts < r->n_tasks; b->n_parts++)
        if (open_part(&b->parts[b->n_parts], &r->tasks[b->n_parts], base, err)) {
            close_blend(b);
            return err->code;
        }
    return 0;
}

/* ---- A corpus ------------------------------------------------------------------------------- */

int pipeline_run_corpus(struct pipeline_run *run, const struct pipeline_stage *s,
                        const char *result, struct mk_error *err)
{
    const struct recipe *r = &s->recipe;
    struct blend b;
    int code;

    if (open_blend(&b, r, run->base, r->corpus.form, err))
        return err->code;
    code = tasks_write_corpus(&b, (uint64_t)r->corpus.documents, result, err);
    close_blend(&b);
    return code;
}

/* ---- Answers -------------------------------------------------------------------------------- */

struct sampling {
    struct progress progress;
    int64_t n_questions;
};

static void show(void *user, const struct traces_counts *c)
{
    struct sampling *s = user;

    if (!s->progress.shown)
        return;
    fprintf(stderr, "\r%" PRId64 " of %" PRId64 " questions, %" PRId64 " lines kept ",
            c->n_questions, s->n_questions, c->n_kept);
    s->progress.drawn = true;
}

static int set_rules(struct keep_rules *k, const struct recipe *r, struct mk_error *err)
{
    *k = (struct keep_rules){.tags = (enum keep_tags)r->answers.tags,
                             .max_repetition = r->answers.max_repetition,
                             .max_characters = r->answers.max_characters,
                             .script = SCRIPT_LATIN};
    if (!*r->answers.script)
        return 0;
    k->min_language = r->answers.min_script;
    return format_script_read(&k->script, r->answers.script, "answers.script", err);
}

/* Programs are not run here, so that none would be right. */
static int check_code(const struct blend *b, const struct recipe *r, struct mk_error *err)
{
    for (int i = 0; i < b->n_parts; i++)
        if (task_is_code(b->parts[i].task) && r->answers.keep != TRACES_ALL)
            return mk_error_set(err, MK_EINVAL,
                                "tasks: %s: programs are not run here, so none would be right: say "
                                "answers.keep: all",
                                r->tasks[i].name);
    return 0;
}

static int check_sample(const struct recipe *r, const struct blend *b, struct mk_error *err)
{
    struct keep_rules rules;

    if (set_rules(&rules, r, err) || check_code(b, r, err))
        return err->code;
    return exchange_check_form(r->rollout.prompt, err) ? mk_error_wrap(err, "rollout.prompt") : 0;
}

int pipeline_check_texts(const struct pipeline_run *run, const struct pipeline_stage *s,
                         struct mk_error *err)
{
    const struct recipe *r = &s->recipe;
    struct blend b;
    int code;

    if (open_blend(&b, r, run->base, r->corpus.form, err))
        return err->code;
    code = s->kind == STAGE_SAMPLE ? check_sample(r, &b, err) : 0;
    close_blend(&b);
    return code;
}

/* What the answers and their lines follow from, but for the teacher: the recipe without what
 * changes no number; malloc'ed. */
static char *settings(const struct recipe *r)
{
    struct recipe plain = *r;
    json_t *all;
    struct buf b;
    struct mk_error err;
    char *text = NULL;

    plain.threads = plain.rollout.slots = 0;
    plain.answers.questions = 0; /* more of them go behind */
    buf_init(&b, (size_t)1 << 22);
    if (!recipe_write(&plain, &b, &err)) {
        all = json_pack("{s:s%}", "recipe", b.data, b.n);
        text = all ? json_dumps(all, JSON_COMPACT) : NULL;
        json_decref(all);
    }
    buf_release(&b);
    return text;
}

static struct teacher_model_options asking(const struct recipe *r)
{
    struct teacher_model_options o = {.form = r->rollout.prompt,
                                      .n_slots = (int32_t)r->rollout.slots,
                                      .n_samples = (int32_t)r->answers.samples,
                                      .max_tokens = (int32_t)r->rollout.tokens,
                                      .max_prompt = PROMPT_ROOM,
                                      .kv = (enum mk_kv)r->rollout.kv,
                                      .sampling = mk_sampling_default()};

    o.sampling.seed = (uint64_t)r->seed;
    o.sampling.temperature = (float)r->answers.temperature;
    o.sampling.top_k = (int32_t)r->rollout.top_k;
    o.sampling.top_p = (float)r->rollout.top_p;
    return o;
}

static int ask(struct pipeline_run *run, const struct recipe *r, const struct traces_options *o,
               struct blend *b, struct traces_counts *counts, struct mk_error *err)
{
    struct model_flags flags = {.threads = (int32_t)r->threads,
                                .numerics = (int)r->rollout.numerics,
                                .cpu = run->cpu,
                                .quiet = run->quiet};
    struct teacher_model_options asked = asking(r);
    struct mk_model *model = NULL;
    struct teacher teacher = {0};
    char path[RUN_PATH];
    int code;

    if (folder_join(path, sizeof path, run->base, r->model.from, err))
        return mk_error_wrap(err, "model.from");
    code = model_flags_open(&model, path, &flags, err);
    if (!code)
        code = teacher_open_model(&teacher, model, &asked, err);
    if (!code) {
        code = traces_write(o, b, &teacher, counts, err);
        teacher.close(teacher.self);
    }
    mk_model_free(model);
    return code;
}

static void report(const struct traces_counts *c)
{
    fprintf(stderr, "%" PRId64 " lines of %" PRId64 " answers, %" PRId64 " of %" PRId64
                    " questions solved\n",
            c->n_kept, c->n_answers, c->n_solved, c->n_questions);
}

int pipeline_run_sample(struct pipeline_run *run, const struct pipeline_stage *s,
                        const char *result, struct mk_error *err)
{
    const struct recipe *r = &s->recipe;
    struct sampling sampling = {.n_questions = r->answers.questions};
    struct traces_options o = {.path = result,
                               .resume = true,
                               .n_questions = r->answers.questions,
                               .n_samples = (int32_t)r->answers.samples,
                               .keep = (enum traces_keep)r->answers.keep,
                               .form = r->rollout.prompt,
                               .stop = interrupt_stop,
                               .show = show,
                               .user = &sampling};
    struct traces_counts counts = {0};
    struct blend b;
    char *text;
    int code;

    if (set_rules(&o.rules, r, err) || open_blend(&b, r, run->base, r->answers.form, err))
        return err->code;
    o.settings = text = settings(r);
    progress_init(&sampling.progress, stderr, run->quiet);
    code = text ? ask(run, r, &o, &b, &counts, err) : mk_error_memory(err, 4096);
    progress_clear(&sampling.progress);
    free(text);
    close_blend(&b);
    if (code)
        return code;
    if (!run->quiet)
        report(&counts);
    return counts.n_kept ? 0
                         : mk_error_set(err, MK_EINVAL,
                                        "no answer was kept: ask easier questions, take a better "
                                        "model, or loosen the filters in `answers`");
}
