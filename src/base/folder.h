/* folder.h: a folder of files as one thing, written under one name and renamed to another. */
#ifndef MK_BASE_FOLDER_H
#define MK_BASE_FOLDER_H

/* Removes a folder and the files in it, those whose names begin with a dot left out: what is not
 * ours stays. Nothing happens when there is none. */
void folder_remove(const char *path);

#endif
