/* list.c: `minke list`: the models of the local store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "hub/hub.h"

static void print_models(const struct hub_model *models, size_t n)
{
    char size[16];
    int name = 4, width;

    for (size_t i = 0; i < n; i++) {
        width = (int)strlen(models[i].name);
        name = width > name ? width : name;
    }
    if (n)
        printf("%-*s  %9s  %-12s  %s\n", name, "NAME", "SIZE", "LICENSE", "SOURCE");
    for (size_t i = 0; i < n; i++) {
        progress_bytes(size, models[i].bytes);
        printf("%-*s  %9s  %-12s  %s\n", name, models[i].name, size,
               *models[i].license ? models[i].license : "-", models[i].source);
    }
}

int cmd_list(int argc, char **argv)
{
    char store[HUB_PATH_MAX], *path;
    const char *has = NULL;
    const struct cli_option options[] = {{"has", 0, CLI_STRING, &has, "MODEL",
                                          "print nothing; status 0 when it is there, else 1", 0, 0,
                                          NULL},
                                         {0}};
    const struct cli_syntax syntax = {"list", NULL, "Lists the models of the local store.",
                                      0,      0,    options};
    struct hub_model *models = NULL;
    struct mk_error err;
    size_t n = 0;
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (has) {
        rc = hub_resolve(has, &path, &err);
        free(path);
        return rc ? 1 : 0;
    }
    rc = hub_store_default(store, &err);
    if (!rc)
        rc = hub_list(store, &models, &n, &err);
    if (rc)
        return cli_fail(&err);
    print_models(models, n);
    free(models);
    return 0;
}
