/* vocab.h: what a tokenizer file says: token texts, merges, kinds, special tokens, the splitting rule, the chat template.
 *
 * Filled from tokenizer.json (+ tokenizer_config.json) or from GGUF metadata; tokenizer/ builds its tables from it. All
 * ids are checked to lie in 0..n_tokens-1 (api.md 6, rows 7, 11-14, 19). Texts are bytes with a length, owned by `vocab`. */
#ifndef MK_FORMATS_VOCAB_H
#define MK_FORMATS_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct gguf;

enum vocab_kind { VOCAB_BYTE_BPE, VOCAB_SPM_BPE };   /* GPT-2 byte alphabet; SentencePiece-style with byte fallback */
enum token_kind { TOKEN_NORMAL, TOKEN_SPECIAL, TOKEN_USER, TOKEN_BYTE, TOKEN_UNUSED }; /* USER: added, not "special" */

struct vocab_text { const char *data; uint32_t n; };

struct vocab {
    struct arena memory;             /* owns everything below */
    enum vocab_kind kind;
    int32_t n_tokens;
    struct vocab_text *texts;        /* [v] as in the file (byte-BPE: GPT-2 alphabet; SPM: with U+2581); added tokens raw */
    enum token_kind *kinds;          /* [v] */
    float *scores;                   /* [v] SPM from GGUF, else NULL (then merges rank) */
    struct vocab_text (*merges)[2];  /* [n_merges] left, right; rank = index. NULL for SPM with scores */
    int64_t n_merges;
    char pre_name[64];               /* tokenizer.ggml.pre, or the name recognised from tokenizer.json's regexes; "" unknown */
    struct vocab_text *regexes;      /* Split patterns of tokenizer.json in order; used when pre_name is "" */
    int32_t n_regexes;
    bool *regex_isolated;            /* per pattern: behaviour Isolated (true) or Removed/other (refused by the reader) */
    bool nfc, ignore_merges, byte_level_prefix_space; /* add_prefix_space of ByteLevel */
    bool spm_prefix_space;           /* SPM: U+2581 put in front of the text (add_dummy_prefix) */
    bool add_bos, add_eos;           /* -1 unknown is resolved by the reader to the family's habit */
    int32_t bos_id, eos_id, unk_id, pad_id; /* -1: none */
    struct vocab_text chat_template; /* "" when absent */
};

int vocab_from_tokenizer_json(struct vocab *v, const char *dir, struct mk_error *err); /* DIR/tokenizer.json, tokenizer_config.json, chat_template.jinja */
int vocab_from_gguf(struct vocab *v, const struct gguf *g, const char *path, struct mk_error *err);
/* Same as the first from texts, for the fuzzer; config may be NULL. */
int vocab_from_texts(struct vocab *v, const char *name, const char *json, size_t json_bytes, const char *config, size_t config_bytes, struct mk_error *err);
void vocab_release(struct vocab *v);

#endif
