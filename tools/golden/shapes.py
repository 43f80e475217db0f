"""The tiny models: their configurations, and the name and shape of every tensor in their files.

Sizes are deliberately awkward (hardly any is a multiple of 32) so that a kernel's tail code runs.
Names follow the released checkpoints (deepseek-ai/DeepSeek-V3 README_WEIGHTS.md; Qwen2, Llama).
"""

VOCAB = 517
COMMON = dict(
    vocab_size=VOCAB,
    bos_token_id=0,
    eos_token_id=1,
    hidden_act="silu",
    max_position_embeddings=4096,
    initializer_range=0.02,
    attention_dropout=0.0,
)


def yarn(factor, original, beta_fast, mscale):
    """YaRN as DeepSeek spells it: mscale = mscale_all_dim, so only the softmax scale changes."""
    return dict(
        rope_type="yarn",
        rope_theta=10000.0,
        factor=float(factor),
        beta_fast=float(beta_fast),
        beta_slow=1.0,
        mscale=mscale,
        mscale_all_dim=mscale,
        original_max_position_embeddings=original,
    )


PLAIN = dict(rope_type="default", rope_theta=10000.0)

MLA = dict(
    COMMON,
    hidden_size=80,
    num_attention_heads=4,
    num_key_value_heads=4,
    kv_lora_rank=36,
    qk_nope_head_dim=24,
    qk_rope_head_dim=16,
    v_head_dim=20,
    attention_bias=False,
    first_k_dense_replace=1,
    moe_layer_freq=1,
    intermediate_size=116,
    moe_intermediate_size=28,
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
)

V3 = dict(
    MLA,
    q_lora_rank=44,
    num_hidden_layers=3,
    n_routed_experts=12,
    num_experts_per_tok=4,
    n_shared_experts=1,
    n_group=4,
    topk_group=2,
    topk_method="noaux_tc",
    scoring_func="sigmoid",
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    num_nextn_predict_layers=1,
    rope_parameters=yarn(40, 64, 32, 1.0),
)

DENSE = dict(
    COMMON,
    hidden_size=72,
    intermediate_size=116,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
)

FP8_QUANT = dict(
    activation_scheme="dynamic", fmt="e4m3", quant_method="fp8", weight_block_size=[128, 128]
)

# name -> (model_type, seed, configuration, options)
#   spelling: "new" (rope_parameters, dtype) or "old" (rope_theta, rope_scaling, torch_dtype)
#   shards:   number of safetensors files
MODELS = {
    "v2-lite": (
        "deepseek_v2",
        311,
        dict(
            MLA,
            q_lora_rank=None,
            num_hidden_layers=3,
            n_routed_experts=10,
            num_experts_per_tok=3,
            n_shared_experts=2,
            topk_method="greedy",
            scoring_func="softmax",
            norm_topk_prob=False,
            routed_scaling_factor=1.0,
            n_group=1,
            topk_group=1,
            rope_parameters=yarn(40, 256, 4, 0.707),
        ),
        dict(spelling="old"),
    ),
    "v2-groups": (
        "deepseek_v2",
        312,
        dict(
            MLA,
            q_lora_rank=44,
            num_hidden_layers=2,
            n_routed_experts=12,
            num_experts_per_tok=4,
            n_shared_experts=2,
            topk_method="group_limited_greedy",
            scoring_func="softmax",
            norm_topk_prob=False,
            routed_scaling_factor=4.0,
            n_group=4,
            topk_group=2,
            rope_parameters=yarn(40, 64, 32, 0.707),
        ),
        {},
    ),
    "v3": ("deepseek_v3", 113, V3, dict(shards=3)),
    "v3-noq": (
        "deepseek_v3",
        14,
        dict(
            V3,
            q_lora_rank=None,
            num_hidden_layers=2,
            n_routed_experts=9,
            num_experts_per_tok=3,
            n_group=1,
            topk_group=1,
            num_nextn_predict_layers=0,
            rope_parameters=PLAIN,
        ),
        {},
    ),
    "qwen2-tied": ("qwen2", 115, dict(DENSE, tie_word_embeddings=True, rope_parameters=PLAIN), {}),
    "qwen2-untied": (
        "qwen2",
        126,
        dict(
            DENSE,
            rms_norm_eps=1e-5,
            num_key_value_heads=1,
            rope_parameters=dict(PLAIN, rope_theta=1e6),
        ),
        dict(shards=2),
    ),
    "qwen3": (
        "qwen3",
        17,
        dict(DENSE, head_dim=22, attention_bias=False, rope_parameters=dict(PLAIN, rope_theta=1e6)),
        {},
    ),
    # Head width 18, theta 1e4: wavelengths 6.3 17 49 135 376 ...; frequencies are kept below 40,
    # blended from 40 to 160 and divided by 8 above.
    "llama3": (
        "llama",
        18,
        dict(
            DENSE,
            rms_norm_eps=1e-5,
            attention_bias=False,
            mlp_bias=False,
            rope_parameters=dict(
                rope_type="llama3",
                rope_theta=10000.0,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=160,
            ),
        ),
        dict(spelling="old"),
    ),
    "mistral": (
        "mistral",
        19,
        dict(DENSE, head_dim=18, sliding_window=16, rope_parameters=PLAIN),
        {},
    ),
    # The weights of v3: same seed, same shapes.
    "v3-bf16": ("deepseek_v3", 113, V3, dict(store="bf16", spelling="old")),
    # Several 128 x 128 blocks with ragged edges in both directions.
    "v3-fp8": (
        "deepseek_v3",
        20,
        dict(
            V3,
            hidden_size=148,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            q_lora_rank=132,
            kv_lora_rank=134,
            qk_nope_head_dim=24,
            qk_rope_head_dim=16,
            v_head_dim=36,
            intermediate_size=260,
            moe_intermediate_size=130,
            n_routed_experts=4,
            num_experts_per_tok=2,
            n_group=2,
            topk_group=1,
            num_nextn_predict_layers=0,
        ),
        dict(store="fp8", spelling="old"),
    ),
}


