/* tasks.h: the parts of `minke tasks`, one a file. */
#ifndef MK_CLI_TASKS_H
#define MK_CLI_TASKS_H

int tasks_corpus_command(int argc, char **argv);

#endif
