/* folder.h: folders as a whole. */
#ifndef MK_BASE_FOLDER_H
#define MK_BASE_FOLDER_H

/* Removes a folder, its files and folders; links are removed, not followed. Files whose names begin
 * with a dot are not ours and stay, and what holds them. Nothing happens when there is none. */
void folder_remove(const char *path);

#endif
