#!/usr/bin/env python3
"""Training steps beside PyTorch, in turns of a few steps within the same minutes. Writes
bench/results/MACHINE-train-speed.csv. Models: bench/models (10M parameters a token, embedding not
counted): dense (Llama), dense-mla and moe-mla (DeepSeek-V3's layers; equal but for the experts).

Either side runs in f32 and bf16, PyTorch eager and compiled (all but the sorting of tokens by
expert); the fastest of each side counts. Utilisation: 6 x active parameters x tokens/s over the
machine's peak of the same type: the largest of torch.mm and minke's own product, both measured
again in every round.

--clock cpu counts processor seconds instead of the wall's, for a machine that others keep busy:
with --threads 1 neither side then pays for waiting. PyTorch is in build/peers-venv (`make
test-peers` installs it), or --python.

--cpu avx2 keeps both sides to AVX2 on a machine that has more (CAPS says how), which stands in for
one without AVX-512; PyTorch's bf16, some fiftieth of its f32 there, is left out unless --variants
names it."""
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
MODELS = ("dense", "dense-mla", "moe-mla")
TYPES = ("f32", "bf16")
RECIPE = """\
model: {{config: {root}/bench/models/{model}.json}}
data: {{sequence: {o.sequence}, validation: 0,
  sources: [{{path: {root}/recipes/shakespeare/shakespeare.txt}}]}}
train: {{tokens: {tokens}, batch: {o.batch}, memory_mb: 8192, compute: {type}}}
threads: {o.threads}
eval: {{every: 0}}
save: {{every: 0}}
"""
# What PyTorch, its libraries and the compiler behind torch.compile may use. For f32 on AMD MKL takes
# its own AVX2 kernels anyway.
CAPS = {"avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
                 "MKL_ENABLE_INSTRUCTIONS": "AVX2", "TORCHINDUCTOR_CPP_MARCH": "haswell"}}
MM = """\
import sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
clock = time.process_time if sys.argv[2] == "cpu" else time.perf_counter
share = int(sys.argv[1]) if sys.argv[2] == "cpu" else 1
m = {t: torch.randn(1536, 1536).to(t) for t in (torch.float32, torch.bfloat16)}
print(torch.backends.cpu.get_cpu_capability(), flush=True)
for _ in sys.stdin:
    for a in m.values():
        best = 1e9
        for _ in range(8):
            begun = clock()
            torch.mm(a, a)
            best = min(best, (clock() - begun) / share)
            if best > 1:
                break
        print(2 * 1536**3 / best, flush=True)
"""


def torch_environment(o):
    return {**os.environ, **CAPS.get(o.cpu, {})}


