/* folder.c: removes what was not finished or is not wanted any more. */
#include "base/folder.h"

#include <dirent.h>
#include <unistd.h>

void folder_remove(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}
