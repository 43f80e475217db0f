/* prepare.h: from a recipe to what a run needs: weights, vocabulary, shards.
 *
 * What has to be made is made once, inside the run folder: RUN/tokenizer when a vocabulary is
 * learned, RUN/data/NAME for texts that are not shards yet. A resumed run finds it there. */
#ifndef MK_TRAIN_PREPARE_H
#define MK_TRAIN_PREPARE_H

#include "base/exec.h"
#include "train/corpus.h"
#include "train/data_build.h"
#include "train/params.h"
#include "train/recipe.h"

struct prepared {
    struct params params;
    char tokenizer[4096];                      /* folder; "" when there is none */
    struct tokenizer *vocabulary;              /* or NULL, when all sources are shards */
    struct chat_data chat;                     /* format is NULL when all data are texts */
    struct corpus *train, *valid; /* NULL without sources; without a validation share */
    void (*say)(void *user, const char *text); /* what is being done, one line; or NULL */
    /* A source became shards, RUN/data/NAME/NAME-00000.tokens and on: what was dropped and why; or
     * NULL. */
    void (*built)(void *user, const char *name, const struct data_build_report *r);
    void *user;
};

/* resume: a checkpoint folder whose weights are read instead of the recipe's model, or NULL.
 * Relative paths of the recipe begin at `base`, the recipe's folder. */
int prepare(struct prepared *p, const struct recipe *r, const char *base, const char *run,
            const char *resume, struct exec *ex, struct mk_error *err);
/* Vocabulary and shards alone: what a run of the recipe will find done. */
int prepare_data(struct prepared *p, const struct recipe *r, const char *base, const char *run,
                 struct exec *ex, struct mk_error *err);
/* The shape of a recipe's model, from config.json or the headers of the model that it goes on with:
 * without MTP where its weight is 0. */
int prepare_arch(struct arch *a, const struct recipe *r, const char *base, struct mk_error *err);
void prepared_release(struct prepared *p);

#endif
