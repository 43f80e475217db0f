/* eval_table.h: evaluations side by side, for `minke report`. */
#ifndef MK_CLI_EVAL_TABLE_H
#define MK_CLI_EVAL_TABLE_H

#include <stdbool.h>

#include "minke.h"

bool eval_table_is_for(const char *folder);
/* Prints the scores of n folders and how they differ from the first one's. */
int eval_table_print(char **folders, int n, struct mk_error *err);

#endif
