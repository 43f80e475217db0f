/* open_tokenizer.h: the tokenizer that a command line names. */
#ifndef MK_CLI_OPEN_TOKENIZER_H
#define MK_CLI_OPEN_TOKENIZER_H

#include "tokenizer/tokenizer.h"

/* model: a folder with tokenizer.json, with weights or without; a .gguf file; a name of the store.
 */
int cli_open_tokenizer(struct tokenizer **t, const char *model, struct mk_error *err);

#endif
