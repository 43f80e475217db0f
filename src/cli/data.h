/* data.h: the parts of `minke data`, each with its own options. argv[0] is the part's name. */
#ifndef MK_CLI_DATA_H
#define MK_CLI_DATA_H

int data_build_command(int argc, char **argv);
int data_show_command(int argc, char **argv);

#endif
