/* inputs.h: the files and folders that a recipe names. Paths begin at its folder, `base`. */
#ifndef MK_TRAIN_INPUTS_H
#define MK_TRAIN_INPUTS_H

#include "train/recipe.h"

#define INPUTS_PATH 4096

/* out: where the path of a key is. MK_ENOTFOUND when nothing is there; the text begins with the
 * key. */
int inputs_find(char out[INPUTS_PATH], const char *base, const char *key, const char *path,
                struct mk_error *err);
/* model.from; of a run that is named its last checkpoint. */
int inputs_find_model(char out[INPUTS_PATH], const char *base, const struct recipe *r,
                      struct mk_error *err);
int inputs_find_source(char out[INPUTS_PATH], const char *base, const struct recipe_source *s,
                       struct mk_error *err);
/* Whether all is there that a run reads, but for what stages before it will make ("stage:NAME", see
 * pipeline.h). */
int inputs_check(const struct recipe *r, const char *base, struct mk_error *err);

#endif
