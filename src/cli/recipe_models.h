/* recipe_models.h: models that a recipe names as the commands do, by their name in the store. */
#ifndef MK_CLI_RECIPE_MODELS_H
#define MK_CLI_RECIPE_MODELS_H

#include "base/arena.h"
#include "train/recipe.h"

/* In place of a name in model.from, rl.reward_model and distill.teachers the store's path, kept in
 * `memory`. What lies in the recipe's folder `base` goes before the store; a path is left alone,
 * and so is a name that nobody knows: who opens it says so. MK_ENOTFOUND for a model that minke
 * knows and that is not pulled yet. */
int recipe_models_find(struct recipe *r, const char *base, struct arena *memory,
                       struct mk_error *err);

#endif
