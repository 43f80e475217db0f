/* vocab_build.h: what the two readers of vocab.h share. Not for use outside formats/. */
#ifndef MK_FORMATS_VOCAB_BUILD_H
#define MK_FORMATS_VOCAB_BUILD_H

#include "formats/pre_names.h"
#include "formats/vocab.h"

#define VOCAB_MAX_TOKENS (1 << 24)
#define VOCAB_MAX_TEXT_BYTES 65535      /* of one token */
#define VOCAB_MAX_ADDED_BYTES                                                                      \
    1024 /* of an added token: bounds the work at every position of a text */
#define VOCAB_MAX_FILE_BYTES ((size_t)512 << 20)
#define VOCAB_MAX_CONFIG_BYTES ((size_t)8 << 20) /* tokenizer_config.json, chat_template.jinja */
#define VOCAB_MAX_REGEX_BYTES 65535

void vocab_begin(struct vocab *v, const char *name);
/* Takes the arrays texts and kinds for n tokens; texts are NULL, kinds NORMAL. */
int vocab_take_tokens(struct vocab *v, int64_t n, struct mk_error *err);
/* A copy with a NUL behind it, owned by v. */
int vocab_copy_text(struct vocab *v, struct vocab_text *out, const char *data, size_t n,
                    struct mk_error *err);
/* Appends a split pattern; MK_ELIMIT beyond MK_MAX_SPLITS. */
int vocab_add_split(struct vocab *v, const char *pattern, size_t n, bool isolated,
                    struct mk_error *err);
/* Patterns and habits of a GGUF pre-tokenizer name. */
int vocab_use_pre_name(struct vocab *v, const struct pre_row *row, struct mk_error *err);
/* Last step of both readers: ids in range, byte tokens named properly, control tokens marked. */
int vocab_finish(struct vocab *v, struct mk_error *err);
/* Whether a tokenizer.json has the shape that is read, so that a tree of it is not much larger
 * than the tables it becomes; and a tokenizer_config.json. Nothing is allocated. Errors name the
 * byte. */
int vocab_json_check(const char *json, size_t bytes, struct mk_error *err);
int vocab_json_check_config(const char *json, size_t bytes, struct mk_error *err);
/* Adds what tokenizer_config.json says. */
int vocab_read_config(struct vocab *v, const char *json, size_t bytes, struct mk_error *err);
/* "[PAD7]", or "[PAD7.1]" where another token is called so: what the writers call token 7 when it
 * has no text. */
bool vocab_is_pad_name(struct vocab_text t, int32_t id);
/* -1 when no token has this text. Linear: for the few names of a configuration. */
int32_t vocab_search(const struct vocab *v, const char *text, size_t n);

#endif
