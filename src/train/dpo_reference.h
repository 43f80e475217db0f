/* dpo_reference.h: the reference's log-probabilities of all answers, computed once and kept beside
 * the shards: RUN/data/NAME.reference (formats/reference_file.h). */
#ifndef MK_TRAIN_DPO_REFERENCE_H
#define MK_TRAIN_DPO_REFERENCE_H

#include "train/trainer.h"

struct dpo_reference {
    double *values[MIXTURE_MAX_SOURCES]; /* [2 * pairs of the source] owned */
};

struct dpo_reference_options {
    const char *folder;                /* of the run */
    /* The trainer's weights are those that the run began with: what is not there, or of another
     * model, is computed. Otherwise it must be there. */
    bool at_start;
    void (*say)(void *user, const char *text); /* what is being done; or NULL */
    void *user;
};

/* For both corpora of a run, which hold the same shards; valid may be NULL. They keep pointers into
 * r. Nothing happens unless they hold pairs. */
int dpo_reference_open(struct dpo_reference *r, struct trainer *t, struct corpus *train,
                       struct corpus *valid, const struct dpo_reference_options *o,
                       struct mk_error *err);
void dpo_reference_release(struct dpo_reference *r);

#endif
