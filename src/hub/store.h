/* store.h: the layout of the local store: STORE/NAME/{files, .minke.json} and STORE/.partial/NAME
 * for unfinished pulls. */
#ifndef MK_HUB_STORE_H
#define MK_HUB_STORE_H

#include "hub/hub.h"

#define STORE_RECORD ".minke.json"
#define STORE_PARTIAL ".partial"
/* Beside a partial folder: where it comes from. No name of a model holds a '~'. */
#define STORE_NOTE "~source"

/* A pull in progress: the folder it writes to and the lock that keeps others away. */
struct store_pull {
    char name[HUB_NAME_MAX + 1];
    char final[HUB_PATH_MAX], partial[HUB_PATH_MAX];
    int lock; /* descriptor, -1 when not held */
};

/* Lower-case letters, digits, '.', '_', '-'; begins with a letter or digit. */
bool store_name_ok(const char *name);
/* Makes a name of any text: lower case, other characters become '-'. MK_EINVAL when nothing is
 * left. */
int store_make_name(const char *text, char name[HUB_NAME_MAX + 1], struct mk_error *err);

/* wait: for another minke that works on the name; else it is an error. */
int store_begin(struct store_pull *p, const char *store, const char *name, bool wait,
                struct mk_error *err);
/* Writes the record (digests of all files are computed here), syncs everything and renames it into
 * place. When sha256 is not NULL the only weights file must have it. */
int store_finish(struct store_pull *p, const struct hub_options *o, const char *source,
                 const char *revision, const char *license, const char *sha256,
                 struct mk_error *err);
/* Lets the lock go; what is in the partial folder stays for the next try. */
void store_end(struct store_pull *p);

/* What mk_model_open takes of a folder: itself when it has config.json and safetensors, else its
 * only .gguf. */
int store_model_in(const char *folder, char path[HUB_PATH_MAX], struct mk_error *err);
/* Calls fn for every visible name of a folder, sorted, so that results do not depend on the disk;
 * stops at a non-zero. */
int store_each_name(const char *folder, int (*fn)(void *user, const char *name), void *user,
                    struct mk_error *err);
/* What the record says of where the files came from; "" without one. */
void store_revision(const char *folder, char revision[64]);
/* Fills everything of a model in the store but its name. */
int store_describe(const char *folder, struct hub_model *m, struct mk_error *err);

#endif
