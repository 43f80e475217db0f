/* tables.h: what a tokenizer is made of. For the files of this folder only. */
#ifndef MK_TOKENIZER_TABLES_H
#define MK_TOKENIZER_TABLES_H

#include "tokenizer/added.h"
#include "tokenizer/bpe.h"
#include "tokenizer/split.h"
#include "tokenizer/text_map.h"
#include "tokenizer/tokenizer.h"

struct tokenizer {
    struct vocab v;
    uint8_t *classes;               /* [UNICODE_N_CLASSES] */
    struct vocab_text *bytes;       /* [v] what each token stands for */
    char *bytes_memory;
    struct text_map by_text;        /* every token, as the file spells it */
    struct text_map pieces; /* tokens that plain text may become, as pieces are spelled: bytes, or
                               SPM with U+2581 */
    size_t longest_piece;           /* bytes */
    uint8_t *whole; /* [v] 1: a piece with this text becomes this token alone, without looking at
                       merges */
    struct bpe_table merges;
    struct bpe_table
        joins; /* SPM: pairs of code points that occur side by side inside some token */
    struct splitter splitter;
    struct added_set added[2][2];   /* [normalized][controls too] */
    int32_t byte_ids[256];          /* -1: none */
};

/* Working memory of one tokenizer_encode. */
struct encoder {
    const struct tokenizer *t;
    struct ids *out;
    bool specials;
    int32_t *symbols;
    size_t capacity;
    struct bpe_scratch scratch;
    size_t segment_begin; /* ids before this belong to an earlier segment: unknowns do not fuse with
                             them */
    bool joined; /* what comes next goes on behind plain text that was cut: no space in front */
};

/* Symbols of a piece before merging; -1 keeps its neighbours apart and is not emitted. */
int encoder_symbols(struct encoder *e, const unsigned char *piece, size_t n, size_t *n_symbols,
                    struct mk_error *err);
/* Appends the ids of one piece. */
int encoder_piece(struct encoder *e, const unsigned char *piece, size_t n, struct mk_error *err);
void encoder_release(struct encoder *e);

/* SPM; spm.c. Fills t->merges from scores when the file has no merges, and t->joins. */
int spm_tables(struct tokenizer *t, struct mk_error *err);
/* Ids of one segment. at_begin: it begins the whole text. */
int spm_encode(struct encoder *e, const unsigned char *text, size_t n, bool at_begin,
               struct mk_error *err);

#endif
