/* folder.h: folders as a whole. */
#ifndef MK_BASE_FOLDER_H
#define MK_BASE_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Where `path` is that somebody wrote in a file of folder `base`: paths begin there unless they are
 * absolute; base "": where the process is. MK_ELIMIT when out [room] is too short. */
int folder_join(char *out, size_t room, const char *base, const char *path, struct mk_error *err);
/* Makes a folder and those above it; one that is there is left as it is. */
int folder_make(const char *path, struct mk_error *err);
/* Removes a folder, its files and folders; links are removed, not followed. Files whose names begin
 * with a dot are not ours and stay, and what holds them. Nothing happens when there is none. */
void folder_remove(const char *path);
/* Removes what a killed process left half written in a folder that is ours by now: files
 * "report.html.4711.part" (part_file.h) and folders "step-000100.part". */
void folder_remove_parts(const char *path);

/* N of a name "step-N" with `suffix` behind it, as runs call checkpoints and samples; -1: it is
 * another name. */
int64_t folder_step(const char *name, const char *suffix);
/* The highest N below `end` of what is called step-N in a folder; -1: there is none. */
int64_t folder_last_step(const char *path, int64_t end);

#endif
