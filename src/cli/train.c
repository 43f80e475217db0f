/* train.c: minke train: a recipe becomes a run. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/folder.h"
#include "cli/cli.h"
#include "cli/recipe_models.h"
#include "cli/train_run.h"

/* "recipes/tiny.yaml" -> "recipes" and "tiny". */
static int split_path(const char *path, char base[RUN_PATH], char name[RUN_PATH],
                      struct mk_error *err)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    const char *dot = strrchr(file, '.');
    size_t n = dot && dot > file ? (size_t)(dot - file) : strlen(file);

    if (strlen(path) >= RUN_PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", path);
    snprintf(base, RUN_PATH, "%.*s", slash ? (int)(slash - path) : 0, path);
    snprintf(name, RUN_PATH, "%.*s", (int)n, file);
    return 0;
}

int train_read_recipe(struct train_recipe *t, const char *path, const struct cli_list *sets,
                      char run[RUN_PATH], struct mk_error *err)
{
    char name[RUN_PATH];
    const char *out;

    if (split_path(path, t->base, name, err) ||
        recipe_read(&t->r, path, sets->items, sets->n, err))
        return err->code;
    arena_init(&t->memory, SIZE_MAX / 4);
    out = t->r.out;
    if (snprintf(run, RUN_PATH, *out ? "%s" : "runs/%s", *out ? out : name) >= RUN_PATH)
        mk_error_set(err, MK_ELIMIT, "%s: the path is too long", out);
    else
        recipe_models_find(&t->r, t->base, &t->memory, err);
    if (err->code)
        train_recipe_release(t);
    return err->code;
}

void train_recipe_release(struct train_recipe *t)
{
    recipe_release(&t->r);
    arena_release(&t->memory);
}

void train_say_begins(const char *run, bool resume, bool quiet)
{
    char checkpoints[RUN_PATH + 16];

    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", run);
    if (resume && !quiet && folder_last_step(checkpoints, INT64_MAX) < 0)
        fprintf(stderr, "%s has no checkpoint to go on from: it begins\n", run);
}

static int train(struct train_run *run, const char *path, const struct cli_list *sets, bool dry,
                 struct mk_error *err)
{
    struct train_recipe recipe;
    int code;

    if (train_read_recipe(&recipe, path, sets, run->path, err))
        return err->code;
    if (recipe.r.data.n_sources < 1) {
        train_recipe_release(&recipe);
        return mk_error_set(err, MK_EINVAL, "%s: has tasks and no data.sources: use minke rl",
                            path);
    }
    run->recipe = &recipe.r;
    run->base = recipe.base;
    run->command = "minke train";
    if (!dry)
        train_say_begins(run->path, run->resume, run->quiet);
    train_listen(run);
    code = dry ? train_plan(run, err) : train_run(run, err);
    if (!code && !dry)
        printf("%s/checkpoints/step-%06lld\n", run->path, (long long)run->last_saved);
    train_recipe_release(&recipe);
    return code;
}

int cmd_train(int argc, char **argv)
{
    struct train_run run = {0};
    struct cli_list sets = {0};
    bool dry = false;
    const struct cli_option options[] = {
        CLI_RUN_OPTIONS(&run, &sets, &dry, "optimizer.lr=1e-3"), {0}};
    const struct cli_syntax syntax = {
        .command = "train",
        .arguments = "RECIPE.yaml",
        .about = "Trains a model as a recipe says, into a run folder: runs/ and the recipe's name\n"
                 "unless it names one. Ctrl-C saves a checkpoint; --resume goes on to the bit.\n"
                 "docs/training.md lists every key of a recipe.\n\n"
                 "example: minke train recipes/shakespeare.yaml --set train.tokens=1M",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, status = cli_parse(&syntax, argc, argv, &n);

    if (status != CLI_RUN)
        return status;
    status = train(&run, argv[1], &sets, dry, &err);
    return status ? cli_fail(&err) : 0;
}
