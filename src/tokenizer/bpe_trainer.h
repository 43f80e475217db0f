/* bpe_trainer.h: what a trainer is made of. For bpe_train*.c only. */
#ifndef MK_TOKENIZER_BPE_TRAINER_H
#define MK_TOKENIZER_BPE_TRAINER_H

#include "tokenizer/bpe_train.h"
#include "tokenizer/byte_table.h"
#include "tokenizer/split.h"

/* Two neighbours and the words in which they were seen side by side; some no longer are. */
struct train_pair {
    int32_t left, right;
    int64_t count;             /* exact; 0: merged, or never to be merged */
    uint32_t *words;           /* [n_words] owned */
    uint32_t n_words, capacity;
    bool raised;               /* its count grew during this merge */
    bool banned;               /* merged already, or would spell a special token */
};

struct train_entry { int64_t count; uint32_t pair; }; /* count: when it was put in */

struct train_merge { int32_t left, right; };

struct bpe_trainer {
    struct bpe_train_options o;
    struct bpe_train_report report;
    uint8_t *classes;             /* [UNICODE_N_CLASSES] */
    struct splitter splitter;
    struct byte_table words;      /* value: how often */
    struct byte_table tokens;     /* spellings in bytes; value: id, or -1 for what is forbidden */
    size_t *spelling;             /* [n_vocab] item of `tokens` for an id; SIZE_MAX: special */
    struct train_merge *merges;   /* [report.n_merges] */
    size_t merges_capacity;
    /* while running */
    int32_t *symbols;             /* the words' ids, each at its item's begin */
    uint32_t *lengths;            /* [words.n] ids left in a word */
    struct train_pair *pairs;     /* [n_pairs] */
    size_t n_pairs, pairs_capacity;
    uint32_t *slots;              /* [n_slots] pair + 1; open addressing */
    size_t n_slots;
    struct train_entry *heap;     /* [n_heap] the best first */
    size_t n_heap, heap_capacity;
    uint32_t *raised;             /* [n_raised] pairs whose count grew during this merge */
    size_t n_raised, raised_capacity;
};

/* The split rules of this trainer, in order; returns how many. */
int bpe_trainer_rules(const struct bpe_trainer *t, enum split_rule rules[MK_MAX_SPLITS]);

#endif
