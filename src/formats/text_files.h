/* text_files.h: which files a text source reads. For text_source.c only. */
#ifndef MK_FORMATS_TEXT_FILES_H
#define MK_FORMATS_TEXT_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct text_files { char **paths; size_t n, capacity; }; /* owned, sorted; start from {0} */

/* A file itself, or what text_source.h says about a folder. */
int text_files_find(struct text_files *f, const char *path, struct mk_error *err);
void text_files_release(struct text_files *f);

struct text_name { bool jsonl, plain, gzip, zstd; }; /* plain: by its suffix */
struct text_name text_name_of(const char *path);

#endif
