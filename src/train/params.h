/* params.h: the weights of a model as training sees them: f32 masters by name, with their
 * gradients.
 *
 * The forward pass runs on packed copies (model/): params_pack makes them anew after every step of
 * the optimiser. Matrices lie as in Hugging Face's files: [out, in], rows contiguous. */
#ifndef MK_TRAIN_PARAMS_H
#define MK_TRAIN_PARAMS_H

#include "formats/model_file.h"
#include "model/model.h"
#include "train/lora.h"

/* Sums that must not mix while a step is accumulated, see struct param. */
#define MK_MAX_STREAMS 8

struct param {
    char name[MK_NAME_BYTES]; /* Hugging Face's */
    enum weight_role role;
    int32_t layer, expert; /* 0 where the role has none */
    int32_t n_dims;        /* 1 or 2 */
    int64_t shape[2];      /* [n] or [out, in] */
    int64_t n;             /* values */
    float *w;              /* [shape] master */
    /* [n_streams, shape], or NULL while frozen. The embedding and the head are used in several
     * places of one pass; each place adds to a stream of its own, so that the sum over tokens does
     * not depend on how a step is cut into passes. params_join adds them up into the first. */
    float *grad;
    int32_t n_streams;
    /* What products take instead of w, see narrow.h; F32: w itself. */
    enum dtype compute;   /* MK_F32, MK_BF16 or MK_F8_E4M3 */
    float *rounded;       /* FP8: [shape], else NULL: products of bf16 round masters themselves */
    unsigned char *bytes; /* [shape] of the type, what model_load reads; or NULL */
    float *scales;        /* FP8: [ceil(out / 128), ceil(in / 128)] */
    struct lora *lora;    /* what learns in its place, or NULL */
    bool adapter;         /* such a part: no weight of the model */
    bool frozen;          /* no gradient wanted */
    bool buffer;          /* never has one: the bias of the V3 router */
};

struct params {
    struct arch arch; /* of a Hugging Face folder: n_mtp blocks are trained too */
    struct param *items;
    int64_t n_items;
    uint64_t n_values;
    int64_t *slots; /* [(n_layers + n_mtp) * W_N_ROLES] index of the first of a role, or -1 */
    struct arena memory;
    struct tensors view; /* of the masters, for model_load */
    struct lora_options lora;
};

/* All weights that `a` asks for, zero. */
int params_init(struct params *p, const struct arch *a, struct mk_error *err);
/* Matrices from N(0, std^2), norms 1, biases 0; the numbers follow from seed and name alone. */
void params_randomise(struct params *p, uint64_t seed, double std);
/* Weights of any model that can be run: layouts of GGUF are turned back, quantised weights become
 * f32. MTP blocks are left out unless asked for. */
int params_read(struct params *p, const struct model_file *file, bool with_mtp,
                struct mk_error *err);
void params_release(struct params *p);

/* NULL when the architecture has none of that role. */
struct param *params_get(const struct params *p, enum weight_role role, int32_t layer,
                         int32_t expert);
/* By name; NULL when there is none. */
struct param *params_find(const struct params *p, const char *name);
/* Whether a name is in a list of patterns with * and ?, parted by commas. */
bool params_match(const char *list, const char *name);
/* A number for each name, so that random numbers do not depend on a weight's place. */
uint64_t params_hash(const char *name);
/* The head of the model: its own, or the embedding. */
struct param *params_head(const struct params *p);

/* Streams of the embedding that lookups of the model (0) and of MTP block i (1 + i) add to, and
 * those of the head. */
int32_t params_embed_stream(const struct params *p, int32_t place);
int32_t params_head_stream(const struct params *p, int32_t place);

/* Memory for the gradients of everything that is not frozen; zero. */
int params_take_gradients(struct params *p, struct mk_error *err);
void params_zero_gradients(struct params *p, struct exec *ex); /* ex may be NULL */
/* After the last pass of a step: streams are added into the first of each. */
void params_join(struct params *p);

/* What products multiply with. */
static inline const float *param_used(const struct param *q)
{
    return q->rounded ? q->rounded : q->w;
}

/* What model_load reads, made anew: every weight as a tensor of one file that is not there. */
int params_view(struct params *p, struct mk_error *err);
/* The forward model on the masters as they are. `m` is released first unless it is all zero. */
int params_pack(const struct params *p, struct model *m, const struct model_options *o,
                struct mk_error *err);

#endif
