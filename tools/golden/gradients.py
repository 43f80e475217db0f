"""What PyTorch autograd says of the golden models: loss and gradients of ids_29.

    python tools/golden/gradients.py [NAME ...]

Gradients are as large as the models, so a file keeps of each its norm and eight sums of its values
with random signs: the root mean square of eight differences estimates the norm of the whole
difference. The model is transformers' own. MTP (V3 report, 2.2: embedding first, as the released
eh_proj has it), the balance losses (deepseek.md 3.4) and V2's dropping (3.6) are written out here
with torch.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/models"
MTP_WEIGHT = 0.3
# Large, so that they are seen in the gradients.
SEQUENCE, EXPERT, DEVICE, TRANSFER = 0.5, 0.5, 0.25, 0.125


def signs(n, k):
    x = (np.arange(n, dtype=np.uint64) * np.uint64(8) + np.uint64(k)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    x ^= x >> np.uint64(32)
    x *= np.uint64(0xD6E8FEB86659FD93)
    x ^= x >> np.uint64(32)
    return 1.0 - 2.0 * (x & np.uint64(1)).astype(np.float64)


def line(name, g):
    g = g.detach().double().numpy().ravel()
    sums = [float((signs(g.size, k) * g).sum()) for k in range(8)]
    return " ".join([name, f"{np.sqrt((g * g).sum()):.9g}", *(f"{s:.9g}" for s in sums)])


def separate(name, g):
    """transformers keeps all experts of a layer in two tensors."""
    if name.endswith("experts.gate_up_proj"):
        base = name.removesuffix("gate_up_proj")
        for e, x in enumerate(g):
            gate, up = x.chunk(2)
            yield f"{base}{e}.gate_proj.weight", gate
            yield f"{base}{e}.up_proj.weight", up
    elif name.endswith("experts.down_proj"):
        for e, x in enumerate(g):
            yield f"{name.removesuffix('down_proj')}{e}.down_proj.weight", x
    else:
        yield name, g


def write(path, loss, named):
    lines = [f"loss {float(loss.detach()):.9g}"]
    for name, g in named:
        lines += [line(n, x) for n, x in separate(name, g)]
    path.write_text("\n".join(lines) + "\n")


def widened(folder, out):
    """The model of an FP8 folder with its weights as float32, in `out`."""
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (out / "config.json").write_text(json.dumps(config))
    stored = {k: x for f in folder.glob("*.safetensors") for k, x in load_file(f).items()}
    weights = {}
    for name, x in stored.items():
        scale = stored.get(name + "_scale_inv")
        if scale is not None:
            blocks = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)
            weights[name] = x.float() * blocks[: x.shape[0], : x.shape[1]]
        elif not name.endswith("_scale_inv"):
            weights[name] = x.float()
    save_file(weights, out / "model.safetensors", {"format": "pt"})
    return out


def load(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )
    return model.train()


def gradients(parameters, prefix=""):
    return [(prefix + n, p.grad) for n, p in parameters if p.grad is not None]


def main_loss(folder, ids):
    model = load(folder)
    out = model(ids, labels=ids, use_cache=False)
    out.loss.backward()
    return out.loss, gradients(model.named_parameters())


class Mtp(torch.nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        d, eps = config.hidden_size, config.rms_norm_eps
        self.enorm, self.hnorm = v3.DeepseekV3RMSNorm(d, eps), v3.DeepseekV3RMSNorm(d, eps)
        self.eh_proj = torch.nn.Linear(2 * d, d, bias=False)
        self.block = v3.DeepseekV3DecoderLayer(config, layer)
        self.norm = v3.DeepseekV3RMSNorm(d, eps)

    def forward(self, model, hidden, ids):
        x = self.eh_proj(
            torch.cat([self.enorm(model.model.embed_tokens(ids)), self.hnorm(hidden)], -1)
        )
        t = x.shape[1]
        positions = torch.arange(t)[None]
        mask = torch.full((1, 1, t, t), -torch.inf).triu(1)
        x = self.block(
            x,
            attention_mask=mask,
            position_ids=positions,
            position_embeddings=model.model.rotary_emb(x, positions),
        )
        return model.lm_head(self.norm(x))

    def load(self, weights, prefix):
        state = {}
        for name, p in self.state_dict().items():
            stored = name.removeprefix("block.")
            stored = "shared_head.norm.weight" if name == "norm.weight" else stored
            if name.endswith("experts.gate_up_proj"):
                base = prefix + stored.removesuffix("gate_up_proj")
                state[name] = torch.stack(
                    [
                        torch.cat([weights[f"{base}{e}.{w}_proj.weight"] for w in ("gate", "up")])
                        for e in range(p.shape[0])
                    ]
                )
            elif name.endswith("experts.down_proj"):
                base = prefix + stored.removesuffix("down_proj")
                state[name] = torch.stack(
                    [weights[f"{base}{e}.down_proj.weight"] for e in range(p.shape[0])]
                )
            else:
                state[name] = weights[prefix + stored]
        self.load_state_dict(state)

    def file_names(self, prefix):
        for name, p in self.named_parameters():
            stored = name.removeprefix("block.")
            stored = "shared_head.norm.weight" if name == "norm.weight" else stored
            yield prefix + stored, p


def mtp_loss(folder, ids):
    model = load(folder)
    layer = model.config.num_hidden_layers
    prefix = f"model.layers.{layer}."
    model.config._attn_implementation = "eager"
    mtp = Mtp(model.config, layer).train()
    mtp.load({k: x for f in folder.glob("*.safetensors") for k, x in load_file(f).items()}, prefix)
    hidden = model.model(ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden)
    n = ids.shape[1] - 1
    cross_entropy = torch.nn.functional.cross_entropy
    main = cross_entropy(logits[0, :-1], ids[0, 1:])
    ahead = mtp(model, hidden[:, :-1], ids[:, 1:])
    more = cross_entropy(ahead[0, :-1], ids[0, 2:], reduction="sum") / n
    (main + MTP_WEIGHT * more).backward()
    return main + MTP_WEIGHT * more, gradients(model.named_parameters()) + gradients(
        mtp.file_names(prefix)
    )


def balance(config, logits, bias):
    """The balance losses of one layer. logits [t, e]."""
    t, e = logits.shape
    k, groups = config.num_experts_per_tok, config.n_group or 1
    is_v3 = bias is not None
    s = logits.sigmoid() if is_v3 else logits.softmax(-1)
    choose = s + bias if is_v3 else s
    if groups > 1:
        grouped = choose.reshape(t, groups, -1)
        score = grouped.topk(2, -1).values.sum(-1) if is_v3 else grouped.max(-1).values
        keep = torch.zeros(t, groups).scatter(1, score.topk(config.topk_group, -1).indices, 1)
        choose = choose.masked_fill(keep.repeat_interleave(e // groups, 1) == 0, -torch.inf)
    chosen = torch.zeros(t, e).scatter(1, choose.topk(k, -1).indices, 1)
    best = torch.zeros(t, e).scatter(1, s.topk(k, -1).indices, 1)
    p = (s / s.sum(-1, keepdim=True) if is_v3 else s).mean(0)
    f, f_best = e / (k * t) * chosen.sum(0), e / (k * t) * best.sum(0)
    loss = SEQUENCE * (f_best * p).sum() + EXPERT * (f * p).sum()
    if groups > 1:
        device = lambda x: x.reshape(groups, -1)
        p_device = device(p).sum(-1)
        loss = loss + DEVICE * (device(f).mean(-1) * p_device).sum()
        sent = (chosen.reshape(t, groups, -1).sum(-1) > 0).double().sum(0)
        sent = groups / (config.topk_group * t) * sent
        loss = loss + TRANSFER * (sent.float() * p_device).sum()
    return loss


def balance_loss(folder, ids):
    model = load(folder)
    terms = []
    for layer in model.model.layers:
        gate = getattr(layer.mlp, "gate", None)
        if gate is None:
            continue
        bias = getattr(gate, "e_score_correction_bias", None)

        def hook(module, inputs, output, bias=bias, gate=gate):
            x = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
            logits = torch.nn.functional.linear(x, gate.weight.float())
            terms.append(balance(model.config, logits, bias))

        gate.register_forward_hook(hook)
    out = model(ids, labels=ids, use_cache=False)
    loss = out.loss + sum(terms)
    loss.backward()
    return loss, gradients(model.named_parameters())


def drop(config, choices, weights):
    """V2's capacity of one mean load a device: weights of the choices beyond it become 0."""
    groups, size = config.n_group, config.n_routed_experts // config.n_group
    room = -(-choices.numel() // groups)
    mask, device = torch.ones_like(weights).flatten(), (choices // size).flatten()
    for d in range(groups):
        here = (device == d).nonzero().flatten()
        order = weights.detach().flatten()[here].argsort(descending=True, stable=True)
        mask[here[order[room:]]] = 0
    return weights * mask.view_as(weights)


def capacity_loss(folder, ids):
    model = load(folder)
    n_dropped = 0
    for layer in model.model.layers:
        if not hasattr(layer.mlp, "experts"):
            continue

        def hook(module, inputs):
            nonlocal n_dropped
            x, choices, weights = inputs
            kept = drop(model.config, choices, weights)
            n_dropped += int(((kept == 0) & (weights != 0)).sum())
            return x, choices, kept

        layer.mlp.experts.register_forward_pre_hook(hook)
    out = model(ids, labels=ids, use_cache=False)
    out.loss.backward()
    assert n_dropped > 0
    return out.loss, gradients(model.named_parameters())


def main(names):
    torch.set_num_threads(1)
    for folder in sorted(p for p in ROOT.iterdir() if p.is_dir()):
        if names and folder.name not in names:
            continue
        expected = folder / "expected"
        ids = torch.tensor([[int(x) for x in (expected / "ids_29.txt").read_text().split()]])
        with tempfile.TemporaryDirectory() as wide:
            fp8 = folder.name == "v3-fp8"
            model = widened(folder, pathlib.Path(wide)) if fp8 else folder
            write(expected / "gradients.txt", *main_loss(model, ids))
        if folder.name == "v3":
            write(expected / "gradients_mtp.txt", *mtp_loss(folder, ids))
        if folder.name in ("v3", "v2-lite", "v2-groups"):
            write(expected / "gradients_balance.txt", *balance_loss(folder, ids))
        if folder.name == "v2-groups":
            write(expected / "gradients_capacity.txt", *capacity_loss(folder, ids))
        print(folder.name)


if __name__ == "__main__":
    main(sys.argv[1:])
