/* fim.h: fill-in-the-middle: some documents are told with their middle last, so that a model learns
 * to fill holes (Bavarian et al. 2022; DeepSeek-V3 report 4.1: form PSM, rate 0.1).
 *
 *     <fim_begin> prefix <fim_hole> suffix <fim_end> middle
 *
 * The cuts are drawn over characters of the text, before it becomes tokens, and keyed by (seed,
 * document): they depend on nothing else. */
#ifndef MK_TRAIN_FIM_H
#define MK_TRAIN_FIM_H

#include <stdbool.h>

#include "tokenizer/tokenizer.h"

struct fim {
    double rate;                /* 0..1 of the documents */
    uint64_t seed;
    int32_t begin, hole, end;   /* ids of the three tokens */
    bool specials; /* control tokens in texts count: for texts that nobody else wrote */
};

/* Finds DeepSeek's three tokens; MK_ENOTFOUND when the vocabulary has none. With rate 0 it always
 * succeeds. */
int fim_init(struct fim *f, const struct tokenizer *t, double rate, uint64_t seed,
             struct mk_error *err);
/* Whether this document is told that way, and where its middle lies: text[*from..*to), cut between
 * characters. */
bool fim_cut(const struct fim *f, uint64_t document, const char *text, size_t n, size_t *from,
             size_t *to);
/* Appends the document's ids, in either form; nothing before or behind. */
int fim_encode(const struct fim *f, const struct tokenizer *t, uint64_t document, const char *text,
               size_t n, struct ids *out, struct mk_error *err);

#endif
