/* tasks.h: the parts of `minke tasks`, one a file. */
#ifndef MK_CLI_TASKS_H
#define MK_CLI_TASKS_H

#include "tasks/blend.h"

int tasks_corpus_command(int argc, char **argv);

/* ---- Parts of corpus ------------------------------------------------------------------------ */

/* n documents of a blend as the lines of a file, whole or not at all.
 * MK_ECANCELLED after Ctrl-C. */
int tasks_write_corpus(struct blend *b, uint64_t n, const char *path, struct mk_error *err);

#endif
