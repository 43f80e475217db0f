/* overlap.h: has a model read the questions that it is asked? Runs of 13 words that a question
 * shares with texts or token shards (Brown et al., "Language Models are Few-Shot Learners",
 * appendix C).
 *
 * Words are runs of letters and digits, ASCII case makes no difference, what stands between them
 * does not count; a run lies within one document. A question of fewer words cannot be judged. Runs
 * are compared by hashes of 64 bits: two different ones are held equal once in 2^64 comparisons.
 * Memory: about 32 bytes a word of the questions, nothing for the texts. One owner. */
#ifndef MK_EVAL_OVERLAP_H
#define MK_EVAL_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tokenizer/tokenizer.h"

#define OVERLAP_WORDS 13

struct overlap;
int  overlap_create(struct overlap **o, struct mk_error *err);
void overlap_free(struct overlap *o);

/* A question that is to be looked for. */
int overlap_add(struct overlap *o, const char *text, size_t n, struct mk_error *err);

/* Then documents, each in pieces of any length. source: a number of the caller's, 0 or more. */
void overlap_feed(struct overlap *o, const char *text, size_t n, int32_t source);
void overlap_end_document(struct overlap *o);

/* Looks through a file or folder: shards (*.tokens, below sub-folders too, such as a run's; ids of
 * tokenizer t, MK_EUNSUPPORTED for another vocabulary) where there are any, else texts
 * (formats/text_source.h; of a JSONL file every string). stop: see eval.h. */
int overlap_read(struct overlap *o, const char *path, int32_t source, const struct tokenizer *t,
                 bool (*stop)(void *user), void *user, struct mk_error *err);

struct overlap_verdict {
    bool judged, found;
    size_t begin, end; /* of the first run that was found, in the question's bytes */
    int32_t source;    /* where it was found first */
};
struct overlap_verdict overlap_of(const struct overlap *o, const char *text, size_t n);

#endif
