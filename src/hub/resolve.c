/* resolve.c: what a user calls a model, and where it lies. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/nearest.h"
#include "hub/builtin.h"
#include "hub/files.h"
#include "hub/store.h"

#define MAX_NAMES 64 /* that are looked through for what was meant */

static int resolve_path(const char *model, char path[HUB_PATH_MAX], struct mk_error *err)
{
    if (files_is_folder(model))
        return store_model_in(model, path, err);
    if (files_bytes(model) < 0)
        return mk_error_set(err, MK_ENOTFOUND, "%s: %s", model,
                            errno == ENOENT ? "there is no such file or folder" : strerror(errno));
    if (snprintf(path, HUB_PATH_MAX, "%s", model) >= HUB_PATH_MAX)
        return mk_error_set(err, MK_ELIMIT, "the path is too long");
    return 0;
}

/* With the name that was probably meant, of those that minke knows and those in the store. */
static int no_such_model(const char *store, const char *model, struct mk_error *err)
{
    const char *names[MAX_NAMES];
    struct hub_model *models = NULL;
    struct mk_error ignored;
    size_t n_models = 0;
    int n = 0, near;

    for (; n < MAX_NAMES && hub_known((size_t)n); n++)
        names[n] = hub_known((size_t)n)->name;
    if (!hub_list(store, &models, &n_models, &ignored))
        for (size_t i = 0; i < n_models && n < MAX_NAMES; i++)
            names[n++] = models[i].name;
    near = nearest_word(model, names, n);
    mk_error_set(err, MK_ENOTFOUND,
                 "there is no model '%s', neither in the store nor as a file: %s%s%ssee minke "
                 "list, or get one with minke pull",
                 model, near < 0 ? "" : "did you mean ", near < 0 ? "" : names[near],
                 near < 0 ? "" : "? ");
    free(models);
    return err->code;
}

int hub_resolve_in(const char *store, const char *model, char path[HUB_PATH_MAX],
                   struct mk_error *err)
{
    const struct hub_known *known = hub_known_by_name(model);
    char folder[HUB_PATH_MAX], name[HUB_NAME_MAX + 1];
    struct mk_error ignored;
    struct stat st;
    int rc;

    if (strchr(model, '/') || files_has_suffix(model, ".gguf"))
        return resolve_path(model, path, err);
    if (known && builtin_is(known->spec) && builtin_keep(store, known->name, err))
        return err->code;
    if (!store_make_name(model, name, &ignored)) {
        rc = files_join(folder, store, name, err);
        if (rc)
            return rc;
        if (files_is_folder(folder)) {
            rc = store_model_in(folder, path, err);
            return rc ? mk_error_wrap(err, "model '%s' is damaged, minke pull it again", name) : 0;
        }
    }
    if (!stat(model, &st))
        return resolve_path(model, path, err);
    if (known)
        return mk_error_set(err, MK_ENOTFOUND, "model '%s' is not here yet: minke pull %s", model,
                            known->name);
    return no_such_model(store, model, err);
}

int hub_resolve(const char *model, char **path, struct mk_error *err)
{
    char store[HUB_PATH_MAX], found[HUB_PATH_MAX];
    int rc = hub_store_default(store, err);

    if (!rc)
        rc = hub_resolve_in(store, model, found, err);
    *path = rc ? NULL : strdup(found);
    return rc || *path ? rc : mk_error_memory(err, strlen(found) + 1);
}
