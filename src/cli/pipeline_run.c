/* pipeline_run.c: one stage after the other, each in its folder. */
#include "cli/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"
#include "cli/interrupt.h"
#include "cli/rl_run.h"
#include "cli/train_run.h"
#include "train/inputs.h"

#define COMMAND "minke pipeline"

/* ---- Stages --------------------------------------------------------------------------------- */

static int train_stage(struct pipeline_run *run, const struct pipeline_stage *s, int64_t *step,
                       struct mk_error *err)
{
    struct train_run *t = calloc(1, sizeof *t);
    int code;

    if (!t)
        return mk_error_memory(err, sizeof *t);
    t->recipe = &s->recipe;
    t->base = run->base;
    t->command = COMMAND;
    t->cpu = run->cpu;
    t->resume = true;
    t->quiet = run->quiet;
    train_listen(t);
    code = pipeline_folder_path(&run->folder, t->path, s->name, NULL, err);
    if (!code)
        code = train_run(t, err);
    *step = t->last_saved;
    free(t);
    return code;
}

static int rl_stage(struct pipeline_run *run, const struct pipeline_stage *s, int64_t *step,
                    struct mk_error *err)
{
    struct rl_run *r = calloc(1, sizeof *r);
    int code;

    if (!r)
        return mk_error_memory(err, sizeof *r);
    r->recipe = &s->recipe;
    r->base = run->base;
    r->command = COMMAND;
    r->cpu = run->cpu;
    r->resume = true;
    r->quiet = run->quiet;
    rl_listen(r);
    code = pipeline_folder_path(&run->folder, r->path, s->name, NULL, err);
    if (!code)
        code = rl_run(r, err);
    *step = r->last_saved;
    free(r);
    return code;
}

/* The folder of a stage that writes texts. */
static int text_stage(struct pipeline_run *run, const struct pipeline_stage *s, const char *name,
                      struct mk_error *err)
{
    struct buf recipe;
    char path[RUN_PATH];
    int code;

    buf_init(&recipe, (size_t)1 << 22);
    code = recipe_write(&s->recipe, &recipe, err);
    if (!code)
        code = pipeline_folder_stage(&run->folder, s->name, &recipe, err);
    buf_release(&recipe);
    if (code || pipeline_folder_path(&run->folder, path, s->name, name, err))
        return err->code;
    return s->kind == STAGE_CORPUS ? pipeline_run_corpus(run, s, path, err)
                                   : pipeline_run_sample(run, s, path, err);
}

int pipeline_run_stage(struct pipeline_run *run, const struct pipeline_stage *s,
                       char result[RUN_PATH], struct mk_error *err)
{
    int64_t step = 0;
    int code;

    switch (s->kind) {
    case STAGE_CORPUS:
        snprintf(result, RUN_PATH, "corpus.jsonl");
        return text_stage(run, s, result, err);
    case STAGE_SAMPLE:
        snprintf(result, RUN_PATH, "answers.jsonl");
        return text_stage(run, s, result, err);
    case STAGE_RL:
        code = rl_stage(run, s, &step, err);
        break;
    default:
        code = train_stage(run, s, &step, err);
    }
    snprintf(result, RUN_PATH, "checkpoints/step-%06" PRId64, step);
    return code;
}

/* ---- The pipeline --------------------------------------------------------------------------- */

static int result_of(void *user, const struct pipeline_stage *of, char path[RUN_PATH],
                     struct mk_error *err)
{
    struct pipeline_run *run = user;
    bool done;

    if (pipeline_folder_result(&run->folder, of->name, &done, path, err))
        return err->code;
    return done ? 0 : mk_error_set(err, MK_EINVAL, "stage %s is not done", of->name);
}

/* Stages are done in order: what comes behind one that is not followed from another result. */
static int look(struct pipeline_run *run, struct mk_error *err)
{
    const char *open = NULL;
    char path[RUN_PATH];
    bool done;

    run->n_done = 0;
    for (int32_t i = 0; i < run->pipeline.n; i++) {
        const char *name = run->pipeline.stages[i].name;

        if (pipeline_folder_result(&run->folder, name, &done, path, err))
            return err->code;
        if (done && open)
            return mk_error_set(err, MK_EINVAL,
                                "%s: stage %s is done and stage %s before it is not: remove %s/%s, "
                                "it follows from another result",
                                run->folder.path, name, open, run->folder.path, name);
        if (!done && !open)
            open = name;
        run->n_done += done;
    }
    return 0;
}

