"""Some of the golden checkpoints as GGUF files, with the names and layouts of the converters.

    python tools/golden/gguf_models.py        # after export.py

All values stay float32, so the logits must equal those of the checkpoint. Each file is read back
with gguf-py and every tensor compared bit by bit with what was written. Layouts: llama.cpp
convert_hf_to_gguf.py (llama, qwen2, deepseek2 before and after its pull request 12801) and the
ik_llama.cpp one (deepseek2 with both kinds of attention tensors).
"""

import json
import math
import pathlib

import gguf
import numpy as np
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden"
OUT = ROOT / "gguf"


def checkpoint(name):
    folder = ROOT / "models" / name
    weights = {}
    for f in sorted(folder.glob("*.safetensors")):
        weights |= load_file(f)
    config = json.loads((folder / "config.json").read_text())
    if "rope_parameters" not in config:
        config["rope_parameters"] = dict(config["rope_scaling"], rope_theta=config["rope_theta"])
    return config, weights


def byte_names():
    """The GPT-2 printable character of each byte value."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in keep]
    names = {b: chr(b) for b in keep} | {b: chr(256 + i) for i, b in enumerate(rest)}
    return [names[b] for b in range(256)]


def vocabulary(size):
    """Two control tokens, the 256 bytes, then one merge for each further token."""
    tokens, merges = ["<bos>", "<eos>", *byte_names()], []
    starts = "\u0120" + "etaoinshrdlucmfwypvbgkqjxz"
    for a in starts:
        for b in "etaoinshrdl":
            if len(tokens) < size:
                tokens.append(a + b)
                merges.append(f"{a} {b}")
    assert len(tokens) == size and len(set(tokens)) == size
    return tokens, merges, [3, 3] + [1] * (size - 2)


def begin(name, arch, pre, c, **options):
    """A writer holding the keys common to all architectures."""
    w = gguf.GGUFWriter(OUT / f"{name}.gguf", arch, **options)
    w.add_name(name)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    w.add_block_count(c["num_hidden_layers"])
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c["rope_parameters"]["rope_theta"])
    w.add_vocab_size(c["vocab_size"])
    tokens, merges, types = vocabulary(c["vocab_size"])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(0)
    w.add_eos_token_id(1)
    w.add_add_bos_token(False)
    return w


def finish(w, tensors):
    """Writes the file or files, then reads them back and compares."""
    stem = w.path.stem
    pattern = stem + ("-0*.gguf" if w.split_max_tensors else ".gguf")
    for name, t in tensors.items():
        w.add_tensor(name, np.ascontiguousarray(t, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    found = {}
    for f in sorted(OUT.glob(pattern)):
        for t in gguf.GGUFReader(f).tensors:
            found[t.name] = np.array(t.data)
    assert found.keys() == tensors.keys(), (stem, found.keys() ^ tensors.keys())
    for name, t in tensors.items():
        assert np.array_equal(found[name], t), name
    sizes = [f.stat().st_size for f in sorted(OUT.glob(pattern))]
    print(stem, len(tensors), "tensors", sizes, "bytes")


PLAIN = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
MLA = PLAIN | {
    "self_attn.q_a_proj.weight": "attn_q_a.weight",
    "self_attn.q_a_layernorm.weight": "attn_q_a_norm.weight",
    "self_attn.q_b_proj.weight": "attn_q_b.weight",
    "self_attn.kv_a_proj_with_mqa.weight": "attn_kv_a_mqa.weight",
    "self_attn.kv_a_layernorm.weight": "attn_kv_a_norm.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight",
    "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    "mlp.shared_experts.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_experts.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_experts.down_proj.weight": "ffn_down_shexp.weight",
}
DENSE = PLAIN | {
    f"self_attn.{x}_proj.{kind}": f"attn_{x}.{kind}" for x in "qkv" for kind in ("weight", "bias")
}


def rename(c, weights, table):
    """The tensors that only change their name."""
    out = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
        "output.weight": weights["lm_head.weight"],
    }
    for i in range(c["num_hidden_layers"]):
        for old, new in table.items():
            if f"model.layers.{i}.{old}" in weights:
                out[f"blk.{i}.{new}"] = weights[f"model.layers.{i}.{old}"]
    return out


def deepseek2(name, era):
    """era: "kv_b" (until April 2025), "mla" (mainline since), "ik" (ik_llama.cpp)."""
    c, weights = checkpoint("v3")
    h, dn, dr = c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"]
    dc, dv, rope = c["kv_lora_rank"], c["v_head_dim"], c["rope_parameters"]
    w = begin(name, "deepseek2", "deepseek-v3", c)
    w.add_head_count_kv(1 if era == "mla" else h)
    if era == "mla":
        w.add_key_length(dc + dr)
        w.add_value_length(dc)
        w.add_key_length_mla(dn + dr)
        w.add_value_length_mla(dv)
    else:
        w.add_key_length(dn + dr)
        w.add_value_length(dv)
    w.add_q_lora_rank(c["q_lora_rank"])
    w.add_kv_lora_rank(dc)
    w.add_leading_dense_block_count(c["first_k_dense_replace"])
    w.add_expert_count(c["n_routed_experts"])
    w.add_expert_used_count(c["num_experts_per_tok"])
    w.add_expert_shared_count(c["n_shared_experts"])
    w.add_expert_feed_forward_length(c["moe_intermediate_size"])
    w.add_expert_weights_scale(c["routed_scaling_factor"])
    w.add_expert_weights_norm(c["norm_topk_prob"])
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    # Files of the older eras lack these two; without them the choice of experts is another one.
    w.add_expert_group_count(c["n_group"])
    w.add_expert_group_used_count(c["topk_group"])
    w.add_rope_dimension_count(dr)
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    w.add_rope_scaling_factor(rope["factor"])
    w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    w.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
    if era == "mla":
        w.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        w.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])

    tensors = rename(c, weights, MLA)
    for i in range(c["num_hidden_layers"]):
        kv_b = weights[f"model.layers.{i}.self_attn.kv_b_proj.weight"]
        heads = kv_b.reshape(h, dn + dv, dc)
        k_b, v_b = heads[:, :dn].transpose(0, 2, 1), heads[:, dn:]  # [h, dc, dn], [h, dv, dc]
        if era == "ik":
            k_b, v_b = k_b.reshape(h * dc, dn), v_b.reshape(h * dv, dc)
        if era != "mla":
            tensors[f"blk.{i}.attn_kv_b.weight"] = kv_b
        if era != "kv_b":
            tensors[f"blk.{i}.attn_k_b.weight"] = k_b
            tensors[f"blk.{i}.attn_v_b.weight"] = v_b
        if i >= c["first_k_dense_replace"]:
            for part in ("gate", "up", "down"):
                tensors[f"blk.{i}.ffn_{part}_exps.weight"] = np.stack(
                    [
                        weights[f"model.layers.{i}.mlp.experts.{e}.{part}_proj.weight"]
                        for e in range(c["n_routed_experts"])
                    ]
                )
    finish(w, tensors)


def permute(x, heads):
    """Rows of q or k from half-split to interleaved RoPE order."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(x.shape)


