/* pipeline.c: minke pipeline: several runs in one file, each going on with what those before it
 * made. */
#include "cli/pipeline.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/recipe_models.h"
#include "rl/questions.h"

/* "recipes/r1.yaml" -> "recipes", and "runs/r1" where the file does not say. */
static int place(struct pipeline_run *run, char out[RUN_PATH], struct mk_error *err)
{
    const char *slash = strrchr(run->path, '/'), *file = slash ? slash + 1 : run->path;
    const char *dot = strrchr(file, '.');
    int n = dot && dot > file ? (int)(dot - file) : (int)strlen(file);

    snprintf(run->base, RUN_PATH, "%.*s", slash ? (int)(slash - run->path) : 0, run->path);
    if (snprintf(out, RUN_PATH, "%s%.*s", *run->pipeline.out ? "" : "runs/",
                 *run->pipeline.out ? RUN_PATH : n,
                 *run->pipeline.out ? run->pipeline.out : file) >= RUN_PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", run->pipeline.out);
    run->pipeline.out = out;
    return 0;
}

/* What would end a stage as it begins, hours from now perhaps. */
static int check_stage(const struct pipeline_run *run, const struct pipeline_stage *s,
                       struct mk_error *err)
{
    struct questions q;

    if (s->kind == STAGE_CORPUS || s->kind == STAGE_SAMPLE)
        return pipeline_check_texts(run, s, err);
    if (s->kind != STAGE_RL)
        return 0;
    if (questions_open(&q, &s->recipe, run->base, NULL, err))
        return err->code;
    questions_close(&q);
    return 0;
}

/* Models of the store, by name. */
static int find_models(struct pipeline_run *run, struct mk_error *err)
{
    struct pipeline *p = &run->pipeline;

    err->code = 0;
    for (int32_t i = 0; i < p->n; i++)
        if (recipe_models_find(&p->stages[i].recipe, run->base, &p->memory, err))
            return mk_error_wrap(err, "stage %s", p->stages[i].name);
    return 0;
}

static int check_stages(const struct pipeline_run *run, struct mk_error *err)
{
    for (int32_t i = 0; i < run->pipeline.n; i++)
        if (check_stage(run, &run->pipeline.stages[i], err))
            return mk_error_wrap(err, "%s:%d: stage %s", run->path,
                                 (int)run->pipeline.stages[i].line,
                                 run->pipeline.stages[i].name);
    return 0;
}

static int print_result(const struct pipeline_run *run, struct mk_error *err)
{
    char result[RUN_PATH];
    bool done;

    if (pipeline_folder_result(&run->folder, run->pipeline.stages[run->n_done - 1].name, &done,
                               result, err))
        return err->code;
    printf("%s\n", result);
    return 0;
}

static int work(struct pipeline_run *run, const struct cli_list *sets, bool dry,
                struct mk_error *err)
{
    char out[RUN_PATH];
    int code;

    if (pipeline_read(&run->pipeline, run->path, sets->items, sets->n, err))
        return err->code;
    code = place(run, out, err);
    if (!code && run->until && !pipeline_find(&run->pipeline, run->until))
        code = mk_error_set(err, MK_EINVAL, "--until: %s has no stage '%s'", run->path,
                            run->until);
    if (!code)
        code = find_models(run, err);
    if (!code)
        code = check_stages(run, err);
    if (!code && dry)
        code = pipeline_plan(run, err);
    else if (!code && !(code = pipeline_run(run, err)))
        code = print_result(run, err);
    pipeline_release(&run->pipeline);
    return code;
}

int cmd_pipeline(int argc, char **argv)
{
    struct pipeline_run run = {0};
    struct cli_list sets = {0};
    bool dry = false;
    const struct cli_option options[] = {
        {"set", 's', CLI_LIST, &sets, "STAGE.KEY=V", "over the file: cold-start.train.tokens=1M", 0,
         0, NULL},
        {"resume", 'r', CLI_FLAG, &run.resume, NULL, "go on in the stage where it stopped", 0, 0,
         NULL},
        {"until", 0, CLI_STRING, &run.until, "STAGE", "stop behind this one", 0, 0, NULL},
        {"cpu", 0, CLI_STRING, &run.cpu, "NAME", "lower the machine: ref, avx2, avx512", 0, 0,
         NULL},
        {"dry-run", 'n', CLI_FLAG, &dry, NULL, "print the stages and their recipes, then stop", 0,
         0, NULL},
        {"quiet", 'q', CLI_FLAG, &run.quiet, NULL, "no progress", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        .command = "pipeline",
        .arguments = "RECIPE.yaml",
        .about = "Runs the stages of a file one after the other: fine-tuning, learning from\n"
                 "rewards, sampling, reward models, each in a run folder of its own, each going\n"
                 "on with what an earlier one made (stage:NAME). R1's four stages are such a\n"
                 "file (docs/reasoning.md). Ctrl-C saves; --resume goes on to the bit.\n\n"
                 "example: minke pipeline recipes/r1.yaml",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, status = cli_parse(&syntax, argc, argv, &n);

    if (status != CLI_RUN)
        return status;
    run.path = argv[1];
    status = work(&run, &sets, dry, &err);
    return status ? cli_fail(&err) : 0;
}
