/* bpe.h: byte pair encoding: which two neighbours merge, and merging a piece until none do.
 *
 * Of all neighbouring pairs the one of lowest rank merges first, the leftmost among equals
 * (Sennrich et al. 2016; the order is that of Hugging Face tokenizers and of llama.cpp). Ranks need
 * not rise with the length of the result. */
#ifndef MK_TOKENIZER_BPE_H
#define MK_TOKENIZER_BPE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define BPE_NO_RANK UINT32_MAX

struct bpe_merge { uint32_t rank; int32_t result; };
struct bpe_pair { int32_t left, right; struct bpe_merge merge; };

struct bpe_table {
    struct bpe_pair *slots; /* owned; left < 0 is free; open addressing */
    uint64_t mask;
};

int bpe_table_init(struct bpe_table *t, int64_t n_merges, struct mk_error *err);
void bpe_table_release(struct bpe_table *t);
/* 1 when the pair was there already (the older entry stays), else 0. */
int bpe_table_add(struct bpe_table *t, struct bpe_pair pair);
/* rank BPE_NO_RANK when the two never merge; negative symbols never do. */
struct bpe_merge bpe_table_find(const struct bpe_table *t, int32_t left, int32_t right);

/* Working memory of one encoding, one thread; grows and is reused. Start from {0}. */
struct bpe_scratch { void *memory; size_t bytes; };
void bpe_scratch_release(struct bpe_scratch *s);

/* Merges symbols[n] in place and returns in *n how many are left. O(n log n) for any input. */
int bpe_merge(const struct bpe_table *t, int32_t *symbols, size_t *n, struct bpe_scratch *scratch,
              struct mk_error *err);

#endif
