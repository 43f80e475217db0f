/* vocab.h: what a tokenizer file says: token texts, merges, kinds, special tokens, the splitting
 * rule, the chat template.
 *
 * Filled from tokenizer.json (+ tokenizer_config.json) or from GGUF metadata; tokenizer/ builds its
 * tables from it. All ids are checked to lie in 0..n_tokens-1. Texts are bytes with a length, owned
 * by `vocab`. */
#ifndef MK_FORMATS_VOCAB_H
#define MK_FORMATS_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct gguf;
struct gguf_writer;

/* GPT-2 byte alphabet; SentencePiece-style with byte fallback. */
enum vocab_kind { VOCAB_BYTE_BPE, VOCAB_SPM_BPE };
/* USER: added, not "special". */
enum token_kind { TOKEN_NORMAL, TOKEN_SPECIAL, TOKEN_USER, TOKEN_BYTE, TOKEN_UNUSED };

struct vocab_text { const char *data; uint32_t n; };

/* A token that is looked for in the text itself, before splitting and merging. */
struct vocab_added {
    int32_t id;
    bool normalized;        /* looked for after the normaliser has run */
    bool lstrip, rstrip;    /* swallows white space on that side */
    bool single_word;       /* only where no letter, mark, digit or underscore touches it */
};

struct vocab {
    struct arena memory;             /* owns everything below */
    const char *name;                /* the file, for messages */
    enum vocab_kind kind;
    int32_t n_tokens;
    /* [v] as in the file (byte-BPE: GPT-2 alphabet; SPM: with U+2581); added tokens raw */
    struct vocab_text *texts;
    enum token_kind *kinds;          /* [v] */
    float *scores;                   /* [v] SPM from GGUF, else NULL (then merges rank) */
    /* [n_merges] left, right; rank = index. NULL for SPM with scores */
    struct vocab_text (*merges)[2];
    int64_t n_merges;
    struct vocab_added *added;       /* [n_added] */
    int32_t n_added;
    /* tokenizer.ggml.pre, or the name recognised from tokenizer.json's regexes; "" unknown */
    char pre_name[64];
    struct vocab_text *regexes;      /* split patterns in order; filled for known names too */
    int32_t n_regexes;
    /* per pattern: what lies between matches is kept (true) or dropped (false) */
    bool *regex_isolated;
    bool nfc, ignore_merges, byte_level_prefix_space; /* add_prefix_space of ByteLevel */
    /* what has no token becomes unk_id (a run of it: once); else it is dropped, and */
    bool unk_fallback, fuse_unk;
    /* ... what stood beside it may merge (false) or not (true: GGUF) */
    bool unk_barrier;
    bool byte_fallback;              /* SPM: characters without a token become <0xHH> tokens */
    bool spm_prefix_space;           /* SPM: U+2581 put in front of the text (add_dummy_prefix) */
    /* ... only in front of the whole text, not after special tokens */
    bool spm_prefix_first;
    bool spm_prefix_once;            /* ... not when the text begins with a space already */
    bool spm_split;                  /* SPM: no token reaches over a U+2581 inside it */
    bool add_bos, add_eos;           /* unknown is resolved by the reader to the family's habit */
    int32_t bos_id, eos_id, unk_id, pad_id; /* -1: none */
    struct vocab_text chat_template; /* "" when absent */
};

/* DIR/tokenizer.json, and where they exist tokenizer_config.json and chat_template.jinja. */
int vocab_from_tokenizer_json(struct vocab *v, const char *dir, struct mk_error *err);
int vocab_from_gguf(struct vocab *v, const struct gguf *g, const char *path, struct mk_error *err);
/* Same as the first from texts, for the fuzzer; config may be NULL. */
int vocab_from_texts(struct vocab *v, const char *name, const char *json, size_t json_bytes,
                     const char *config, size_t config_bytes, struct mk_error *err);
/* As tokenizer.ggml.* keys. n_rows: of the embedding; those beyond the tokens become unused ones.
 * MK_EUNSUPPORTED when GGUF has no name for the splitting rule. */
int vocab_to_gguf(const struct vocab *v, int32_t n_rows, struct gguf_writer *w,
                  struct mk_error *err);
/* As Hugging Face's two files. Texts are freed by vocab_json_release. What JSON cannot hold is left
 * out and said: `n_unnamed` tokens (no UTF-8, a NUL inside, or the text of an earlier token) keep
 * their place as "[PADn]", as unused ones do, but no text becomes them. */
struct vocab_json {
    char *tokenizer, *config; /* owned */
    int32_t n_unnamed;
    bool left_template;       /* the chat template is no UTF-8 */
};
int vocab_to_json(const struct vocab *v, struct vocab_json *out, struct mk_error *err);
/* Into a folder that is there; tokenizer.json last: with it the two are whole. */
int vocab_json_write(const struct vocab_json *j, const char *dir, struct mk_error *err);
void vocab_json_release(struct vocab_json *j);
void vocab_release(struct vocab *v);
/* SHA-256 of all that decides which ids a text gets: tokens, merges, patterns. */
int vocab_fingerprint(const struct vocab *v, unsigned char out[32], struct mk_error *err);

/* Whether text typed by a user must never become this token: special ones, and added ones that look
 * like markup. */
bool vocab_is_control(const struct vocab *v, int32_t id);
/* Whether plain text may become this token through merging. */
bool vocab_is_piece(const struct vocab *v, int32_t id);
/* Of a vocabulary with scores: every way to put a piece together from two others, the best score
 * first, of one piece the longest left part first. *list is the caller's to free. MK_ELIMIT when
 * there are over 16 million. */
struct vocab_way { int32_t left, right, id; };
int vocab_ways(const struct vocab *v, struct vocab_way **list, int64_t *n, struct mk_error *err);
/* 0..255 for "<0xHH>", else -1. No sign, no space, two digits: strtol would take "<0x-1>". */
int vocab_byte_value(struct vocab_text t);

#endif
