/* corpus.h: what a run trains on: sources of shards, packed, mixed and shuffled, one sequence after
 * the other.
 *
 * Where a run stands in it is the `struct mixture_state` in `mixture.state`: put it back after
 * corpus_open with the same options, and the same sequences follow. One owner. */
#ifndef MK_TRAIN_CORPUS_H
#define MK_TRAIN_CORPUS_H

#include "formats/token_shard.h"
#include "train/mixture.h"
#include "train/packing.h"

struct corpus_source {
    const char *name;                  /* must outlive the corpus */
    const char *const *shards;         /* [n_shards] paths, in order; n_shards >= 1 */
    int n_shards;
    int n_points;                      /* weights over tokens, see mixture.h */
    struct mixture_point points[MIXTURE_MAX_POINTS];
    /* The share of its sequences that is read, in the order of packing: 0 and 0.9 for training, 0.9
     * and 1 for validation. `end` 0: to the last. */
    double begin, end;
};

struct corpus_options {
    const struct corpus_source *sources; /* [n_sources] borrowed until corpus_open returns */
    int n_sources;
    int32_t length;                    /* tokens of a sequence */
    uint64_t seed;
    const struct token_shard_key *key; /* of the vocabulary; NULL: any */
};

/* A document or a part of one. Fragments do not see one another: the first id of each is at
 * position 0, and its last predicts nothing. */
struct corpus_fragment { const int32_t *ids; int32_t n; };

/* Borrowed until the next corpus_next. */
struct corpus_sequence {
    int source;
    int64_t epoch;                     /* of the source */
    int32_t n_tokens, n_fragments;
    const struct corpus_fragment *fragments;
};

struct corpus;
/* Maps and checks every shard. */
int corpus_open(struct corpus **c, const struct corpus_options *o, struct mk_error *err);
void corpus_close(struct corpus *c);
/* The mixture inside: its counters may be read, mixture_count called, its state set. */
struct mixture *corpus_mixture(struct corpus *c);
/* How the documents of a source were packed. */
const struct packing *corpus_packing(const struct corpus *c, int source);
struct corpus_sequence corpus_next(struct corpus *c);
/* Of all shards: what reading them maps into memory. */
uint64_t corpus_bytes(const struct corpus *c);

#endif
