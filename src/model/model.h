/* model.h: the weights of one model, packed and ready to be multiplied with, and the kinds of parts
 * it is made of.
 *
 * A model is read-only after model_load and may be shared. Every weight lives in its one arena; the
 * file is not needed afterwards. A new attention, feed-forward, router or residual is a new file
 * and a line in a table of kinds: the parts know one another only through the structs below. */
#ifndef MK_MODEL_MODEL_H
#define MK_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/exec.h"
#include "formats/arch.h"
#include "formats/tensors.h"
#include "kernels/packed.h"
#include "minke.h"
#include "model/names.h"
#include "model/rope.h"

struct loader;
struct model;
struct step;

/* How tokens look at one another. x [t, d_model] normed in, out [t, d_model]; the residual is the
 * block's. */
struct attention_kind {
    const char *name;
    int (*load)(struct loader *ld, int32_t layer, void **weights, struct mk_error *err);
    int32_t (*row_dim)(const struct model *m); /* values a token leaves in the cache of one layer */
    int (*forward)(struct step *s, const void *weights, int32_t layer, const float *x, float *out,
                   struct mk_error *err);
};

/* What each token does alone. x [t, d_model] normed in, out [t, d_model]. */
struct ffn_kind {
    const char *name;
    int (*load)(struct loader *ld, int32_t layer, void **weights, struct mk_error *err);
    int (*forward)(struct step *s, const void *weights, int32_t layer, const float *x, float *out,
                   struct mk_error *err);
};

/* How a sublayer reads the residual stream and writes its result back. Plain: one stream of
 * d_model; h + out. */
struct residual_kind {
    const char *name;
    void (*read)(struct step *s, const float *gain, const float *h, float *x); /* h -> normed x */
    void (*write)(struct step *s, float *h, const float *out);
};

struct layer {
    const struct attention_kind *attention;
    const struct ffn_kind *ffn;
    void *attention_weights, *ffn_weights;  /* of the kind; in the model's arena */
    const float *attention_norm, *ffn_norm; /* [d_model] */
};

/* Multi-token prediction (V3 report, section 2.2): one more block that sees the next token's
 * embedding too. */
struct mtp {
    const float *embed_norm, *hidden_norm, *final_norm; /* [d_model] */
    struct packed proj;                                 /* [d_model, 2 d_model]: embedding first */
    struct layer layer;                                 /* its cache layer is n_layers + index */
};

struct model_options {
    enum mk_numerics numerics;
    enum mk_mla mla;
    bool with_mtp, check_tensors;
    bool refill; /* remember where weights came from, for model_refill */
    /* May be NULL; a return other than 0 cancels. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
};

/* Where one weight came from; the tensor's memory is borrowed. */
struct weight_origin {
    struct weight_origin *next;
    struct weight_src src;
    struct packed packed; /* a matrix, or */
    float *vector;        /* [n_in], else NULL */
};

struct model {
    struct arch arch;
    struct model_options options;
    struct rope rope;
    struct arena memory;       /* everything below */
    struct packed embed, head; /* [v, d_model]; a tied head shares the embedding's panels */
    const float *final_norm;   /* [d_model] */
    const struct residual_kind *residual;
    struct layer *layers; /* [n_layers] */
    struct mtp *mtp;      /* [n_mtp] */
    int32_t n_mtp;        /* loaded: 0 unless asked for and there */
    uint64_t n_params, n_params_active, weight_bytes;
    struct weight_origin *origins, **origin; /* with options.refill: a list, and [n_origins] */
    int64_t n_origins;
};

/* Packs the weights that `a` asks for out of `t`; shapes are checked. `m` takes nothing over; on
 * failure it is empty. */
int model_load(struct model *m, const struct arch *a, const struct tensors *t,
               enum name_style style, const struct model_options *options, struct mk_error *err);
void model_release(struct model *m);
/* Packs every weight again after the tensors' values have changed; they must still lie where
 * model_load found them. The model was loaded with options.refill. */
void model_refill(struct model *m, struct exec *ex);
/* Layers that have a cache: the model's own and the loaded MTP blocks. */
int32_t model_cache_layers(const struct model *m);
/* Values in one cached row, of every layer. */
int32_t model_row_dim(const struct model *m);

/* The kinds there are: one line each in kinds.c. */
const struct attention_kind *attention_kind_for(const struct arch *a,
                                                const struct model_options *o);
const struct ffn_kind *ffn_kind_for(const struct arch *a, int32_t layer);
const struct residual_kind *residual_kind_for(const struct arch *a);

extern const struct attention_kind attention_gqa, attention_mla_absorbed, attention_mla_expanded,
    attention_mla_fast;
extern const struct ffn_kind ffn_dense, ffn_moe;
extern const struct residual_kind residual_plain;

#endif
