/* checkpoint.h: a run's weights and state on the disk.
 *
 * A checkpoint is a folder that any program of the Hugging Face family loads (config.json,
 * model.safetensors, the tokenizer), and beside these what a resumed run needs to go on to the bit:
 * optimizer.safetensors (moments, EMA) and state.json; ema/ is the mean of the weights as a model
 * of its own, adapter/ the adapters of a run that has them, merged in the weights. It is written
 * under another name and renamed when it is whole and on the disk. */
#ifndef MK_TRAIN_CHECKPOINT_H
#define MK_TRAIN_CHECKPOINT_H

#include "train/params.h"
#include "train/trainer.h"

/* What another kind of run keeps in its checkpoints too. */
struct checkpoint_more {
    int (*write)(void *user, const char *dir, struct mk_error *err); /* files into dir */
    void *user;
};

/* tokenizer: folder whose tokenizer files are copied, or NULL. dir must not exist. corpus and more
 * may be NULL. */
int checkpoint_write(const char *dir, struct trainer *t, struct corpus *corpus,
                     const char *tokenizer, const struct checkpoint_more *more,
                     struct mk_error *err);
/* Moments, state and the corpus' place (corpus may be NULL); the weights are the caller's to read
 * (params_read), before trainer_init. The options must be those of the run. */
int checkpoint_read_state(const char *dir, struct trainer *t, struct corpus *corpus,
                          struct mk_error *err);
/* All weights as one file of f32 under Hugging Face names, and back into params of that shape. */
int checkpoint_write_weights(const struct params *p, const char *path, struct mk_error *err);
int checkpoint_read_weights(struct params *p, const char *path, struct mk_error *err);
/* The text of state.json; for the fuzzer too. data: the sources that the run has now; MK_EINVAL
 * when it had others. */
int checkpoint_parse_state(const char *json, size_t n, const char *path,
                           const struct mixture *data, struct trainer_state *s,
                           struct mixture_state *m, int64_t *optimizer_steps, struct mk_error *err);

/* Those of a tokenizer's files that are there, and generation_config.json. */
int checkpoint_copy_tokenizer(const char *from, const char *dir, struct mk_error *err);

#endif
