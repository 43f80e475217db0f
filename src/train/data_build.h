/* data_build.h: text sources become shards of token ids: filtered, without duplicates, tokenised by
 * all threads.
 *
 * Documents are taken in order; a document's ids depend on it, its number in the source and the
 * options alone, so the shards are the same bytes whatever the number of threads. */
#ifndef MK_TRAIN_DATA_BUILD_H
#define MK_TRAIN_DATA_BUILD_H

#include "base/exec.h"
#include "formats/text_source.h"
#include "tokenizer/tokenizer.h"
#include "train/chat_data.h"
#include "train/dedup.h"
#include "train/quality.h"

struct data_build_options {
    const char *name;                 /* of the source: shards are NAME-00000.tokens and on */
    const char *const *paths;         /* [n_paths] files and folders */
    int n_paths;
    struct text_source_options text;
    bool filter, drop_copies;
    struct quality_options quality;
    struct dedup_options dedup;
    double fim_rate;                  /* 0..1, see fim.h */
    uint64_t seed;                    /* of fill-in-the-middle */
    bool add_bos, add_eos;            /* around every document */
    bool specials;                    /* control tokens in texts count */
    /* Conversations, or pairs of them, in place of texts: shards have a mask. Borrowed, or NULL.
     * Filters, near copies, fill-in-the-middle, BOS and EOS are of texts alone. */
    const struct chat_data *chat;
    int64_t shard_tokens;             /* a shard ends with the document that reaches it */
    /* Called between documents with bytes of the files, as they lie; a return other than 0
     * cancels. May be NULL. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
};

/* Filters and duplicates on, BOS and EOS where the vocabulary has them, 2^27 tokens a shard. name
 * and paths are left to fill in. */
struct data_build_options data_build_defaults(const struct tokenizer *t);

struct data_build_report {
    struct text_source_counts read;
    struct quality_report quality;    /* n[QUALITY_KEEP] includes what was dropped as a copy */
    struct dedup_report dedup;
    int64_t n_documents, n_tokens;    /* written; a pair is two documents */
    int64_t n_learned, n_answers;     /* of conversations: tokens, and turns of the assistant */
    int32_t n_shards;
};

/* Writes into the folder `dir`, which must exist. On failure whole shards may stay; none is half
 * written. Every path is looked for before any is read. A conversation that cannot be learned from
 * is an error with its file and line, or with text.skip_bad one more bad line. */
int data_build(const struct tokenizer *t, const struct data_build_options *o, struct exec *ex,
               const char *dir, struct data_build_report *report, struct mk_error *err);

#endif
