/* part_file.h: a file written piece by piece that appears under its name only when it is complete.
 *
 * Bytes go to a file beside it; part_file_commit syncs and renames, part_file_abandon removes. One
 * owner. Either ends the use; after a failed write only abandon is left to do. */
#ifndef MK_BASE_PART_FILE_H
#define MK_BASE_PART_FILE_H

#include <stddef.h>

#include "base/error.h"

struct part_file {
    int fd; /* -1: none */
    char path[4096], part[4096];
};

/* private_file: readable by its owner alone, for what people said to a model. */
int part_file_open(struct part_file *p, const char *path, bool private_file, struct mk_error *err);
int part_file_write(struct part_file *p, const void *data, size_t bytes, struct mk_error *err);
/* Abandons the file when it fails. */
int part_file_commit(struct part_file *p, struct mk_error *err);
/* Does nothing after a commit. */
void part_file_abandon(struct part_file *p);

#endif