def mla_layer(c, moe):
    """Tensors of one MLA block, without the `model.layers.N.` prefix."""
    d, h = c["hidden_size"], c["num_attention_heads"]
    qk, dr, dc, dv = (
        c["qk_nope_head_dim"] + c["qk_rope_head_dim"],
        c["qk_rope_head_dim"],
        c["kv_lora_rank"],
        c["v_head_dim"],
    )
    t = {"input_layernorm.weight": (d,), "post_attention_layernorm.weight": (d,)}
    if c["q_lora_rank"]:
        t |= {
            "self_attn.q_a_proj.weight": (c["q_lora_rank"], d),
            "self_attn.q_a_layernorm.weight": (c["q_lora_rank"],),
            "self_attn.q_b_proj.weight": (h * qk, c["q_lora_rank"]),
        }
    else:
        t["self_attn.q_proj.weight"] = (h * qk, d)
    t |= {
        "self_attn.kv_a_proj_with_mqa.weight": (dc + dr, d),
        "self_attn.kv_a_layernorm.weight": (dc,),
        "self_attn.kv_b_proj.weight": (h * (c["qk_nope_head_dim"] + dv), dc),
        "self_attn.o_proj.weight": (d, h * dv),
    }

    def mlp(prefix, width):
        return {
            prefix + "gate_proj.weight": (width, d),
            prefix + "up_proj.weight": (width, d),
            prefix + "down_proj.weight": (d, width),
        }

    if not moe:
        return t | mlp("mlp.", c["intermediate_size"])
    t["mlp.gate.weight"] = (c["n_routed_experts"], d)
    if c["topk_method"] == "noaux_tc":
        t["mlp.gate.e_score_correction_bias"] = (c["n_routed_experts"],)
    for e in range(c["n_routed_experts"]):
        t |= mlp(f"mlp.experts.{e}.", c["moe_intermediate_size"])
    return t | mlp("mlp.shared_experts.", c["moe_intermediate_size"] * c["n_shared_experts"])


def dense_layer(c, model_type):
    d, h, kv = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
    hd = c.get("head_dim") or d // h
    t = {"input_layernorm.weight": (d,), "post_attention_layernorm.weight": (d,)}
    for name, rows in (("q", h * hd), ("k", kv * hd), ("v", kv * hd)):
        t[f"self_attn.{name}_proj.weight"] = (rows, d)
        if model_type == "qwen2":
            t[f"self_attn.{name}_proj.bias"] = (rows,)
    t["self_attn.o_proj.weight"] = (d, h * hd)
    if model_type == "qwen3":
        t |= {"self_attn.q_norm.weight": (hd,), "self_attn.k_norm.weight": (hd,)}
    f = c["intermediate_size"]
    return t | {
        "mlp.gate_proj.weight": (f, d),
        "mlp.up_proj.weight": (f, d),
        "mlp.down_proj.weight": (d, f),
    }


def tensors(model_type, c):
    """Every tensor of a checkpoint: name -> shape."""
    d = c["hidden_size"]
    v = c["vocab_size"]
    t = {"model.embed_tokens.weight": (v, d), "model.norm.weight": (d,)}
    if not c["tie_word_embeddings"]:
        t["lm_head.weight"] = (v, d)
    mla = model_type.startswith("deepseek")
    for i in range(c["num_hidden_layers"]):
        layer = mla_layer(c, i >= c["first_k_dense_replace"]) if mla else dense_layer(c, model_type)
        t |= {f"model.layers.{i}.{k}": v for k, v in layer.items()}
    for i in range(c.get("num_nextn_predict_layers", 0)):
        # The MTP module: a full MoE block with copies of the embedding and the head beside it
        # (README_WEIGHTS.md).
        p = f"model.layers.{c['num_hidden_layers'] + i}."
        t |= {
            p + "embed_tokens.weight": (v, d),
            p + "enorm.weight": (d,),
            p + "hnorm.weight": (d,),
            p + "eh_proj.weight": (d, 2 * d),
            p + "shared_head.norm.weight": (d,),
            p + "shared_head.head.weight": (v, d),
        }
        t |= {p + k: v for k, v in mla_layer(c, True).items()}
    return t
