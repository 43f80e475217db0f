/* main.c: the minke command. */
#include <stdio.h>
#include <string.h>

#include "minke.h"

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        puts("minke " MK_VERSION);
        return 0;
    }
    fputs("usage: minke --version\n", stderr);
    return 2;
}
