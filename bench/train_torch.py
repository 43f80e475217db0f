"""A training step in PyTorch, for bench/train_speed.py: reads a line, takes a step, prints its
seconds. The first line printed is the number of parameters that a token meets."""
import argparse
import json
import pathlib
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools/twin"))
import model as twin  # noqa: E402
from train import loss_of  # noqa: E402


def shapes(c):
    """Names and shapes, all that the twin needs."""
    d, v, mla = c["hidden_size"], c["vocab_size"], "kv_lora_rank" in c
    h = c["num_attention_heads"]
    yield from (("model.embed_tokens.weight", (v, d)), ("lm_head.weight", (v, d)),
                ("model.norm.weight", (d,)))

    def mlp(p, width):
        return ((p + "gate_proj.weight", (width, d)), (p + "up_proj.weight", (width, d)),
                (p + "down_proj.weight", (d, width)))

    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        a = p + "self_attn."
        yield from ((p + "input_layernorm.weight", (d,)), (p + "post_attention_layernorm.weight", (d,)))
        if mla:
            nope, rope, rank = (c[k] for k in ("qk_nope_head_dim", "qk_rope_head_dim", "kv_lora_rank"))
            yield from ((a + "q_proj.weight", (h * (nope + rope), d)),
                        (a + "kv_a_proj_with_mqa.weight", (rank + rope, d)),
                        (a + "kv_a_layernorm.weight", (rank,)),
                        (a + "kv_b_proj.weight", (h * (nope + c["v_head_dim"]), rank)),
                        (a + "o_proj.weight", (d, h * c["v_head_dim"])))
        else:
            kv = c["num_key_value_heads"] * c["head_dim"]
            yield from ((a + "q_proj.weight", (h * c["head_dim"], d)), (a + "k_proj.weight", (kv, d)),
                        (a + "v_proj.weight", (kv, d)), (a + "o_proj.weight", (d, h * c["head_dim"])))
        if not mla or i < c["first_k_dense_replace"]:
            yield from mlp(p + "mlp.", c["intermediate_size"])
            continue
        n, width = c["n_routed_experts"], c["moe_intermediate_size"]
        yield from ((p + "mlp.gate.weight", (n, d)), (p + "mlp.gate." + twin.FIXED, (n,)))
        yield from mlp(p + "mlp.shared_experts.", width * c["n_shared_experts"])
        for e in range(n):
            yield from mlp(f"{p}mlp.experts.{e}.", width)


def active(c, weights):
    """Parameters of the matrices that a token is multiplied with: no embedding."""
    share = c["num_experts_per_tok"] / c["n_routed_experts"] if c.get("n_routed_experts") else 1
    return round(sum(x.numel() * (share if ".experts." in n else 1) for n, x in weights.items()
                     if x.dim() == 2 and "embed" not in n))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("config", type=pathlib.Path)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--sequence", type=int, default=256)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--clock", choices=("wall", "cpu"), default="wall",
                   help="cpu: processor seconds over threads")
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    c = json.loads(o.config.read_text())
    m = twin.Model(c, {n: torch.ones(s) if n.endswith("norm.weight") else torch.randn(s) * 0.02
                       for n, s in shapes(c)})
    if o.compile:
        m.compile()
    print(active(c, m.w), flush=True)
    clock = time.perf_counter
    if o.clock == "cpu":
        def clock():
            return time.process_time() / o.threads
    weights = list(m.trained().values())
    optimizer = torch.optim.AdamW(weights, lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for _ in sys.stdin:
        ids = torch.randint(c["vocab_size"], (o.batch, o.sequence))
        begun = clock()
        optimizer.zero_grad(set_to_none=True)
        layers = []
        with torch.autocast("cpu", torch.bfloat16, enabled=o.bf16):
            logits, _ = m.forward(ids, layers)
        loss = loss_of(logits.float(), ids[:, 1:]) / ids[:, 1:].numel()
        for _, _, s, chosen in layers:
            loss = loss + twin.balance_loss(c, s, chosen, 1e-4, 0) / ids.numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        print(clock() - begun, float(loss.detach()), flush=True)


if __name__ == "__main__":
    main()
