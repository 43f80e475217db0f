/* files.h: the few things the hub does with paths, each refusing names that could lead out of a
 * folder. */
#ifndef MK_HUB_FILES_H
#define MK_HUB_FILES_H

#include "hub/hub.h"

/* Whether `name` may be created in a folder of ours: printable, no separator, not hidden, at most
 * 200 bytes. */
bool files_plain_name(const char *name);
bool files_has_suffix(const char *name, const char *suffix);
int files_join(char out[HUB_PATH_MAX], const char *dir, const char *name, struct mk_error *err);
/* Like mkdir -p. */
int files_make_folders(const char *path, struct mk_error *err);
/* Removes a file or a whole folder, never following a link. What is not there is no error. */
int files_remove_tree(const char *path, struct mk_error *err);
/* Asks the disk to have it: a file, or a folder's list of names. */
int files_sync(const char *path, struct mk_error *err);
bool files_is_folder(const char *path);
/* -1 when it is no regular file. Follows links. */
int64_t files_bytes(const char *path);
/* The digest in lower-case hex. */
int files_sha256(const struct hub_options *o, const char *path, char hex[65], struct mk_error *err);
/* Calls o->progress; MK_ECANCELLED when it says so. */
int files_progress(const struct hub_options *o, const char *what, uint64_t done, uint64_t total,
                   struct mk_error *err);

/* The files that make a model: config, tokenizer, weights. */
enum file_kind { FILE_OTHER, FILE_CONFIG, FILE_TEXT, FILE_SAFETENSORS, FILE_GGUF };
enum file_kind files_kind(const char *name);
/* Reads "STEM-00001-of-00003.gguf": true with the number, the count and the length of STEM. */
bool files_split(const char *name, int *part, int *n_parts, size_t *stem);

#endif
