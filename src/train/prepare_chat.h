/* prepare_chat.h: what a run on conversations needs beside the rest. Parts of prepare.c. */
#ifndef MK_TRAIN_PREPARE_CHAT_H
#define MK_TRAIN_PREPARE_CHAT_H

#include "train/prepare.h"

/* Fills p->chat when a source holds conversations. The token that ends an answer becomes one that
 * generation stops at, and p->tokenizer a folder whose files say the template: RUN/tokenizer when
 * they did not. */
int prepare_chat(struct prepared *p, const struct recipe *r, const char *run, struct mk_error *err);
/* Shards hold what the recipe says. */
int prepare_check_kinds(const struct prepared *p, const struct recipe *r, struct mk_error *err);
/* Says what did not fit into the sequences. */
void prepare_tell_loss(const struct prepared *p, const struct recipe *r);

#endif
