/* folder.c: walks a folder from its leaves up. */
#include "base/folder.h"

#include <ftw.h>
#include <stdio.h>

#define OPEN_FOLDERS 8 /* at a time; deeper ones are opened again */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st;
    if (kind == FTW_DP || path[place->base] != '.')
        remove(path);
    return 0;
}

void folder_remove(const char *path)
{
    nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}
