/* remove.c: `minke remove`: takes a model out of the local store. */
#include "cli/cli.h"
#include "hub/hub.h"

int cmd_remove(int argc, char **argv)
{
    const struct cli_syntax syntax = {
        "remove",
        "NAME",
        "Removes a model of the local store; files that were linked stay where they are.",
        1,
        1,
        NULL};
    char store[HUB_PATH_MAX];
    struct mk_error err;
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    rc = hub_store_default(store, &err);
    if (!rc)
        rc = hub_remove(store, argv[1], &err);
    return rc ? cli_fail(&err) : 0;
}