class Torch:
    """A process that waits for the word to take a step."""

    def __init__(self, o, model, *options):
        self.p = subprocess.Popen(
            [str(o.python), str(ROOT / "bench/train_torch.py"),
             str(ROOT / f"bench/models/{model}.json"), "--threads", str(o.threads),
             "--batch", str(o.batch), "--sequence", str(o.sequence), "--clock", o.clock, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=torch_environment(o))
        self.active = int(self.p.stdout.readline())

    def steps(self, n):
        for _ in range(n):
            self.p.stdin.write("\n")
            self.p.stdin.flush()
            line = self.p.stdout.readline()
            if not line:
                sys.exit(f"PyTorch ended with status {self.p.wait()}: {' '.join(self.p.args[1:])}")
            yield float(line.split()[0])

    def close(self):
        self.p.stdin.close()
        self.p.wait()


class Peaks:
    """The largest torch.mm so far, of each type."""

    def __init__(self, o):
        self.p = subprocess.Popen([o.python, "-c", MM, str(o.threads), o.clock],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  env=torch_environment(o))
        self.capability = self.p.stdout.readline().strip()
        if o.cpu and self.capability.lower() != o.cpu:
            sys.exit(f"PyTorch says {self.capability}, not {o.cpu}: it does not keep to the cap")
        self.torch = dict.fromkeys(TYPES, 0.0)
        self.minke = dict.fromkeys(TYPES, 0.0)

    def measure(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        for t in TYPES:
            self.torch[t] = max(self.torch[t], float(self.p.stdout.readline()))

    def of(self, t):
        """bf16 is computed in f32 where the machine has no products of it."""
        return max(p[n] for p in (self.torch, self.minke) for n in {t, "f32"})

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def minke_steps(o, model, number_type, n, active, peaks):
    """Seconds of n steps after the first."""
    with tempfile.TemporaryDirectory() as folder:
        recipe, out = pathlib.Path(folder) / "r.yaml", pathlib.Path(folder) / "run"
        tokens = (n + 1) * o.batch * o.sequence
        recipe.write_text(RECIPE.format(root=ROOT, model=model, o=o, tokens=tokens,
                                        type=number_type))
        subprocess.run([o.minke, "train", recipe, "--set", f"out={out}", "-q",
                        *(["--cpu", o.cpu] if o.cpu else [])],
                       check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(x) for x in (out / "timing.jsonl").read_text().splitlines()]
    if o.clock == "cpu":
        cpu = [x["cpu_ms"] for x in lines]
        return [(b - a) / 1000 / o.threads for a, b in zip(cpu, cpu[1:n + 1])]
    peak = 6 * active * lines[-1]["tokens_per_s"] / lines[-1]["utilisation"]  # what it measured
    peaks.minke[number_type] = max(peaks.minke[number_type], peak)
    return [x["ms"] / 1000 for x in lines[1:n + 1]]


def variants(o):
    names = {f"{kind}-{t}": [*(["--compile"] if kind == "compile" else []),
                             *(["--bf16"] if t == "bf16" else [])]
             for kind in ("eager", "compile") for t in TYPES}
    return {n: v for n, v in names.items() if n in o.variants.split(",")}


def measure(o, model, peaks):
    """Seconds a step of each contender."""
    peers = {n: Torch(o, model, *v) for n, v in variants(o).items()}
    times = {n: [] for n in (*(f"minke-{t}" for t in TYPES), *peers)}
    active = next(iter(peers.values())).active
    for peer in peers.values():
        list(peer.steps(2))  # memory, compilation
    for i in range(o.rounds):
        print(f"\r{model}, round {i + 1} of {o.rounds} ", end="", file=sys.stderr, flush=True)
        peaks.measure()
        for t in TYPES:
            times[f"minke-{t}"] += minke_steps(o, model, t, o.steps, active, peaks)
        for name, peer in peers.items():
            times[name] += peer.steps(o.steps)
    for peer in peers.values():
        peer.close()
    return active, times


def rows(o, peaks):
    tokens = o.batch * o.sequence
    cost, found = {}, []
    for model in o.models.split(","):
        active, times = measure(o, model, peaks)
        speed = {n: tokens / statistics.median(t) for n, t in times.items()}
        best = {side: max((n for n in speed if n.startswith("minke") == side), key=speed.get)
                for side in (True, False)}
        for t in TYPES:
            cost[model, t] = 1 / (speed[f"minke-{t}"] * active)
        row = {"model": model, "active_params": active}
        for name, t in times.items():
            row[name] = f"{speed[name]:.0f}"
            row[name + " spread"] = f"{tokens / max(t):.0f}-{tokens / min(t):.0f}"
        row["ratio"] = f"{speed[best[True]] / speed[best[False]]:.2f}"
        row["best"] = f"{best[True]} / {best[False]}"
        row["used"] = (active, speed, best)
        for t in TYPES:
            row[f"moe time a flop, {t}"] = (
                f"{cost[model, t] / cost['dense-mla', t]:.2f}"
                if model == "moe-mla" and ("dense-mla", t) in cost else "")
        row["load"] = f"{os.getloadavg()[0]:.1f}"
        found.append(row)
    for row in found:  # the peaks of all rounds are known by now
        active, speed, best = row.pop("used")
        for name in (*(f"minke-{t}" for t in TYPES), best[False]):
            share = 6 * active * speed[name] / peaks.of(name.split("-")[1])
            row[("torch" if name == best[False] else name) + " utilisation"] = f"{share:.3f}"
    return found


def machine(o):
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text).group(1).strip()
    best = [s for s in ("avx2", "avx512f", "avx512_bf16") if s in text.split()]
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if o.cpu in best[:-1]:
        return name, [f"kept to {o.cpu}; it has {', '.join(best)}"], f"{slug}-capped-{o.cpu}"
    return name, best, slug + ("-avx512" if "avx512f" in best else "")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--sequence", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=2, help="of each contender in a round")
    p.add_argument("--models", default=",".join(MODELS))
    p.add_argument("--cpu", choices=CAPS, help="keep both sides to less than the machine has")
    p.add_argument("--variants", help="of PyTorch: eager-f32,compile-f32,eager-bf16,compile-bf16")
    p.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    p.add_argument("--minke", default=MINKE)
    p.add_argument("--python", default=ROOT / "build/peers-venv/bin/python")
    o = p.parse_args()
    o.variants = o.variants or ",".join(f"{kind}-{t}" for t in (TYPES[:1] if o.cpu else TYPES)
                                        for kind in ("eager", "compile"))
    load, peaks = os.getloadavg()[0], Peaks(o)
    table = rows(o, peaks)
    peaks.close()
    name, sets, slug = machine(o)
    kind = "train-speed" if o.clock == "wall" else "train-speed-cpu"
    path = ROOT / f"bench/results/{slug}-{kind}.csv"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    with open(path, "w", newline="") as f:
        f.write(f"# {name} ({', '.join(sets)}), threads {o.threads}, {datetime.date.today()}, "
                f"minke {commit}, torch 2.13; steps of {o.batch} x {o.sequence} tokens; tokens a "
                f"second of the {'wall clock' if o.clock == 'wall' else 'processor'}, medians of "
                f"{o.rounds} x {o.steps} interleaved steps\n")
        f.write("# measured peaks, GFLOP/s: "
                + ", ".join(f"torch.mm {t} {peaks.torch[t] / 1e9:.0f}"
                            + (f", minke {t} {peaks.minke[t] / 1e9:.0f}" if peaks.minke[t] else "")
                            for t in TYPES)
                + f"; load average before: {load:.1f}, after each model: column load\n")
        writer = csv.DictWriter(f, table[0], lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)
    print("\r" + path.read_text())


if __name__ == "__main__":
    main()
