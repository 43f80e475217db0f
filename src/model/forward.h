/* forward.h: the one forward pass, for serving, rollouts and training alike.
 *
 * A step takes any number of sequences, each with any number of new tokens, and computes them
 * together; what a token's numbers are depends on its own sequence alone. Backward asks the same
 * pass to keep what it needs. */
#ifndef MK_MODEL_FORWARD_H
#define MK_MODEL_FORWARD_H

#include "kernels/kernels.h"
#include "model/capacity.h"
#include "model/model.h"
#include "model/saved.h"

/* The new tokens of one sequence. */
struct forward_seq {
    const int32_t *ids;      /* [n_ids], each in 0 .. n_vocab - 1; n_ids >= 1 */
    int32_t n_ids, position; /* of the first id */
    /* [l] cached rows of each layer from position 0 on, kv_row_bytes apart, with room for the new
     * ones; the rows before `position` are there. */
    unsigned char *const *kv;
    float *logits; /* [n_logits, v] of the last n_logits ids, or NULL */
    int32_t n_logits;
    /* The rows before `position` are those of that sequence of the step, which has so many: they
     * are copied from its cache, layer by layer. NULL: they are there. */
    const struct forward_seq *prefix;
    /* The first n_shared rows of `kv` once more, from a copy that several sequences name (struct
     * attend_seq): for speed alone. NULL: they have nothing in common. */
    unsigned char *const *shared_kv;
    int32_t n_shared; /* <= position */
    bool keep_all; /* its choices are not dropped, see capacity.h */
    float *hidden; /* [n_ids, d_model] after the final norm (what MTP reads), or NULL */
};

/* What a pass keeps, or takes as given. Storage is the caller's; a NULL member is not kept. What
 * the saved blocks point to lies in the pass's memory. */
struct forward_keep {
    struct block_saved *blocks; /* [n_layers + n_mtp]; `keep` is set by the caller */
    struct mtp_saved *mtp;      /* [n_mtp] */
    const float **final_in;     /* [1 + n_mtp] of [t, d_model] before the final norm of the model
                                 * and of each MTP block */
    /* [n_layers + n_mtp, t, n_experts_used] chosen by the routers in order of rank, with their
     * weights; rows of dense layers are left as they are. An MTP block has fewer rows than the
     * model; layers are layer_rows apart (0: as many as the step has). */
    int64_t layer_rows;
    int32_t *experts;
    float *expert_weights;
    /* Router replay: in the same layout, the experts that every token must go to; their weights
     * follow from this pass's own scores. */
    const int32_t *forced_experts;
    struct capacity capacity;
};

/* Everything temporary comes from `memory`, which the caller resets between steps. The first
 * failure is returned; cached rows of the new positions are then undefined. */
int model_forward(const struct model *m, struct compute *c, struct arena *memory,
                  enum dtype kv_dtype, const struct forward_seq *seqs, int32_t n_seqs,
                  struct forward_keep *keep, struct mk_error *err);

/* Predicts one token further: ids[i] is the token after the one whose `hidden` row [n_ids, d_model]
 * is given, position the place of that row. kv[n_layers + index] holds the block's own cache;
 * logits as above. index < m->n_mtp. */
int model_forward_mtp(const struct model *m, struct compute *c, struct arena *memory,
                      enum dtype kv_dtype, int32_t index, const struct forward_seq *seq,
                      const float *hidden, struct mk_error *err);

#endif
