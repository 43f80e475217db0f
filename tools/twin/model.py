"""The models that minke trains, once more in plain torch: MLA or grouped-query attention, dense or
expert layers, multi-token prediction. Formulas: tools/golden/reference.py; MTP and the balance
losses: tools/golden/gradients.py.

A model is a dict of f32 parameters by Hugging Face name. Experts are computed group by group: the
rows of each are gathered, multiplied together and added back, as a good torch program does it.
"""

import torch
from torch.nn.functional import embedding, linear, scaled_dot_product_attention, silu

FIXED = "e_score_correction_bias"  # moved by the load, not by gradients


def rms_norm(x, g, eps):
    return torch.nn.functional.rms_norm(x, g.shape, g, eps)


def turns(c, dim, n, like):
    """cos and sin [n, dim / 2] of position * frequency."""
    theta = c.get("rope_theta", 10000.0)
    f = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.arange(n, dtype=torch.float64)[:, None] * f
    return angle.cos().to(like), angle.sin().to(like)


def rotate(x, table, adjacent):
    """x [b, h, t, dim]: DeepSeek turns neighbours, Llama the two halves."""
    cos, sin = table
    a, b = (x[..., 0::2], x[..., 1::2]) if adjacent else x.chunk(2, -1)
    pair = a * cos - b * sin, a * sin + b * cos
    return torch.stack(pair, -1).flatten(-2) if adjacent else torch.cat(pair, -1)


def mlp(x, gate, up, down):
    return linear(silu(linear(x, gate)) * linear(x, up), down)


