/* part_file.h: a large file written piece by piece beside its final name, and renamed when whole.
 *
 * Nobody ever sees half a file: until part_file_rename the bytes lie in PATH.PID.part, and
 * part_file_discard removes them. One owner. */
#ifndef MK_BASE_PART_FILE_H
#define MK_BASE_PART_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct part_file {
    FILE *stream;       /* owned; NULL once synced */
    char *path, *part;  /* owned */
    bool renamed;
};

int part_file_open(struct part_file *f, const char *path, struct mk_error *err);
int part_file_write(struct part_file *f, const void *data, uint64_t bytes, struct mk_error *err);
/* Readable by its owner alone: for what people said to a model. */
int part_file_make_private(struct part_file *f, struct mk_error *err);
/* n zero bytes. */
int part_file_pad(struct part_file *f, uint64_t n, struct mk_error *err);
/* Everything is on the disk; no more writing. */
int part_file_sync(struct part_file *f, struct mk_error *err);
int part_file_rename(struct part_file *f, struct mk_error *err);
/* Removes what was written, under either name. `*f` = {0} is allowed. */
void part_file_discard(struct part_file *f);
/* Frees what f holds and leaves the file where it is. */
void part_file_keep(struct part_file *f);

#endif
