/* names.c: the table of tensor names (deepseek.md 6.1 and 6.3; transformers' and llama.cpp's
 * conventions). */
#include "model/names.h"

#include <stdio.h>

static const char *const names[W_N_ROLES][2] = {
    [W_EMBED] = {"model.embed_tokens.weight", "token_embd.weight"},
    [W_FINAL_NORM] = {"model.norm.weight", "output_norm.weight"},
    [W_HEAD] = {"lm_head.weight", "output.weight"},
    [W_ATTN_NORM] = {"model.layers.%d.input_layernorm.weight", "blk.%d.attn_norm.weight"},
    [W_FFN_NORM] = {"model.layers.%d.post_attention_layernorm.weight", "blk.%d.ffn_norm.weight"},
    [W_Q] = {"model.layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight"},
    [W_K] = {"model.layers.%d.self_attn.k_proj.weight", "blk.%d.attn_k.weight"},
    [W_V] = {"model.layers.%d.self_attn.v_proj.weight", "blk.%d.attn_v.weight"},
    [W_O] = {"model.layers.%d.self_attn.o_proj.weight", "blk.%d.attn_output.weight"},
    [W_Q_BIAS] = {"model.layers.%d.self_attn.q_proj.bias", "blk.%d.attn_q.bias"},
    [W_K_BIAS] = {"model.layers.%d.self_attn.k_proj.bias", "blk.%d.attn_k.bias"},
    [W_V_BIAS] = {"model.layers.%d.self_attn.v_proj.bias", "blk.%d.attn_v.bias"},
    [W_Q_NORM] = {"model.layers.%d.self_attn.q_norm.weight", "blk.%d.attn_q_norm.weight"},
    [W_K_NORM] = {"model.layers.%d.self_attn.k_norm.weight", "blk.%d.attn_k_norm.weight"},
    [W_Q_A] = {"model.layers.%d.self_attn.q_a_proj.weight", "blk.%d.attn_q_a.weight"},
    [W_Q_A_NORM] = {"model.layers.%d.self_attn.q_a_layernorm.weight",
                    "blk.%d.attn_q_a_norm.weight"},
    [W_Q_B] = {"model.layers.%d.self_attn.q_b_proj.weight", "blk.%d.attn_q_b.weight"},
    [W_KV_A] = {"model.layers.%d.self_attn.kv_a_proj_with_mqa.weight",
                "blk.%d.attn_kv_a_mqa.weight"},
    [W_KV_A_NORM] = {"model.layers.%d.self_attn.kv_a_layernorm.weight",
                     "blk.%d.attn_kv_a_norm.weight"},
    [W_KV_B] = {"model.layers.%d.self_attn.kv_b_proj.weight", "blk.%d.attn_kv_b.weight"},
    [W_K_B] = {NULL, "blk.%d.attn_k_b.weight"},
    [W_V_B] = {NULL, "blk.%d.attn_v_b.weight"},
    [W_GATE] = {"model.layers.%d.mlp.gate_proj.weight", "blk.%d.ffn_gate.weight"},
    [W_UP] = {"model.layers.%d.mlp.up_proj.weight", "blk.%d.ffn_up.weight"},
    [W_DOWN] = {"model.layers.%d.mlp.down_proj.weight", "blk.%d.ffn_down.weight"},
    [W_ROUTER] = {"model.layers.%d.mlp.gate.weight", "blk.%d.ffn_gate_inp.weight"},
    [W_ROUTER_BIAS] = {"model.layers.%d.mlp.gate.e_score_correction_bias",
                       "blk.%d.exp_probs_b.bias"},
    [W_EXPERT_GATE] = {"model.layers.%d.mlp.experts.%d.gate_proj.weight",
                       "blk.%d.ffn_gate_exps.weight"},
    [W_EXPERT_UP] = {"model.layers.%d.mlp.experts.%d.up_proj.weight", "blk.%d.ffn_up_exps.weight"},
    [W_EXPERT_DOWN] = {"model.layers.%d.mlp.experts.%d.down_proj.weight",
                       "blk.%d.ffn_down_exps.weight"},
    [W_SHARED_GATE] = {"model.layers.%d.mlp.shared_experts.gate_proj.weight",
                       "blk.%d.ffn_gate_shexp.weight"},
    [W_SHARED_UP] = {"model.layers.%d.mlp.shared_experts.up_proj.weight",
                     "blk.%d.ffn_up_shexp.weight"},
    [W_SHARED_DOWN] = {"model.layers.%d.mlp.shared_experts.down_proj.weight",
                       "blk.%d.ffn_down_shexp.weight"},
    [W_MTP_EMBED_NORM] = {"model.layers.%d.enorm.weight", "blk.%d.nextn.enorm.weight"},
    [W_MTP_HIDDEN_NORM] = {"model.layers.%d.hnorm.weight", "blk.%d.nextn.hnorm.weight"},
    [W_MTP_PROJ] = {"model.layers.%d.eh_proj.weight", "blk.%d.nextn.eh_proj.weight"},
    [W_MTP_NORM] = {"model.layers.%d.shared_head.norm.weight",
                    "blk.%d.nextn.shared_head_norm.weight"},
    [W_MTP_EMBED] = {"model.layers.%d.embed_tokens.weight", "blk.%d.nextn.embed_tokens.weight"},
    [W_MTP_HEAD] = {"model.layers.%d.shared_head.head.weight",
                    "blk.%d.nextn.shared_head_head.weight"},
    [W_SCORE] = {"score.weight", NULL},
};

bool weight_name(char name[MK_NAME_BYTES], enum name_style style, enum weight_role role, int layer,
                 int expert)
{
    const char *pattern = names[role][style == NAME_GGUF];
    size_t n = 0;
    int value = layer;

    if (!pattern)
        return false;
    for (; *pattern && n + 12 < MK_NAME_BYTES; pattern++) {
        if (pattern[0] == '%' && pattern[1] == 'd') {
            n += (size_t)snprintf(name + n, MK_NAME_BYTES - n, "%d", value);
            value = expert;
            pattern++;
        } else {
            name[n++] = *pattern;
        }
    }
    name[n] = '\0';
    return true;
}
