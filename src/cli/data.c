/* data.c: `minke data build` and `minke data show`. */
#include "cli/data.h"

#include <string.h>

#include "cli/cli.h"

int cmd_data(int argc, char **argv)
{
    const struct cli_syntax syntax = {
        "data", "build|show [OPTIONS] ...",
        "build   texts become shards of token ids, without copies and noise\n"
        "show    the documents of a shard as text\n\n"
        "minke data build --help and minke data show --help tell more.",
        1, 1, NULL};
    char *name = argc > 1 ? argv[1] : NULL;
    int n_args, rc;

    if (name && !strcmp(name, "build"))
        return data_build_command(argc - 1, argv + 1);
    if (name && !strcmp(name, "show"))
        return data_show_command(argc - 1, argv + 1);
    rc = cli_parse(&syntax, argc > 2 && name[0] != '-' ? 2 : argc, argv, &n_args);
    return rc != CLI_RUN ? rc : cli_usage("data", "there is no 'data %s'", argv[1]);
}
