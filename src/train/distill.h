/* distill.h: what a recipe's section `distill` says, for `minke train` and `minke rl` alike. */
#ifndef MK_TRAIN_DISTILL_H
#define MK_TRAIN_DISTILL_H

#include "train/recipe.h"
#include "train/teachers.h"

/* For a trainer; n_vocab is known when the teachers are open. */
struct distill_options distill_options_of(const struct recipe *r);

struct distill_place {
    const char *base; /* folder of the recipe, where relative paths begin */
    const char *run;  /* folder of the run; NULL: what teachers said is not kept */
};
/* Opens the recipe's teachers, if it has any, for a student of this vocabulary with n_vocab rows in
 * its head. Else t stays as it is. */
int distill_open(struct teachers *t, const struct recipe *r, const struct distill_place *place,
                 const struct tokenizer *vocabulary, int32_t n_vocab, struct compute *c,
                 struct mk_error *err);

#endif