def rope_factors(rope, dim):
    """What llama.cpp divides each frequency by: 1, something between, or the factor."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    old, factor, out = rope["original_max_position_embeddings"], rope["factor"], []
    for f in 1.0 / rope["rope_theta"] ** (np.arange(0, dim, 2, dtype=np.float32) / dim):
        wavelength = 2 * math.pi / f
        if wavelength < old / high:
            out.append(1)
        elif wavelength > old / low:
            out.append(factor)
        else:
            smooth = (old / wavelength - low) / (high - low)
            out.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(out, np.float32)


def llama(name):
    c, weights = checkpoint("llama3")
    h, kv = c["num_attention_heads"], c["num_key_value_heads"]
    dim = c["hidden_size"] // h
    w = begin(name, "llama", "llama-bpe", c)
    w.add_head_count_kv(kv)
    w.add_rope_dimension_count(dim)
    tensors = rename(c, weights, DENSE)
    for i in range(c["num_hidden_layers"]):
        for x, heads in (("q", h), ("k", kv)):
            key = f"blk.{i}.attn_{x}.weight"
            tensors[key] = permute(tensors[key], heads)
    tensors["rope_freqs.weight"] = rope_factors(c["rope_parameters"], dim)
    finish(w, tensors)


def qwen2(name, **options):
    c, weights = checkpoint("qwen2-untied")
    w = begin(name, "qwen2", "deepseek-r1-qwen", c, **options)
    w.add_head_count_kv(c["num_key_value_heads"])
    finish(w, rename(c, weights, DENSE))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.gguf"):
        old.unlink()
    deepseek2("v3-kv_b", "kv_b")
    deepseek2("v3-mla", "mla")
    deepseek2("v3-ik", "ik")
    llama("llama3")
    qwen2("qwen2")
    qwen2("qwen2-split", split_max_tensors=14)


if __name__ == "__main__":
    main()
