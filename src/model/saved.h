/* saved.h: what the forward pass leaves for the backward pass.
 *
 * A block's parts record where their intermediate values lie in the step's arena. What is cheap is
 * never kept but computed again, as V3 does (V3 report, section 3.2.3): the normed inputs of both
 * parts and the products of SwiGLU. A lean block has MLA's rebuilt keys and values computed again
 * too; of a block that keeps its input alone everything is. The bits are the same whatever is kept.
 * Nothing here exists while serving. */
#ifndef MK_MODEL_SAVED_H
#define MK_MODEL_SAVED_H

#include <stdbool.h>
#include <stdint.h>

/* t rows of the step, one after the other; h heads. */
struct gqa_saved {
    const float *q_in, *row_in; /* [t, h d], [t, 2 kv d] before QK-norm; NULL without */
    const float *q, *row;       /* the same, rotated */
    const float *heads;         /* [t, h d] */
};

enum block_keep { KEEP_INPUT, KEEP_LEAN, KEEP_WHOLE };

struct mla_saved {
    const float *q_latent_in, *q_latent; /* [t, q_lora] before and after the norm; NULL without */
    const float *latent_in, *latent;     /* [t, kv + dr] as projected; normed | rotated */
    const float *q;                      /* [t, h (dn + dr)] rotated */
    const float *rows;                   /* expanded, whole: [t, h (dn + dr) + h dv]; else NULL */
    const float *wide, *u;               /* absorbed: [t, h, kv + dr], [t, h, kv]; else NULL */
    const float *heads;                  /* [t, h dv] */
};

/* n rows of one network, or of all experts one after the other. */
struct swiglu_saved {
    const float *gate, *up; /* [n, f] */
};

/* Which rows go to which expert. */
struct routing {
    int32_t *index; /* [t, used] expert, in order of rank */
    float *weight;  /* [t, used] */
    int64_t *first; /* [e + 1] first gathered row of each expert */
    int32_t *row;   /* [t, used] gathered row of each choice */
    bool *dropped;  /* [t, used] the expert had no room, see capacity.h; NULL: none is dropped */
};

struct moe_saved {
    struct routing routing;
    const float *logits; /* [t, e] of the router */
    struct swiglu_saved experts, shared;
};

struct block_saved {
    enum block_keep keep; /* set by the caller */
    const float *in;      /* [t, d_model] residual stream before the block */
    /* Unless that is all: */
    float *lse;       /* [t, h] of attention, see struct attend_seq */
    const float *mid; /* [t, d_model] residual stream between the two parts */
    union {
        struct gqa_saved gqa;
        struct mla_saved mla;
    } attention;
    union {
        struct swiglu_saved dense;
        struct moe_saved moe;
    } ffn;
};

/* Of a multi-token-prediction block, in front of its layer. */
struct mtp_saved {
    const float *embed, *hidden; /* [t, d_model] before their norms */
    const float *both;           /* [t, 2 d_model] after them */
};

#endif
