/* inputs.c: see inputs.h. */
#include "train/inputs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/folder.h"
#include "formats/model_file.h"

int inputs_find(char out[INPUTS_PATH], const char *base, const char *key, const char *path,
                struct mk_error *err)
{
    struct stat s;

    if (folder_join(out, INPUTS_PATH, base, path, err))
        return err->code;
    if (!stat(out, &s))
        return 0;
    return mk_error_set(err, MK_ENOTFOUND,
                        "%s: %s is not there: paths begin at the recipe's folder; what another "
                        "command makes must be made first, as the recipe's first lines say",
                        key, out);
}

int inputs_find_model(char out[INPUTS_PATH], const char *base, const struct recipe *r,
                      struct mk_error *err)
{
    if (inputs_find(out, base, "model.from", r->model.from, err))
        return err->code;
    model_file_of_run(out);
    return 0;
}

int inputs_find_source(char out[INPUTS_PATH], const char *base, const struct recipe_source *s,
                       struct mk_error *err)
{
    char key[80];

    snprintf(key, sizeof key, "data.sources: %.60s", s->name);
    return inputs_find(out, base, key, s->path, err);
}

/* path: "" and a stage's are taken on trust. */
static int check(const char *base, const char *key, const char *path, struct mk_error *err)
{
    char at[INPUTS_PATH];

    return *path && strncmp(path, "stage:", 6) ? inputs_find(at, base, key, path, err) : 0;
}

int inputs_check(const struct recipe *r, const char *base, struct mk_error *err)
{
    char at[INPUTS_PATH];

    if (check(base, "model.config", r->model.config, err) ||
        check(base, "model.from", r->model.from, err) ||
        check(base, "tokenizer.path", r->tokenizer.path, err) ||
        check(base, "rl.reward_model", r->rl.reward_model, err))
        return err->code;
    for (int32_t i = 0; i < r->distill.n_teachers; i++)
        if (check(base, "distill.teachers", r->distill.teachers[i].path, err))
            return err->code;
    for (int32_t i = 0; i < r->data.n_sources; i++)
        if (strncmp(r->data.sources[i].path, "stage:", 6) &&
            inputs_find_source(at, base, &r->data.sources[i], err))
            return err->code;
    return 0;
}
