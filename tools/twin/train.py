"""Trains the model of a run of minke once more with torch: same weights at the start, same order of
data, schedule and optimizer.

    python tools/twin/train.py RUN START [--threads N]

RUN is minke's run folder; START a checkpoint whose weights are those of step 0 (a run of one step
with optimizer.lr=0 and balance.gamma=0 leaves one). Prints a JSON line a step, as RUN/metrics.jsonl.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import data  # noqa: E402
import model as twin  # noqa: E402


def refuse(recipe):
    """What the twin does not have."""
    t, o, b, s = (recipe[x] for x in ("train", "optimizer", "balance", "schedule"))
    for name, bad in {
        "several sources": len(recipe["data"]["sources"]) > 1,
        "data.fim": recipe["data"]["fim"],
        "train.batch_first": t["ramp_tokens"],
        "optimizer.kind": o["kind"] != "adamw",
        "optimizer.moments": o["moments"] != "f32",
        "optimizer.outlier_z": o["outlier_z"],
        "balance.device": b["device"] or b["transfer"],
        "schedule.kind": s["kind"] not in ("constant", "linear", "cosine"),
        "model.learn": recipe["model"]["learn"] != "*",
    }.items():
        if bad:
            raise SystemExit(f"the twin does not have {name}")


def numbers(x):
    """YAML 1.1 reads 1e-08 as text."""
    if isinstance(x, dict):
        return {k: numbers(v) for k, v in x.items()}
    try:
        return float(x) if isinstance(x, str) else x
    except ValueError:
        return x


def learning_rate(s, top, tokens, seen):
    warmup, final = s["warmup_tokens"], s["final_lr"]
    if seen < warmup:
        return top * seen / warmup
    if s["kind"] == "constant":
        return top
    p = min((seen - warmup) / (tokens - warmup), 1) if tokens > warmup else 0
    fall = p if s["kind"] == "linear" else 0.5 - 0.5 * math.cos(math.pi * p)
    return top + (final - top) * fall


def same_length(sequences):
    """Sequences as tensors [b, t], one for each length."""
    for n in sorted({len(x) for x in sequences}):
        yield torch.from_numpy(np.stack([x for x in sequences if len(x) == n]))


def loss_of(logits, targets):
    """Sum of nats: the last rows of logits may have no target."""
    return cross_entropy(logits[:, :targets.shape[1]].flatten(0, 1), targets.flatten(),
                         reduction="sum")


class Trainer:
    def __init__(self, m, recipe):
        self.m, self.r, self.tokens = m, recipe, 0
        o = recipe["optimizer"]
        weights = list(m.trained().values())
        self.optimizer = torch.optim.AdamW(
            [{"params": [x for x in weights if x.dim() == 2], "weight_decay": o["weight_decay"]},
             {"params": [x for x in weights if x.dim() == 1], "weight_decay": 0}],
            lr=0, betas=(o["beta1"], o["beta2"]), eps=o["eps"])

    def backward(self, sequences, mtp_weight):
        """Gradients of a step; main and MTP loss, choices of each expert by layer."""
        m, b = self.m, self.r["balance"]
        n_targets = sum(len(x) - 1 for x in sequences)
        n_tokens = sum(len(x) for x in sequences)
        main = ahead = 0.0
        load = {}
        for ids in same_length(sequences):
            layers = []
            logits, more = m.forward(ids, layers)
            loss = loss_of(logits, ids[:, 1:])
            further = sum(loss_of(x, ids[:, j + 2:]) for j, x in enumerate(more)) / max(m.n_mtp, 1)
            total = (loss + mtp_weight * further) / n_targets
            for i, counts, s, chosen in layers:
                load[i] = load.get(i, 0) + counts
                total = total + twin.balance_loss(m.c, s, chosen, b["sequence"],
                                                  b["expert"]) / n_tokens
            total.backward()
            main, ahead = main + float(loss.detach()), ahead + float(torch.as_tensor(further).detach())
        return main / n_targets, ahead / n_targets, load

    def step(self, sequences):
        m, r = self.m, self.r
        late = 0 < r["model"]["mtp_late_tokens"] <= self.tokens
        mtp_weight = r["model"]["mtp_late_weight" if late else "mtp_weight"]
        self.optimizer.zero_grad(set_to_none=True)
        loss, mtp_loss, load = self.backward(sequences, mtp_weight)
        before, self.tokens = self.tokens, self.tokens + sum(len(x) for x in sequences)
        lr = learning_rate(r["schedule"], r["optimizer"]["lr"], r["train"]["tokens"], self.tokens)
        clip = r["optimizer"]["clip"] or math.inf
        norm = torch.nn.utils.clip_grad_norm_(list(m.trained().values()), clip)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        until = r["balance"]["gamma_until_tokens"]
        if not 0 < until <= before:
            self.move_bias(load)
        return {"tokens": self.tokens, "loss": loss, "lr": lr, "norm": float(norm),
                "mtp_loss": mtp_loss}

    def move_bias(self, load):
        for layer, counts in load.items():
            over = counts * len(counts) - counts.sum()
            self.m.layers[layer]["mlp.gate." + twin.FIXED] -= self.r["balance"]["gamma"] * over.sign()

    @torch.no_grad()
    def evaluate(self, corpus):
        corpus.drawn = 0
        sequences = [corpus.next() for _ in range(self.r["eval"]["sequences"])]
        total = sum(float(loss_of(self.m.forward(ids, mtp=False)[0], ids[:, 1:]))
                    for ids in same_length(sequences))
        return total / sum(len(x) - 1 for x in sequences)


def open_run(run, start):
    recipe = numbers(yaml.safe_load((run / "recipe.yaml").read_text()))
    refuse(recipe)
    weights = {}
    for f in sorted(start.glob("model*.safetensors")):
        weights |= load_file(f)
    m = twin.Model(json.loads((start / "config.json").read_text()), weights)
    shards = sorted((run / "data").glob("*/*.tokens"))
    if len(shards) != 1:
        raise SystemExit(f"{run}/data: the twin reads one shard")
    ids, d, end = data.read_shard(shards[0]), recipe["data"], 1 - recipe["data"]["validation"]
    corpora = [data.Corpus(ids, d["sequence"], recipe["seed"], *share)
               for share in ((0, end), (end, 1))]
    return recipe, m, *corpora


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("run", type=pathlib.Path)
    p.add_argument("start", type=pathlib.Path)
    p.add_argument("--threads", type=int, default=1)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    recipe, m, train, valid = open_run(o.run, o.start)
    trainer, every = Trainer(m, recipe), recipe["eval"]["every"]
    step = 0
    while trainer.tokens < recipe["train"]["tokens"]:
        step += 1
        line = {"step": step, **trainer.step([train.next() for _ in range(recipe["train"]["batch"])])}
        last = trainer.tokens >= recipe["train"]["tokens"]
        if last or (every and step % every == 0):
            line["valid_loss"] = trainer.evaluate(valid)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
