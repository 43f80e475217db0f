"""What training in V3's FP8 scheme computes: loss and gradients of the golden model v3 on ids_29.

    python tools/golden/fp8_gradients.py

The model is transformers' own with its products exchanged for those of the report (V3 report, 3.3;
deepseek.md 5.1), rounding by torch.float8_e4m3fn. Sums are f32 as in minke, but of another order,
so a value that lies between two codes may fall to the other side. Writes
tests/golden/models/v3/expected/gradients_fp8.txt in the form of gradients.py.
"""

import types

import torch
from fp8 import e5m6, quantise
from gradients import ROOT, gradients, load, write

silu = torch.nn.functional.silu


def q(x, height, width, power_of_two=False, gradient=False):
    y, _, s = quantise(x, height, width, power_of_two, least=1e-30 if gradient else 1e-4)
    return y.to(torch.float8_e4m3fn).float() * s


def rows(x, **rule):
    return q(x, 1, 128, **rule)


def columns(x, **rule):
    return q(x, 128, 1, **rule)


def weight(w):
    return q(w, 128, 128)


def bf16(x):
    return x.to(torch.bfloat16).float()


SENT = {"power_of_two": True}
GRADIENT = {"gradient": True}
SENT_GRADIENT = {"power_of_two": True, "gradient": True}


class Linear(torch.autograd.Function):
    """y = x W^T. after_attention: its input is kept in E5M6."""

    @staticmethod
    def forward(ctx, x, w, after_attention):
        x8, w8 = rows(x), weight(w)
        kept = x8
        if after_attention:
            y, _, s = quantise(x, 1, 128, True, 65024.0)
            kept = (e5m6(y) * s.double()).float()
        ctx.after_attention = after_attention
        ctx.save_for_backward(kept, w8)
        return x8 @ w8.T

    @staticmethod
    def backward(ctx, dy):
        kept, w8 = ctx.saved_tensors
        turned = columns(kept, power_of_two=ctx.after_attention)
        return rows(dy, **GRADIENT) @ w8, columns(dy, **GRADIENT).T @ turned, None


class Bf16Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(bf16(x), bf16(w))
        return bf16(x) @ bf16(w).T

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return bf16(dy) @ w, bf16(dy).T @ x


class Network(torch.autograd.Function):
    """SwiGLU's three products. scale [t, 1]: of an expert, what the router gives its output; its
    rows are sent to it and back. None: of a network that is everywhere."""

    @staticmethod
    def forward(ctx, x, scale, gate, up, down):
        sent = scale is not None
        x8 = rows(x, power_of_two=sent)
        gate8, up8, down8 = weight(gate), weight(up), weight(down)
        g, u = x8 @ gate8.T, x8 @ up8.T
        y = rows(silu(g) * u) @ down8.T
        ctx.sent = sent
        ctx.save_for_backward(x8, scale, rows(g), rows(u), gate8, up8, down8)
        return bf16(y) * scale if sent else y

    @staticmethod
    def backward(ctx, dy):
        x8, scale, g, u, gate8, up8, down8 = ctx.saved_tensors
        power = {"power_of_two": ctx.sent}
        d8 = rows(dy, **(SENT_GRADIENT if ctx.sent else GRADIENT))
        turned = columns(d8 if ctx.sent else dy, power_of_two=ctx.sent, gradient=True)
        act, dact, dscale = silu(g) * u, d8 @ down8, None
        if ctx.sent:
            dscale = (act * dact).sum(-1, keepdim=True)
            act, dact = act * scale, dact * scale
        s = torch.sigmoid(g)
        dg, du = dact * u * s * (1 + g * (1 - s)), dact * silu(g)
        x_turned = columns(x8, **power)
        dx = rows(dg, **GRADIENT) @ gate8 + rows(du, **GRADIENT) @ up8
        return (
            bf16(dx) if ctx.sent else dx,
            dscale,
            columns(dg, **GRADIENT).T @ x_turned,
            columns(du, **GRADIENT).T @ x_turned,
            turned.T @ columns(act),
        )


def flat(x):
    return x.reshape(-1, x.shape[-1])


def linear(module, after_attention):
    def forward(self, x):
        return Linear.apply(flat(x), self.weight, after_attention).view(*x.shape[:-1], -1)

    module.forward = types.MethodType(forward, module)


def network(module):
    def forward(self, x):
        weights = (m.weight for m in (self.gate_proj, self.up_proj, self.down_proj))
        return Network.apply(flat(x), None, *weights).view_as(x)

    module.forward = types.MethodType(forward, module)


def experts(module):
    def forward(self, x, choices, scales):
        out = torch.zeros_like(x)
        for e in range(self.gate_up_proj.shape[0]):
            token, slot = (choices == e).nonzero(as_tuple=True)
            if len(token):
                gate, up = self.gate_up_proj[e].chunk(2)
                scale = scales[token, slot, None]
                y = Network.apply(x[token], scale, gate, up, self.down_proj[e])
                out = out.index_add(0, token, y)
        return out

    module.forward = types.MethodType(forward, module)


def low_precision(model):
    for layer in model.model.layers:
        a, f = layer.self_attn, layer.mlp
        for name in ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"):
            linear(getattr(a, name), name == "o_proj")
        network(getattr(f, "shared_experts", f))
        if hasattr(f, "experts"):
            experts(f.experts)
    embed, head = model.model.embed_tokens, model.lm_head
    embed.forward = types.MethodType(
        lambda self, ids: self.weight[ids] + (bf16(self.weight) - self.weight).detach()[ids], embed
    )
    head.forward = types.MethodType(
        lambda self, x: Bf16Linear.apply(flat(x), self.weight).view(*x.shape[:-1], -1), head
    )


def main():
    torch.set_num_threads(1)
    expected = ROOT / "v3/expected"
    ids = torch.tensor([[int(x) for x in (expected / "ids_29.txt").read_text().split()]])
    model = load(ROOT / "v3")
    low_precision(model)
    loss = model(ids, labels=ids, use_cache=False).loss
    loss.backward()
    write(expected / "gradients_fp8.txt", loss, gradients(model.named_parameters()))


if __name__ == "__main__":
    main()