/* A stage that is done stays as it is, whatever its recipe says by now; that is told. */
static int look_at_recipe(struct pipeline_run *run, struct pipeline_stage *s, struct mk_error *err)
{
    char path[RUN_PATH];
    struct map_file m;
    struct buf now;
    int code;

    if (run->quiet || pipeline_resolve(&run->pipeline, s, result_of, run, err) ||
        pipeline_folder_path(&run->folder, path, s->name, "recipe.yaml", err))
        return run->quiet ? 0 : err->code;
    buf_init(&now, (size_t)1 << 22);
    code = recipe_write(&s->recipe, &now, err);
    if (!code)
        code = map_file_open(&m, path, err);
    if (!code) {
        if (!run_folder_same_recipe(now.data, now.n, (const char *)m.data, m.bytes))
            fprintf(stderr,
                    "stage %s was done with another recipe: to do it again, remove %s/%s and what "
                    "follows\n",
                    s->name, run->folder.path, s->name);
        map_file_close(&m);
    }
    buf_release(&now);
    return code == MK_ENOTFOUND ? 0 : code;
}

static int one_stage(struct pipeline_run *run, struct pipeline_stage *s, struct mk_error *err)
{
    char result[RUN_PATH];
    int code;

    if (pipeline_resolve(&run->pipeline, s, result_of, run, err))
        return err->code;
    pipeline_show(run, s);
    code = pipeline_run_stage(run, s, result, err);
    if (code == MK_ECANCELLED && (s->kind == STAGE_CORPUS || s->kind == STAGE_SAMPLE))
        mk_error_wrap(err, "stopped, " COMMAND " with --resume goes on"); /* runs say it */
    if (code)
        return mk_error_wrap(err, "stage %s", s->name);
    if (pipeline_folder_finish(&run->folder, s->name, result, err))
        return err->code;
    run->n_done++;
    return 0;
}

static int open_folder(struct pipeline_run *run, struct mk_error *err)
{
    struct map_file m;
    int code;

    if (map_file_open(&m, run->path, err))
        return err->code;
    code = pipeline_folder_open(&run->folder, run->pipeline.out, run->resume, m.data, m.bytes, err);
    map_file_close(&m);
    return code;
}

/* A name that is misspelled would end a stage as it begins, hours from now. */
static int check_inputs(const struct pipeline_run *run, int32_t first, struct mk_error *err)
{
    for (int32_t i = first; i < run->pipeline.n; i++) {
        const struct pipeline_stage *s = &run->pipeline.stages[i];

        if (inputs_check(&s->recipe, run->base, err))
            return mk_error_wrap(err, "%s:%d: stage %s", run->path, (int)s->line, s->name);
        if (run->until && !strcmp(run->until, s->name))
            break;
    }
    return 0;
}

static int run_all(struct pipeline_run *run, struct mk_error *err)
{
    /* A stage that has begun may need no source any more. */
    if (look(run, err) || check_inputs(run, run->n_done + 1, err))
        return err->code;
    interrupt_catch();
    for (int32_t i = 0; i < run->pipeline.n; i++) {
        struct pipeline_stage *s = &run->pipeline.stages[i];

        if (i >= run->n_done && interrupt_asked())
            return mk_error_set(err, MK_ECANCELLED,
                                "stopped before stage %s: " COMMAND " with --resume goes on",
                                s->name);
        if (i >= run->n_done ? one_stage(run, s, err) : look_at_recipe(run, s, err))
            return err->code;
        if (run->until && !strcmp(run->until, s->name))
            break;
    }
    pipeline_show(run, NULL);
    return 0;
}

int pipeline_run(struct pipeline_run *run, struct mk_error *err)
{
    int code;

    run->folder.lock = -1;
    if ((!run->resume && check_inputs(run, 0, err)) || open_folder(run, err))
        return err->code;
    code = run_all(run, err);
    pipeline_folder_close(&run->folder);
    return code;
}
