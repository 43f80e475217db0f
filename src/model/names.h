/* names.h: what each weight is called, in Hugging Face's files and in GGUF.
 *
 * One row a role. %d is the layer; an HF expert has a second %d, its number; GGUF keeps all experts
 * of a layer in one tensor [e, out, in]. NULL: the format has no such tensor. */
#ifndef MK_MODEL_NAMES_H
#define MK_MODEL_NAMES_H

#include <stdbool.h>

enum weight_role {
    W_EMBED,
    W_FINAL_NORM,
    W_HEAD,
    W_ATTN_NORM,
    W_FFN_NORM,
    /* GQA */
    W_Q,
    W_K,
    W_V,
    W_O,
    W_Q_BIAS,
    W_K_BIAS,
    W_V_BIAS,
    W_Q_NORM,
    W_K_NORM,
    /* MLA */
    W_Q_A,
    W_Q_A_NORM,
    W_Q_B,
    W_KV_A,
    W_KV_A_NORM,
    W_KV_B,
    W_K_B,
    W_V_B,
    /* dense feed-forward: gate, up, down follow one another here and below */
    W_GATE,
    W_UP,
    W_DOWN,
    /* mixture of experts */
    W_ROUTER,
    W_ROUTER_BIAS,
    W_EXPERT_GATE,
    W_EXPERT_UP,
    W_EXPERT_DOWN,
    W_SHARED_GATE,
    W_SHARED_UP,
    W_SHARED_DOWN,
    /* multi-token prediction */
    W_MTP_EMBED_NORM,
    W_MTP_HIDDEN_NORM,
    W_MTP_PROJ,
    W_MTP_NORM,
    W_MTP_EMBED, /* copies of the model's own, which some programs ask for */
    W_MTP_HEAD,
    W_SCORE, /* of a reward model */
    W_N_ROLES
};

#define MK_NAME_BYTES 128
enum name_style { NAME_HF, NAME_GGUF };

/* false when the format has no such tensor. layer and expert are ignored where the name has none.
 */
bool weight_name(char name[MK_NAME_BYTES], enum name_style style, enum weight_role role, int layer,
                 int expert);

#endif
