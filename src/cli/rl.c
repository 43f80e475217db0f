/* rl.c: minke rl: a model learns from rewards. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/rl_run.h"
#include "cli/train_run.h"

static int learn(struct rl_run *run, const char *path, const struct cli_list *sets, bool dry,
                 struct mk_error *err)
{
    struct train_recipe recipe;
    int code;

    if (train_read_recipe(&recipe, path, sets, run->path, err))
        return err->code;
    if (recipe.r.n_tasks < 1) {
        train_recipe_release(&recipe);
        return mk_error_set(err, MK_EINVAL, "%s: has no tasks: minke tasks lists them", path);
    }
    run->recipe = &recipe.r;
    run->base = recipe.base;
    run->command = "minke rl";
    if (!dry)
        train_say_begins(run->path, run->resume, run->quiet);
    rl_listen(run);
    code = dry ? rl_plan(run, err) : rl_run(run, err);
    if (!code && !dry)
        printf("%s/checkpoints/step-%06lld\n", run->path, (long long)run->last_saved);
    train_recipe_release(&recipe);
    return code;
}

int cmd_rl(int argc, char **argv)
{
    struct rl_run run = {0};
    struct cli_list sets = {0};
    bool dry = false;
    const struct cli_option options[] = {CLI_RUN_OPTIONS(&run, &sets, &dry, "rl.steps=50"), {0}};
    const struct cli_syntax syntax = {
        .command = "rl",
        .arguments = "RECIPE.yaml",
        .about = "Lets a model answer questions whose answers can be checked, and learn from what\n"
                 "was right (GRPO). Recipes have a list of tasks and the sections rl and rollout;\n"
                 "docs/training.md lists every key. Ctrl-C saves; --resume goes on to the bit.\n"
                 "With distill.teachers they grade every token of the answers instead.\n\n"
                 "example: minke rl recipe.yaml --set rl.steps=50",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, status = cli_parse(&syntax, argc, argv, &n);

    if (status != CLI_RUN)
        return status;
    status = learn(&run, argv[1], &sets, dry, &err);
    return status ? cli_fail(&err) : 0;
}
