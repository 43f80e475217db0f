#!/usr/bin/env python3
"""Training steps beside PyTorch, in turns of a few steps within the same minutes. Writes
bench/results/MACHINE-train-speed.csv. Models: bench/models (10M parameters a token, embedding not
counted): dense (Llama), dense-mla and moe-mla (DeepSeek-V3's layers; equal but for the experts).

PyTorch runs eager and compiled (all but the sorting of tokens by expert), in f32 and bf16; the
faster of each type counts. Utilisation: 6 x active parameters x tokens/s over the machine's f32
peak, the larger of torch.mm and minke's own product of f32 matrices, both as measured. (Fused
multiply-adds on registers, one thread's times the threads, are printed beside: no product of
matrices in memory gets there.)
PyTorch is in build/peers-venv (`make test-peers` installs it), or --python."""
import argparse
import csv
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINKE = ROOT / "build/minke"
LIMITS = ROOT / "build/bench/matmul_bench"
MODELS = ("dense", "dense-mla", "moe-mla")
RECIPE = """\
model: {{config: {root}/bench/models/{model}.json}}
data: {{sequence: {o.sequence}, validation: 0,
  sources: [{{path: {root}/recipes/shakespeare/shakespeare.txt}}]}}
train: {{tokens: {tokens}, batch: {o.batch}, memory_mb: 8192}}
threads: {o.threads}
eval: {{every: 0}}
save: {{every: 0}}
"""
MM = """\
import sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
a, b, best = torch.randn(2048, 2048), torch.randn(2048, 2048), 1e9
for _ in range(12):
    begun = time.perf_counter()
    torch.mm(a, b)
    best = min(best, time.perf_counter() - begun)
print(2 * 2048**3 / best)
"""


class Torch:
    """A process that waits for the word to take a step."""

    def __init__(self, o, model, *options):
        self.p = subprocess.Popen(
            [o.python, ROOT / "bench/train_torch.py", ROOT / f"bench/models/{model}.json",
             "--threads", str(o.threads), "--batch", str(o.batch), "--sequence", str(o.sequence),
             *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True)
        self.active = int(self.p.stdout.readline())

    def steps(self, n):
        for _ in range(n):
            self.p.stdin.write("\n")
            self.p.stdin.flush()
            yield float(self.p.stdout.readline().split()[0])

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def minke_steps(o, model, n):
    """Seconds of n steps after the first."""
    with tempfile.TemporaryDirectory() as folder:
        recipe, out = pathlib.Path(folder) / "r.yaml", pathlib.Path(folder) / "run"
        tokens = (n + 1) * o.batch * o.sequence
        recipe.write_text(RECIPE.format(root=ROOT, model=model, o=o, tokens=tokens))
        subprocess.run([o.minke, "train", recipe, "--set", f"out={out}", "-q"], check=True,
                       stdout=subprocess.DEVNULL)
        lines = [json.loads(x) for x in (out / "timing.jsonl").read_text().splitlines()]
    return [x["ms"] / 1000 for x in lines[1:n + 1]]


def peak(o):
    """Multiplications and additions a second in f32: torch.mm, minke's best product, registers."""
    mm = float(subprocess.run([o.python, "-c", MM, str(o.threads)], check=True, text=True,
                              stdout=subprocess.PIPE).stdout)
    text = subprocess.run([LIMITS, "", "f32"], check=True, stdout=subprocess.PIPE, text=True).stdout
    registers = float(re.search(r"f32 (\d+) GFLOP/s", text).group(1)) * 1e9 * o.threads
    return {"torch.mm": mm, "minke": ours_peak(text), "registers": registers}


def ours_peak(text):
    """The largest two-thread product of many rows in matmul_bench's table: before the share."""
    found = [float(m.group(2)) for m in re.finditer(
        r"^f32 .*?([\d.]+) +\d+ % +([\d.]+) +\d+ %", text, re.M)]
    return max(found, default=0) * 1e9


def variants(o):
    names = {"eager": (), "compile": ("--compile",)}
    return {n: v for n, v in names.items() if n in o.variants}


def measure(o, model):
    """Seconds a step of each contender."""
    peers = {n: Torch(o, model, *v) for n, v in variants(o).items()}
    times = {n: [] for n in ("minke", *peers)}
    for peer in peers.values():
        list(peer.steps(3))  # memory, compilation
    for i in range(o.rounds):
        print(f"\r{model}, round {i + 1} of {o.rounds} ", end="", file=sys.stderr, flush=True)
        times["minke"] += minke_steps(o, model, o.steps)
        for name, peer in peers.items():
            times[name] += peer.steps(o.steps)
    active = next(iter(peers.values())).active
    for peer in peers.values():
        peer.close()
    return active, times


def bf16_tokens(o, model):
    """One sequence a step: where the CPU has no bf16 products a whole step takes minutes."""
    small = argparse.Namespace(**{**vars(o), "batch": 1})
    peer = Torch(small, model, "--bf16")
    best = min(peer.steps(2))
    peer.close()
    return o.sequence / best


def rows(o, peaks):
    tokens, top = o.batch * o.sequence, max(peaks["torch.mm"], peaks["minke"])
    cost = {}
    for model in MODELS:
        active, times = measure(o, model)
        speed = {n: tokens / statistics.median(t) for n, t in times.items()}
        torch_best = max(v for n, v in speed.items() if n != "minke")
        cost[model] = 1 / (speed["minke"] * active)
        row = {"model": model, "active_params": active}
        for name, t in times.items():
            row[name] = f"{speed[name]:.0f}"
            row[name + "_spread"] = f"{tokens / max(t):.0f}-{tokens / min(t):.0f}"
        row["torch_bf16"] = f"{bf16_tokens(o, model):.0f}" if o.bf16 else ""
        row["ratio"] = f"{speed['minke'] / torch_best:.2f}"
        row["minke_utilisation"] = f"{6 * active * speed['minke'] / top:.3f}"
        row["torch_utilisation"] = f"{6 * active * torch_best / top:.3f}"
        row["moe_time_per_flop"] = (f"{cost[model] / cost['dense-mla']:.2f}"
                                    if model == "moe-mla" else "")
        row["load"] = f"{os.getloadavg()[0]:.1f}"
        yield row


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--sequence", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=2, help="of each contender in a round")
    p.add_argument("--variants", default="eager,compile")
    p.add_argument("--no-bf16", dest="bf16", action="store_false")
    p.add_argument("--minke", default=MINKE)
    p.add_argument("--python", default=ROOT / "build/peers-venv/bin/python")
    o = p.parse_args()
    load = os.getloadavg()[0]
    peaks = peak(o)
    table = list(rows(o, peaks))
    name = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    slug = re.sub(r"[^a-z0-9]+", "-", name.strip().lower()).strip("-")
    path = ROOT / f"bench/results/{slug}-train-speed.csv"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    with open(path, "w", newline="") as f:
        f.write(f"# {name.strip()}, {o.threads} threads, {datetime.date.today()}, minke {commit}, "
                f"torch 2.13; steps of {o.batch} x {o.sequence} tokens; tokens/s, medians of "
                f"{o.rounds} x {o.steps} interleaved steps\n")
        f.write("# measured f32 peak, GFLOP/s: "
                + ", ".join(f"{k} {v / 1e9:.0f}" for k, v in peaks.items())
                + f"; load average before: {load:.1f}, after each model: column load\n")
        writer = csv.DictWriter(f, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    print("\r" + path.read_text())


if __name__ == "__main__":
    main()
