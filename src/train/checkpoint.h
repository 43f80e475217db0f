/* checkpoint.h: a run's weights and state on the disk.
 *
 * A checkpoint is a folder that any program of the Hugging Face family loads (config.json,
 * model.safetensors, the tokenizer), and beside these what a resumed run needs to go on to the bit:
 * optimizer.safetensors (moments, EMA) and state.json. It is written under another name and renamed
 * when it is whole and on the disk. */
#ifndef MK_TRAIN_CHECKPOINT_H
#define MK_TRAIN_CHECKPOINT_H

#include "train/trainer.h"

/* tokenizer: folder whose tokenizer files are copied, or NULL. dir must not exist. */
int checkpoint_write(const char *dir, const struct trainer *t, struct corpus *corpus,
                     const char *tokenizer, struct mk_error *err);
/* Moments, state and the corpus' place; the weights are the caller's to read (params_read), before
 * trainer_init. The options must be those of the run. */
int checkpoint_read_state(const char *dir, struct trainer *t, struct corpus *corpus,
                          struct mk_error *err);
/* The text of state.json; for the fuzzer too. data: the sources that the run has now; MK_EINVAL
 * when it had others. */
int checkpoint_parse_state(const char *json, size_t n, const char *path,
                           const struct mixture *data, struct trainer_state *s,
                           struct mixture_state *m, int64_t *optimizer_steps, struct mk_error *err);

/* Those of a tokenizer's files that are there, and generation_config.json. */
int checkpoint_copy_tokenizer(const char *from, const char *dir, struct mk_error *err);

#endif
