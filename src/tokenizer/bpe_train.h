/* bpe_train.h: learns a byte-level BPE vocabulary from text (Sennrich et al. 2016; bytes as in
 * GPT-2) and writes it as tokenizer.json.
 *
 * Text is cut as DeepSeek V3 cuts it; digits stand alone, or up to three stay together. The most
 * frequent pair of neighbours becomes a token, again and again; among equals the pair whose left id
 * is lower wins, then the one whose right id is. So the result depends on the text as a bag of
 * pieces alone: not on the order of files, and it is the one that Python `tokenizers` learns.
 * Ids: special tokens as given, the 256 bytes in the order of GPT-2's alphabet, then merges.
 *
 * A trainer belongs to one thread. Time: the text, then for each merge the words that hold the
 * pair; memory: the different pieces and, for each pair, the words that hold it. */
#ifndef MK_TOKENIZER_BPE_TRAIN_H
#define MK_TOKENIZER_BPE_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Longer pieces (runs of one character, base64) are left out: they teach nothing. */
#define BPE_TRAIN_MAX_PIECE 1024

struct bpe_train_options {
    int32_t n_vocab;              /* special tokens and bytes included */
    int64_t min_count;            /* pairs seen less often do not become tokens */
    bool keep_digits;             /* up to three digits in a token, exactly as DeepSeek V3 */
    const char *const *specials;  /* borrowed until bpe_trainer_free; UTF-8 */
    int32_t n_specials;
};

/* 4,096 tokens, pairs from 2 on, digits apart, DeepSeek's special tokens: begin and end of
 * sentence, padding, user, assistant, <think>, </think>, and the three of fill-in-the-middle. The
 * two of thoughts are added tokens that decoding shows, all others are special and hidden. */
struct bpe_train_options bpe_train_defaults(void);

struct bpe_train_report {
    int64_t n_bytes, n_pieces;   /* of the text */
    int64_t n_words;             /* different pieces */
    int64_t n_left_out;          /* pieces over BPE_TRAIN_MAX_PIECE */
    int32_t n_tokens, n_merges;  /* learned; fewer than asked when the text has no more pairs */
    int64_t last_count;          /* of the last merge */
};

struct bpe_trainer;
int bpe_trainer_create(struct bpe_trainer **t, const struct bpe_train_options *o,
                       struct mk_error *err);
void bpe_trainer_free(struct bpe_trainer *t);
/* Counts the pieces of one document, any bytes. Not after bpe_trainer_run. */
int bpe_trainer_add(struct bpe_trainer *t, const char *text, size_t n, struct mk_error *err);
/* Once. */
int bpe_trainer_run(struct bpe_trainer *t, struct mk_error *err);
struct bpe_train_report bpe_trainer_report(const struct bpe_trainer *t);
/* After bpe_trainer_run: what was learned; borrows names of special tokens. */
struct vocab;
int bpe_trainer_vocab(const struct bpe_trainer *t, struct vocab *v, struct mk_error *err);
/* That as tokenizer.json and tokenizer_config.json of the folder `dir`, which is made when it is
 * not there. */
int bpe_trainer_write(const struct bpe_trainer *t, const char *dir, struct mk_error *err);

#endif
