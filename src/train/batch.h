/* batch.h: the sequences of one step, drawn from a corpus: every fragment of a packed sequence is a
 * sequence of its own, since it must not see its neighbours. One packed sequence in ten, chosen by
 * seed and number, keeps all its choices of experts (V2 report, 2.2.4). */
#ifndef MK_TRAIN_BATCH_H
#define MK_TRAIN_BATCH_H

#include "train/corpus.h"
#include "train/pass.h"

/* Where a sequence came from. */
struct batch_origin {
    int32_t source;   /* of the corpus */
    int32_t n_targets;
    /* Of pairs, see dpo.h: */
    int64_t pair;     /* of the source */
    double reference; /* log-probability of the answer under the reference */
    double loss;      /* to be filled in, for the first of two */
    float *weight;    /* [n_ids] the sequence's, to be filled in */
};

struct batch {
    struct train_seq *seqs;       /* [n_seqs] with losses to be filled in */
    struct batch_origin *origins; /* [n_seqs] */
    int32_t n_seqs;
    bool pairs; /* sequences 2 i and 2 i + 1 answer the same prompt: chosen, rejected */
    int64_t n_tokens, n_targets;
};

/* n_sequences of the corpus; memory is the caller's, and outlives the batch. */
int batch_draw(struct batch *b, struct corpus *c, int32_t n_sequences, struct arena *memory,
               struct mk_error *err);
/* Pairs of one source from *pair on, which moves, until they have so many tokens or are over; the
 * batch is empty then. */
int batch_draw_pairs(struct batch *b, struct corpus *c, int source, int64_t *pair, int64_t tokens,
                     struct arena *memory, struct mk_error *err);
/* Of sequence i: how many losses it has, and their sum. A pair has one, its first sequence's. */
double batch_loss(const struct batch *b, int32_t i, int64_t *n);
/* Tells the corpus what was learned from each source. */
void batch_count(const struct batch *b, struct corpus *c);
/* How many sequences from `first` on have at most `tokens` tokens together; at least one, or one
 * pair, or one beginning with all that goes on behind it: they stay together. */
int32_t batch_cut(const struct batch *b, int32_t first, int64_t tokens);

#endif
