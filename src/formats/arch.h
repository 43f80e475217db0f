/* arch.h: what a file says about a model's shape, in one form for config.json and GGUF.
 *
 * Readers fill it and check every number alone (the table in arch.c holds the limits) and the
 * combinations that the arithmetic relies on; model/ builds from it without asking the file again.
 * Names follow HF's config.json.
 *
 * Not here because no file states it: the two RMSNorms inside MLA (q_a_layernorm, kv_a_layernorm)
 * use 1e-6 whatever rms_norm_eps says (DeepSeek's and transformers' modelling code). */
#ifndef MK_FORMATS_ARCH_H
#define MK_FORMATS_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct gguf;
struct gguf_writer;

enum arch_attention { ARCH_GQA, ARCH_MLA };  /* a new kind: a line here, a file in model/ */
enum arch_router {                           /* how experts are chosen, see model/router.h */
    ARCH_ROUTER_NONE,
    ARCH_ROUTER_SOFTMAX,                     /* V2-Lite: the best of all */
    ARCH_ROUTER_GROUP_MAX,                   /* V2: of the groups with the best member */
    ARCH_ROUTER_NOAUX                        /* V3: sigmoid, correction bias, best two of a group */
};
enum arch_rope { ARCH_ROPE_HALF, ARCH_ROPE_INTERLEAVED }; /* pairs (i, i + d/2) or (2i, 2i + 1) */
enum arch_rope_scaling {
    ARCH_SCALING_NONE,
    ARCH_SCALING_LINEAR,
    ARCH_SCALING_YARN,
    ARCH_SCALING_LLAMA3
};

#define ARCH_MAX_EOS 8
#define ARCH_MAX_ROPE_FACTORS 256

struct arch {
    char model_type[64];      /* HF's: deepseek_v2, deepseek_v3, llama, qwen2, qwen3, mistral */
    int32_t n_layers, n_mtp;  /* num_hidden_layers; num_nextn_predict_layers, after those */
    int32_t d_model, n_vocab; /* n_vocab: rows of the embedding */
    enum arch_attention attention;
    int32_t n_heads, n_kv_heads;
    int32_t head_dim;         /* of GQA; 0 for MLA */
    int32_t q_lora_rank;      /* MLA; 0: plain q_proj */
    int32_t kv_lora_rank, qk_nope_dim, qk_rope_dim, v_head_dim; /* MLA */
    bool attention_bias;      /* biases on q, k and v */
    bool qk_norm;             /* RMSNorm of each head of q and k (Qwen3) */
    int32_t sliding_window;   /* keys a query sees, itself included; 0: all */
    int32_t d_ff;             /* dense FFN width */
    int32_t n_experts, n_experts_used, n_shared_experts, d_expert; /* 0 when dense */
    int32_t first_k_dense;    /* layers 0..first_k_dense-1 are dense */
    int32_t moe_layer_freq;   /* 1: every later layer is MoE */
    enum arch_router router;
    int32_t n_group, topk_group; /* 1, 1 when there are none */
    bool norm_topk_prob;
    float routed_scaling_factor;
    float rms_norm_eps;
    bool tie_word_embeddings;
    bool scored;              /* a reward model: score.weight [1, d_model] beside the rest */
    enum arch_rope rope;      /* as the weights of this file lie: GGUF permutes llama's q and k */
    enum arch_rope_scaling scaling;
    double rope_theta;
    double scaling_factor;    /* linear, YaRN, llama3 */
    int32_t original_context; /* original_max_position_embeddings */
    double beta_fast, beta_slow;              /* YaRN; 32, 1 */
    double mscale, mscale_all_dim;            /* YaRN; 0 when absent */
    double low_freq_factor, high_freq_factor; /* llama3 */
    double attention_factor;  /* YaRN: multiplies cos and sin; 0 when absent: 0.1 ln(factor) + 1 */
    float rope_freq_factors[ARCH_MAX_ROPE_FACTORS]; /* each frequency is divided by its own: */
    int32_t n_rope_freq_factors; /* GGUF's rope_freqs.weight, head_dim / 2 of them; 0 when absent */
    int32_t max_context;      /* max_position_embeddings */
    int32_t fp8_block[2];     /* weight_block_size {out, in}; 0, 0 when not FP8 */
    int32_t bos_id;           /* -1 when absent */
    int32_t eos_ids[ARCH_MAX_EOS], n_eos_ids; /* generation_config.json wins over config.json */
    double temperature, top_p; /* generation_config.json; negative when absent */
    int32_t top_k;            /* -1 when absent */
};

/* Everything absent or at the value that absence means; the readers start from it. */
void arch_init(struct arch *a);
/* Reads DIR/config.json and, when there, DIR/generation_config.json. Both spellings of rope:
 * rope_theta + rope_scaling, and the rope_parameters of transformers 5. MK_EUNSUPPORTED names a
 * model type or option that is sound but not known here. ...ForSequenceClassification is a reward
 * model. */
int arch_from_hf(struct arch *a, const char *dir, struct mk_error *err);
/* Same from text, for the fuzzer; `name` is used in messages. */
int arch_from_hf_text(struct arch *a, const char *name, const char *json, uint64_t bytes,
                      struct mk_error *err);
/* GGUF general.architecture deepseek2 (with kv_b, with split k_b and v_b, with both), llama (and
 * Mistral in it), qwen2, qwen3. Asks the table of tensors for what no key says: rows of the
 * embedding, biases, a head of its own, rope factors. */
int arch_from_gguf(struct arch *a, const struct gguf *g, const char *path, struct mk_error *err);
/* Writes config.json text that transformers 4 and 5 read (for convert); caller frees. Rope factors
 * of a GGUF become the llama3 scaling that they were made with. a->rope is not stated: the caller
 * puts q and k of llama back into halves. torch_dtype: what programs shall compute in ("bfloat16"),
 * or NULL. MK_EUNSUPPORTED when config.json has no key for it. */
int arch_to_hf(const struct arch *a, const char *torch_dtype, char **json, struct mk_error *err);
/* Writes general.architecture and its keys, as llama.cpp reads them since April 2025: attention of
 * deepseek2 is described in its absorbed form. llama3 scaling is not among them, see below; MTP is
 * left out. MK_EUNSUPPORTED when GGUF has no key for it. */
int arch_to_gguf(const struct arch *a, struct gguf_writer *w, struct mk_error *err);
/* What rope_freqs.weight of a llama GGUF holds: what each pair's frequency is divided by.
 * Returns how many, head_dim / 2; 0 when none are needed. */
int arch_rope_factors(const struct arch *a, float factors[ARCH_MAX_ROPE_FACTORS]);
/* "deepseek2", "llama", ...: general.architecture. */
const char *arch_gguf_name(const struct arch *a);
/* Checks ranges and combinations; the readers above have called it. */
int arch_check(const struct arch *a, const char *path, struct mk_error *err);
/* Whether a layer, or an MTP block behind the last, chooses among experts. */
bool arch_layer_is_moe(const struct arch *a, int32_t layer);

#endif
