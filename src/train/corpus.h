/* corpus.h: what a run trains on: sources of shards, packed, mixed and shuffled, one sequence after
 * the other.
 *
 * Texts longer than a sequence are split. A conversation is not: an answer without its question
 * would be learned. It is cut behind the last answer that fits whole, and left out when none does;
 * a pair is left out when it does not fit.
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
 * position 0, and its last predicts nothing. Of pairs, fragments 2 i and 2 i + 1 belong together.
 */
struct corpus_fragment {
    const int32_t *ids;
    const unsigned char *learned;      /* [n] not 0 where an id is learned; NULL: all are */
    int32_t n;
    double reference;                  /* of pairs: see corpus_set_reference */
};

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
/* The next one that the mixture draws; the mixture has moved on then, its counters of tokens and
 * losses have not: mixture_count is the caller's to call. There is no end. */
struct corpus_sequence corpus_next(struct corpus *c);
/* The mixture inside: its counters may be read, mixture_count called, its state set. */
struct mixture *corpus_mixture(struct corpus *c);
/* Of all shards: what reading them maps into memory. */
uint64_t corpus_bytes(const struct corpus *c);
/* SHA-256 over the checksums of a source's shards and the length of sequences. */
int corpus_fingerprint(const struct corpus *c, int source, unsigned char out[32],
                       struct mk_error *err);
/* How the documents of a source were packed; of pairs each counts as one document. */
const struct packing *corpus_packing(const struct corpus *c, int source);

/* What did not fit into a sequence; of texts nothing is lost. */
struct corpus_loss {
    int64_t n_documents;               /* of the source; pairs count as one here */
    int64_t n_cut, n_left_out;         /* documents */
    int64_t n_tokens;                  /* of both */
};
struct corpus_loss corpus_loss(const struct corpus *c, int source);
/* What its shards hold. */
enum token_shard_kind corpus_kind(const struct corpus *c, int source);
/* How many ids of a shard's document are trained on in sequences of so many tokens. */
int64_t corpus_fit(const struct token_shard *s, int64_t document, int32_t length);

/* ---- Pairs (see dpo.h) ----------------------------------------------------------------------- */

/* Whether it holds pairs: all of its sources do, or none. */
bool corpus_has_pairs(const struct corpus *c);
/* Pairs of a source, those left out too. */
int64_t corpus_n_pairs(const struct corpus *c, int source);
/* Both conversations of a pair in memory that lasts until the next call or corpus_next; false when
 * it is left out. */
bool corpus_pair(struct corpus *c, int source, int64_t pair, struct corpus_fragment out[2]);
/* What fragments of this source carry as `reference`: [2 * n_pairs] borrowed. */
void corpus_set_reference(struct corpus *c, int source, const double *reference);

#endif
