"""Twenty steps of torch.optim.AdamW and torch.optim.Muon, and learning rates of transformers.

    python tools/golden/optim.py

Writes tests/golden/optim: NAME.txt holds the weights after 20 steps, one a line. Weights and
gradients of the start follow from integers alone (`noise`), so the test makes them itself:
gradient = 0.5 w + noise, clipped to a norm of 1 all together; the learning rate is a cosine with
three steps of warm-up. PyTorch runs Muon's Newton-Schulz steps in bf16; here a copy of them runs in
float32, as minke does. `v4` is DeepSeek-V4's variant, written out here.
"""

import pathlib

import numpy as np
import torch
import transformers

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/optim"
SHAPES = [(48, 20), (20, 48), (20,)]  # tall, wide, a norm
STEPS, WARMUP = 20, 3


def noise(tensor, step, n):
    """Uniform in [-1, 1), 24 bits, from (tensor, step, index)."""
    x = (np.arange(n, dtype=np.uint64) + np.uint64(1000003 * (step + 1) + 7919 * tensor)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    x ^= x >> np.uint64(32)
    x *= np.uint64(0xD6E8FEB86659FD93)
    x ^= x >> np.uint64(32)
    return ((x >> np.uint64(40)).astype(np.float32) - np.float32(1 << 23)) / np.float32(1 << 23)


def start():
    return [
        torch.nn.Parameter(torch.from_numpy(noise(i, -1, int(np.prod(s))).reshape(s)))
        for i, s in enumerate(SHAPES)
    ]


def orthogonal(x, ns_coefficients=None, ns_steps=None, eps=1e-7, variant="torch"):
    quick, settle = (3.4445, -4.7750, 2.0315), (2.0, -1.5, 0.5)
    steps = [quick] * 8 + [settle] * 2 if variant == "v4" else [quick] * 5
    x = x.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for a, b, c in steps:
        g = x @ x.T
        x = a * x + (b * g + c * g @ g) @ x
    return x.T if tall else x


class V4Muon(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 0.05)
                update = orthogonal(p.grad.lerp(m, 0.95), variant="v4")
                p.mul_(1 - group["lr"] * 0.1)
                p.sub_(group["lr"] * 0.18 * max(p.shape) ** 0.5 * update)


def run(name, make):
    params = start()
    optimisers = make(params)
    schedules = [
        transformers.get_cosine_schedule_with_warmup(o, WARMUP, STEPS) for o in optimisers
    ]
    for step in range(STEPS):
        for i, p in enumerate(params):
            p.grad = 0.5 * p.detach() + torch.from_numpy(noise(i, step, p.numel())).reshape(p.shape)
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        for o, s in zip(optimisers, schedules):
            o.step()
            s.step()
    values = torch.cat([p.detach().ravel() for p in params]).numpy()
    (OUT / f"{name}.txt").write_text("".join(f"{v:.9g}\n" for v in values))


def groups(params, decay):
    """Matrices decay, vectors do not."""
    return [
        {"params": [p for p in params if p.ndim == 2], "weight_decay": decay},
        {"params": [p for p in params if p.ndim == 1], "weight_decay": 0.0},
    ]


def adamw(params, lr=1e-2, eps=1e-8):
    return torch.optim.AdamW(groups(params, 0.1), lr=lr, betas=(0.9, 0.95), eps=eps)


def muon(adjust):
    def make(params):
        matrices = [p for p in params if p.ndim == 2]
        rest = [p for p in params if p.ndim == 1]
        return [
            torch.optim.Muon(matrices, lr=1e-2, weight_decay=0.1, momentum=0.95, adjust_lr_fn=adjust),
            adamw(rest),
        ]

    return make


def schedules():
    """lr after each of 40 steps, 5 of them warm-up."""
    makers = {
        "constant": lambda o: transformers.get_constant_schedule_with_warmup(o, 5),
        "linear": lambda o: transformers.get_linear_schedule_with_warmup(o, 5, 40),
        "cosine": lambda o: transformers.get_cosine_schedule_with_warmup(o, 5, 40),
        "wsd": lambda o: transformers.get_wsd_schedule(
            o, 5, 10, num_stable_steps=25, decay_type="linear"
        ),
    }
    lines = []
    for name, make in makers.items():
        o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        s = make(o)
        for step in range(40):
            lines.append(f"{name} {step} {s.get_last_lr()[0]:.9g}\n")
            o.step()
            s.step()
    (OUT / "schedules.txt").write_text("".join(lines))


def main():
    torch.set_num_threads(1)
    torch.optim._muon._zeropower_via_newtonschulz = orthogonal
    run("adamw", lambda p: [adamw(p)])
    run("muon_original", muon("original"))
    run("muon_match_rms", muon("match_rms_adamw"))
    run("muon_v4", lambda p: [V4Muon([q for q in p if q.ndim == 2], 1e-2),
                              adamw([q for q in p if q.ndim == 1], eps=1e-20)])
    schedules()


if __name__ == "__main__":
    main()
