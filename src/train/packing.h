/* packing.h: documents laid into sequences of one length, with as little left over as best fit
 * leaves (Ding et al. 2024, "Fewer Truncations Improve Language Modeling").
 *
 * Longest documents first, each into the sequence with the least room that still holds it. Only a
 * document longer than a sequence is split: into whole sequences, and a rest that is packed like a
 * document. Fragments of one sequence must not see one another: that is the document mask.
 * Sequences are in the order of the text, by the fragment that opened each.
 *
 * The same lengths give the same packing: among equals the lower document is first, and of
 * sequences with equal room the one that came to it last is taken. Time: documents + length, times
 * a small logarithm. */
#ifndef MK_TRAIN_PACKING_H
#define MK_TRAIN_PACKING_H

#include <stdint.h>

#include "base/error.h"

#define PACKING_MAX_LENGTH (1 << 24)

struct fragment {
    int64_t document;
    int64_t begin;   /* tokens of the document before it */
    int32_t n;       /* tokens, >= 1 */
};

struct packing {
    int32_t length;               /* of a sequence, in tokens */
    int64_t n_sequences, n_fragments;
    int64_t n_tokens;             /* n_sequences * length - n_tokens are left over */
    struct fragment *fragments;   /* [n_fragments] sequence by sequence; owned */
    int64_t *first;               /* [n_sequences + 1] a sequence's first fragment; owned */
};

/* lengths [n_documents] in tokens; 0: left out. 1 <= length < PACKING_MAX_LENGTH. */
int packing_init(struct packing *p, const int64_t *lengths, int64_t n_documents, int32_t length,
                 struct mk_error *err);
void packing_release(struct packing *p);

#endif
