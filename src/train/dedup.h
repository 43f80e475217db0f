/* dedup.h: finds documents that were there before, to the byte or nearly.
 *
 * Exact: the first 128 bits of SHA-256. Near: MinHash (Broder 1997) over shingles of words,
 * candidates by locality-sensitive hashing in bands (Leskovec et al., "Mining of Massive Datasets",
 * 3.4), and the share of equal minima against the threshold. White space, ASCII punctuation and
 * ASCII case make no difference.
 *
 * The first of a group is kept; a band remembers its first document alone. Which documents are
 * dropped depends on their order, the options and nothing else. Memory: about 60 bytes a document
 * kept, and for near duplicates bands * (4 rows + 60) more. One owner. */
#ifndef MK_TRAIN_DEDUP_H
#define MK_TRAIN_DEDUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DEDUP_MAX_HASHES 1024

struct dedup_options {
    bool near;            /* besides exact ones */
    double threshold;     /* least similarity of a near duplicate: 0.8 */
    int32_t shingle;      /* words: 5; a shorter document is one shingle */
    int32_t bands, rows;  /* 16 x 8: at similarity s a pair is seen with 1 - (1 - s^rows)^bands */
    uint64_t seed;
};

struct dedup_options dedup_defaults(void);

enum dedup_kind { DEDUP_KEEP, DEDUP_EXACT, DEDUP_NEAR };

struct dedup_verdict {
    enum dedup_kind kind;
    int64_t of;           /* the number of the document that it repeats, from 0 as they came */
    double similarity;    /* estimated share of common shingles; 1 for exact */
};

struct dedup_report {
    int64_t n_documents, n_exact, n_near;
    int64_t n_bytes, exact_bytes, near_bytes;
};

struct dedup;
int dedup_create(struct dedup **d, const struct dedup_options *o, struct mk_error *err);
void dedup_free(struct dedup *d);
int dedup_add(struct dedup *d, const char *text, size_t n, struct dedup_verdict *v,
              struct mk_error *err);
struct dedup_report dedup_report(const struct dedup *d);

#endif
