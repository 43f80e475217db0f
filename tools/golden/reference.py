"""The forward pass of the MLA + MoE models from the published formulas, in float64 with numpy.

It shares no code with transformers and is the witness that transformers computes the official
formula: export.py stops when the two differ. Formulas: deepseek-ai/DeepSeek-V3 inference/model.py
(MLA, YaRN, sigmoid gate); modeling_deepseek.py of the V2 release (softmax gates).
"""

import math

import numpy as np


def rms_norm(x, g, eps):
    return g * x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rope_frequencies(r, dim):
    """Inverse frequency of each adjacent pair, [dim / 2]."""
    f = r["rope_theta"] ** (-np.arange(0, dim, 2) / dim)
    if r["rope_type"] != "yarn":
        return f

    def correction(rotations):
        return (
            dim
            * math.log(r["original_max_position_embeddings"] / (rotations * 2 * math.pi))
            / (2 * math.log(r["rope_theta"]))
        )

    low, high = (
        max(math.floor(correction(r["beta_fast"])), 0),
        min(math.ceil(correction(r["beta_slow"])), dim - 1),
    )
    if low == high:
        high += 0.001
    ramp = np.clip((np.arange(dim // 2) - low) / (high - low), 0, 1)
    return f / r["factor"] * ramp + f * (1 - ramp)


def magnitude(r, key):
    """YaRN's m(factor, mscale); 1 without YaRN."""
    return 0.1 * r[key] * math.log(r["factor"]) + 1 if r["rope_type"] == "yarn" else 1


def rotate(x, r):
    """Adjacent pairs of x [t, h, d] as complex numbers, turned by position * frequency.

    Every release has mscale = mscale_all_dim: then their length stays.
    """
    f = rope_frequencies(r, x.shape[-1])
    z = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * np.arange(x.shape[0])[:, None, None] * f)
    z = z * magnitude(r, "mscale") / magnitude(r, "mscale_all_dim")
    return np.stack([z.real, z.imag], -1).reshape(x.shape)


def softmax_scale(c):
    s = (c["qk_nope_head_dim"] + c["qk_rope_head_dim"]) ** -0.5
    return s * magnitude(c["rope_parameters"], "mscale_all_dim") ** 2


def attention(w, p, c, x):
    t, h, dn, dr = (
        x.shape[0],
        c["num_attention_heads"],
        c["qk_nope_head_dim"],
        c["qk_rope_head_dim"],
    )
    if c["q_lora_rank"]:
        q = (
            rms_norm(x @ w[p + "q_a_proj.weight"].T, w[p + "q_a_layernorm.weight"], 1e-6)
            @ w[p + "q_b_proj.weight"].T
        )
    else:
        q = x @ w[p + "q_proj.weight"].T
    q = q.reshape(t, h, dn + dr)
    a = x @ w[p + "kv_a_proj_with_mqa.weight"].T
    latent = rms_norm(a[:, : c["kv_lora_rank"]], w[p + "kv_a_layernorm.weight"], 1e-6)
    k_rope = rotate(a[:, None, c["kv_lora_rank"] :], c["rope_parameters"])
    q_rope = rotate(q[..., dn:], c["rope_parameters"])
    kv = (latent @ w[p + "kv_b_proj.weight"].T).reshape(t, h, dn + c["v_head_dim"])
    s = np.einsum("thd,jhd->htj", q[..., :dn], kv[..., :dn]) + np.einsum(
        "thd,jd->htj", q_rope, k_rope[:, 0]
    )
    s = np.where(np.tril(np.ones((t, t), bool)), s * softmax_scale(c), -np.inf)
    o = np.einsum("htj,jhd->thd", softmax(s), kv[..., dn:]).reshape(t, -1)
    return o @ w[p + "o_proj.weight"].T


def top(x, k):
    """Indices of the k largest along the last axis; among equals the lowest index."""
    return np.argsort(-x, -1, kind="stable")[..., :k]


def gate(w, p, c, x, stats):
    z = x @ w[p + "weight"].T
    t, n = z.shape
    groups = c["n_group"]
    if c["scoring_func"] == "softmax":
        s = softmax(z)
        b = s
        group_score = s.reshape(t, groups, -1).max(-1)
    else:
        s = 1 / (1 + np.exp(-z))
        b = s + w[p + "e_score_correction_bias"]
        group_score = np.sort(b.reshape(t, groups, -1), -1)[..., -2:].sum(-1)
    margins = []
    if groups > 1:
        g = top(group_score, c["topk_group"])
        mask = np.zeros((t, groups), bool)
        np.put_along_axis(mask, g, True, 1)
        ordered = -np.sort(-group_score, -1)
        margins.append((ordered[:, c["topk_group"] - 1] - ordered[:, c["topk_group"]]).min())
        keep = np.repeat(mask, n // groups, 1)
        # Filled with 0.0 in one release, -inf in another: the same choice while every b > 0.
        assert (b > 0).all()
        b = np.where(keep, b, -np.inf)
    k = c["num_experts_per_tok"]
    idx = top(b, k)
    ordered = -np.sort(-b, -1)
    margins.append((ordered[:, k - 1] - ordered[:, k]).min())
    weight = np.take_along_axis(s, idx, 1)
    if c["norm_topk_prob"]:
        weight = weight / (weight.sum(-1, keepdims=True) + 1e-20)
    # The V2 gate either normalises or scales; the V3 gate does both.
    if not (c["norm_topk_prob"] and c["scoring_func"] == "softmax"):
        weight = weight * c["routed_scaling_factor"]
    plain = top(s, k)
    stats["margin"].append(min(margins))
    stats["moved"].append(np.mean([len(set(i) - set(j)) > 0 for i, j in zip(idx, plain)]))
    stats["used"].append(len(np.unique(idx)))
    return idx, weight


def mlp(w, p, x):
    return (silu(x @ w[p + "gate_proj.weight"].T) * (x @ w[p + "up_proj.weight"].T)) @ w[
        p + "down_proj.weight"
    ].T


def block(w, p, c, x, moe, stats):
    """One residual block on x [t, d]; p is `model.layers.N.`."""
    eps = c["rms_norm_eps"]
    x = x + attention(w, p + "self_attn.", c, rms_norm(x, w[p + "input_layernorm.weight"], eps))
    y = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
    if not moe:
        return x + mlp(w, p + "mlp.", y)
    idx, weight = gate(w, p + "mlp.gate.", c, y, stats)
    out = mlp(w, p + "mlp.shared_experts.", y)
    for e in range(c["n_routed_experts"]):
        t, slot = np.where(idx == e)
        out[t] += weight[t, slot, None] * mlp(w, p + f"mlp.experts.{e}.", y[t])
    return x + out


def forward(w, c, ids):
    """Logits [t, vocab], the hidden state after the last norm [t, d], routing statistics."""
    stats = dict(margin=[], moved=[], used=[])
    x = w["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        x = block(w, f"model.layers.{i}.", c, x, i >= c["first_k_dense_replace"], stats)
    hidden = rms_norm(x, w["model.norm.weight"], c["rms_norm_eps"])
    return hidden @ w["lm_head.weight"].T, hidden, stats


def mtp(w, c, ids, hidden):
    """Logits of the MTP module, rows 0 .. t-2: row i sees hidden[i], token i+1; predicts token i+2.

    The projection takes [embedding ; hidden], the order of the released weights; the paper
    prints the other.
    `hidden` is after the final norm, as transformers and vLLM feed it.
    """
    p, eps = f"model.layers.{c['num_hidden_layers']}.", c["rms_norm_eps"]
    e = rms_norm(w[p + "embed_tokens.weight"][ids[1:]], w[p + "enorm.weight"], eps)
    x = (
        np.concatenate([e, rms_norm(hidden[:-1], w[p + "hnorm.weight"], eps)], -1)
        @ w[p + "eh_proj.weight"].T
    )
    x = block(w, p, c, x, True, dict(margin=[], moved=[], used=[]))
    return rms_norm(x, w[p + "shared_head.norm.weight"], eps) @ w[p + "shared_head.head.weight"].T
