#!/usr/bin/env python3
"""Does training learn what it should? Two questions to a recipe, each with its table:

    bench/train_learning.py twin        minke beside its PyTorch twin (tools/twin): the losses of
                                        both, from the same weights on the same data
    bench/train_learning.py precision   bf16 and FP8 products (train.compute), from the same seeds

Writes bench/results/MACHINE-train-WHAT.csv. Runs are kept in --work and not repeated. The twin
needs the Python of build/peers-venv (`make test-peers` installs it), or the one given."""
import argparse
import csv
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINKE = ROOT / "build/minke"
MACHINE = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
QUIET = ["save.every=0", "sample.every=0"]


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def minke(o, name, *sets):
    """Metrics of a run; one that is there and finished is taken as it is."""
    out = o.work / name
    if not list(out.glob("checkpoints/step-*")):
        command = [MINKE, "train", o.recipe, "--quiet"] + (["--resume"] if out.exists() else [])
        for s in (f"out={out}", f"threads={o.threads}", f"eval.every={o.every}", *QUIET, *o.set,
                  *sets):
            command += ["--set", s]
        print(name, file=sys.stderr)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read(out / "metrics.jsonl")


def twin(o):
    minke(o, "start", "train.tokens=1", "optimizer.lr=0", "balance.gamma=0", "eval.sequences=1")
    path, start = o.work / "twin.jsonl", next(o.work.glob("start/checkpoints/step-*"))
    if not path.exists():
        print("twin", file=sys.stderr)
        part = path.with_suffix(".part")
        with open(part, "w") as f:
            subprocess.run([o.python, ROOT / "tools/twin/train.py", o.work / "run", start,
                            "--threads", str(o.threads)], check=True, stdout=f)
        part.rename(path)
    return read(path)


def write(o, what, notes, rows):
    name = re.sub(r"[^a-z0-9]+", "-", MACHINE.group(1).lower()).strip("-")
    path = ROOT / f"bench/results/{name}-train-{what}.csv"
    with open(path, "w", newline="") as f:
        f.write(f"# {o.recipe.relative_to(ROOT)} {' '.join(o.set)}; minke {o.commit}, "
                f"{MACHINE.group(1).strip()}, {datetime.date.today()}\n")
        f.writelines(f"# {n}\n" for n in notes)
        writer = csv.DictWriter(f, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join(notes))
    print(f"written to {path.relative_to(ROOT)}")


def compare_twin(o):
    ours, theirs = minke(o, "run"), twin(o)
    version = subprocess.run([o.python, "-c", "import torch; print(torch.__version__)"],
                             check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    rows, same = [], 0
    for a, b in zip(ours, theirs, strict=True):
        difference = a["loss"] / b["loss"] - 1
        same += same == a["step"] - 1 and abs(difference) < 1e-6
        if "valid_loss" in a or a["step"] <= 12:
            valid = a.get("valid_loss", ""), b.get("valid_loss", "")
            rows.append({"step": a["step"], "tokens": a["tokens"], "minke_loss": a["loss"],
                         "torch_loss": f"{b['loss']:.9g}", "minke_valid": valid[0],
                         "torch_valid": f"{valid[1]:.9g}" if valid[1] else "",
                         "difference": f"{(valid[0] / valid[1] - 1 if valid[1] else difference):.1e}"})
    end = ours[-1]["valid_loss"] / theirs[-1]["valid_loss"] - 1
    write(o, "twin", [
        f"torch {version}; same initial weights, order of data, schedule and budget",
        f"losses of the first {same} steps within 1e-6 of each other; validation loss at the end "
        f"{ours[-1]['valid_loss']:.4f} and {theirs[-1]['valid_loss']:.4f}: {end * 100:+.3f} % "
        "(bound: 1 %)"], rows)


def compare_precision(o):
    """bf16 and FP8 from the same seeds. Chance: how far apart the seeds' differences lie."""
    last, rows = {}, []
    for seed in range(o.seeds):
        for kind in ("bf16", "fp8"):
            metrics = minke(o, f"{kind}-{seed}", f"train.compute={kind}", f"seed={seed}")
            last[kind, seed] = metrics[-1]["valid_loss"]
            rows += [{"compute": kind, "seed": seed, "step": m["step"], "tokens": m["tokens"],
                      "valid_loss": m["valid_loss"]} for m in metrics if "valid_loss" in m]
    differences = [last["fp8", s] / last["bf16", s] - 1 for s in range(o.seeds)]
    mean = sum(differences) / o.seeds
    error = (sum((d - mean) ** 2 for d in differences) / max(1, o.seeds - 1) / o.seeds) ** 0.5
    spread = [last["bf16", s] for s in range(o.seeds)]
    write(o, "precision", [
        "validation loss at the end: " + ", ".join(f"{k} {s}: {x:.4f}" for (k, s), x in last.items()),
        "fp8 over bf16, seed by seed: " + ", ".join(f"{d * 100:+.3f} %" for d in differences) +
        f"; mean {mean * 100:+.3f} % +- {error * 100:.3f} (bound: 0.25 %)",
        f"seeds of bf16 lie {(max(spread) / min(spread) - 1) * 100:.3f} % apart"], rows)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("what", choices=["twin", "precision"])
    p.add_argument("--recipe", type=pathlib.Path, default=ROOT / "recipes/shakespeare.yaml")
    p.add_argument("--set", action="append", default=[], help="over the recipe: KEY=VALUE")
    p.add_argument("--every", type=int, default=20, help="steps between validations")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--work", type=pathlib.Path, default=ROOT / "build/train-learning")
    p.add_argument("--python", default=ROOT / "build/peers-venv/bin/python")
    p.add_argument("--commit", default=subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE,
        text=True).stdout.strip())
    o = p.parse_args()
    o.recipe, o.work = o.recipe.resolve(), o.work.resolve()
    os.nice(10)
    o.work.mkdir(parents=True, exist_ok=True)
    {"twin": compare_twin, "precision": compare_precision}[o.what](o)


if __name__ == "__main__":
    main()
