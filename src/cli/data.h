/* data.h: the parts of `minke data`, each with its own options. argv[0] is the part's name. */
#ifndef MK_CLI_DATA_H
#define MK_CLI_DATA_H

#include <stdio.h>

#include "cli/cli.h"
#include "train/data_build.h"

int data_build_command(int argc, char **argv);
int data_show_command(int argc, char **argv);

/* ---- Parts of build -------------------------------------------------------------------------- */

/* What was read, dropped and why, and written: shards DIR/NAME-00000.tokens and on. */
void data_report_print(FILE *out, const struct data_build_report *r, const char *dir,
                       const char *name);
/* The same as one line of JSON on stdout. */
int data_report_json(const struct data_build_report *r, const char *dir, const char *name,
                     struct mk_error *err);
/* Vocabulary and shards of a recipe, into the folder of its run: `minke data build RECIPE.yaml`. */
struct data_recipe {
    const struct cli_list *sets;
    int32_t threads;
    bool json, quiet;
};
int data_build_recipe(const struct data_recipe *d, const char *path, struct mk_error *err);

#endif