class Model:
    """weights: tensors by name; config: config.json."""

    def __init__(self, config, weights):
        if config.get("rope_scaling"):
            raise SystemExit("the twin has plain RoPE alone")
        self.c = config
        self.w = {n: x.float().clone() for n, x in weights.items()}
        for name, x in self.w.items():
            x.requires_grad_(not name.endswith(FIXED))
        self.mla = "kv_lora_rank" in config
        self.n_layers = config["num_hidden_layers"]
        self.n_mtp = config.get("num_nextn_predict_layers", 0)
        self.layers = [self.below(f"model.layers.{i}.") for i in range(self.n_layers + self.n_mtp)]
        self.attend, self.mlp, self.expert = self.attention, mlp, mlp
        self.tables = {}

    def compile(self):
        """All but the sorting of tokens by expert, whose sizes depend on the data."""
        self.attend = torch.compile(self.attention, dynamic=False)
        self.mlp = torch.compile(mlp, dynamic=False)
        self.expert = torch.compile(mlp, dynamic=True)

    def below(self, prefix):
        """Weights of a layer, and of each of its parts, by their names there."""
        w = {n.removeprefix(prefix): x for n, x in self.w.items() if n.startswith(prefix)}
        parts = {n.rsplit(".", 2)[0] for n in w if n.endswith(".gate_proj.weight")}
        return {"mlps": {p: [w[f"{p}.{n}_proj.weight"] for n in ("gate", "up", "down")]
                         for p in parts},
                **{n: x for n, x in w.items() if "_proj" not in n or not n.startswith("mlp.")}}

    def trained(self):
        return {n: x for n, x in self.w.items() if x.requires_grad}

    def table(self, n):
        if n not in self.tables:
            c = self.c
            dim = c["qk_rope_head_dim"] if self.mla else c["head_dim"]
            self.tables[n] = turns(c, dim, n, torch.zeros(1))
        return self.tables[n]

    def heads_mla(self, x, w, table):
        c, p = self.c, "self_attn."
        (b, t, _), h = x.shape, c["num_attention_heads"]
        dn, dr, rank = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["kv_lora_rank"]
        if c.get("q_lora_rank"):
            q = rms_norm(linear(x, w[p + "q_a_proj.weight"]), w[p + "q_a_layernorm.weight"], 1e-6)
            q = linear(q, w[p + "q_b_proj.weight"])
        else:
            q = linear(x, w[p + "q_proj.weight"])
        q = q.view(b, t, h, dn + dr).transpose(1, 2)
        latent, k_rope = linear(x, w[p + "kv_a_proj_with_mqa.weight"]).split((rank, dr), -1)
        kv = linear(rms_norm(latent, w[p + "kv_a_layernorm.weight"], 1e-6),
                    w[p + "kv_b_proj.weight"])
        k, v = kv.view(b, t, h, -1).transpose(1, 2).split((dn, c["v_head_dim"]), -1)
        q = torch.cat((q[..., :dn], rotate(q[..., dn:], table, True)), -1)
        k_rope = rotate(k_rope[:, None], table, True).expand(-1, h, -1, -1)
        return q, torch.cat((k, k_rope), -1), v

    def heads_gqa(self, x, w, table):
        (b, t, _), d = x.shape, self.c["head_dim"]
        q, k, v = (linear(x, w[f"self_attn.{n}_proj.weight"]).view(b, t, -1, d).transpose(1, 2)
                   for n in "qkv")
        n = q.shape[1] // k.shape[1]
        if n > 1:
            k, v = k.repeat_interleave(n, 1), v.repeat_interleave(n, 1)
        return rotate(q, table, False), rotate(k, table, False), v

    def attention(self, x, w, table):
        """x + attention, and the second norm of it."""
        eps = self.c["rms_norm_eps"]
        heads = self.heads_mla if self.mla else self.heads_gqa
        o = scaled_dot_product_attention(
            *heads(rms_norm(x, w["input_layernorm.weight"], eps), w, table), is_causal=True)
        x = x + linear(o.transpose(1, 2).flatten(2), w["self_attn.o_proj.weight"])
        return x, rms_norm(x, w["post_attention_layernorm.weight"], eps)

    def moe(self, x, w, layer, losses):
        """x [b, t, d]. Adds the layer's choices to `losses`: what the balance losses need."""
        c = self.c
        b, t, d = x.shape
        k, n = c["num_experts_per_tok"], c["n_routed_experts"]
        s = linear(x, w["mlp.gate.weight"]).float().sigmoid()
        chosen = (s + w["mlp.gate." + FIXED]).topk(k, -1).indices
        weight = s.gather(-1, chosen)
        if c["norm_topk_prob"]:
            weight = weight / (weight.sum(-1, keepdim=True) + 1e-20)
        weight = weight * c["routed_scaling_factor"]
        out = self.mlp(x, *w["mlps"]["mlp.shared_experts"]).view(b * t, d)
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=n)
        token = order // k
        parts = x.reshape(b * t, d).index_select(0, token).split(counts.tolist())
        y = torch.cat([self.expert(r, *w["mlps"][f"mlp.experts.{e}"])
                       for e, r in enumerate(parts) if len(r)])
        y = y * weight.flatten().index_select(0, order)[:, None].to(y)
        if losses is not None:
            losses.append((layer, counts, s, chosen))
        return out.index_add(0, token, y).view(b, t, d)

    def block(self, x, i, losses):
        w = self.layers[i]
        own = {n: v for n, v in w.items() if "." in n and not n.startswith("mlp.")}
        x, y = self.attend(x, own, self.table(x.shape[1]))
        if "mlp.gate.weight" in w:
            return x + self.moe(y, w, i, losses)
        return x + self.mlp(y, *w["mlps"]["mlp"])

    def head(self, x):
        return linear(x, self.w.get("lm_head.weight", self.w["model.embed_tokens.weight"]))

    def forward(self, ids, losses=None, mtp=True):
        """ids [b, t] -> logits of the next token [b, t, v], and of each MTP block, a row less
        each: row i of block j predicts token i + j + 2."""
        eps, embed = self.c["rms_norm_eps"], self.w["model.embed_tokens.weight"]
        x = embedding(ids, embed)
        for i in range(self.n_layers):
            x = self.block(x, i, losses)
        x = rms_norm(x, self.w["model.norm.weight"], eps)
        ahead, hidden = [], x
        for j in range(self.n_mtp if mtp else 0):
            w = self.layers[self.n_layers + j]
            h = torch.cat((rms_norm(embedding(ids[:, j + 1:], embed), w["enorm.weight"], eps),
                           rms_norm(hidden[:, :-1], w["hnorm.weight"], eps)), -1)
            h = self.block(linear(h, w["eh_proj.weight"]), self.n_layers + j, losses)
            hidden = rms_norm(h, w["shared_head.norm.weight"], eps)
            ahead.append(self.head(hidden))
        return self.head(x), ahead


def balance_loss(c, s, chosen, sequence, expert):
    """Sum over the sequences of tokens x (V3's sequence-wise loss, V2's expert-level one): s and
    chosen [b, t, e] and [b, t, k]."""
    b, t, n = s.shape
    k = c["num_experts_per_tok"]

    def share(index):
        return torch.zeros(b, n).scatter_add_(1, index.flatten(1), torch.ones(b, t * k)) * n / (k * t)

    p = (s / s.sum(-1, keepdim=True)).mean(1)
    best = s.detach().topk(k, -1).indices
    return t * (sequence * (share(best) * p).sum() + expert * (share(chosen) * p).sum())
