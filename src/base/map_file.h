/* map_file.h: a whole file as read-only memory, and whole files written safely.
 *
 * The mapping is private and read-only; the file must not shrink while it is open (a shrinking file
 * raises SIGBUS: nobody rewrites model files in place, minke itself writes beside and renames). */
#ifndef MK_BASE_MAP_FILE_H
#define MK_BASE_MAP_FILE_H

#include <stddef.h>

#include "base/error.h"

struct map_file {
    const unsigned char *data; /* borrowed until map_file_close; NULL when the file is empty */
    size_t bytes;
};

/* Refuses folders and special files. `path` is followed if it is a link. */
int map_file_open(struct map_file *m, const char *path, struct mk_error *err);
/* Opens `name` inside folder `dir`: no separators, no "..", not a symbolic link out of it (api.md
 * 6, row 18). A link is allowed only when it points to a regular file (model stores use links);
 * path separators in `name` never are. */
int map_file_open_in(struct map_file *m, const char *dir, const char *name, struct mk_error *err);
void map_file_close(struct map_file *m);
/* Tells the system that this part has been read and will not be needed again soon: its pages leave
 * our memory count. */
void map_file_forget(const struct map_file *m, const void *begin, size_t bytes);
/* Writes beside, syncs, renames over `path`. */
int write_file(const char *path, const void *data, size_t bytes, struct mk_error *err);

#endif
