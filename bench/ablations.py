#!/usr/bin/env python3
"""What is each part of DeepSeek's model worth? Trains recipes/ablate-*.yaml with several seeds,
prints the table and writes bench/results/MACHINE-ablations.csv.

Every run has one thread; as many run at a time as there are cores. Speed is tokens over the
processor's seconds of one thread, so that other work on the machine counts little. Noise: the runs
of one recipe differ by a standard deviation that all recipes share; a difference of two means below
twice its standard error is called noise. Runs are kept in --work and not repeated."""
import argparse
import concurrent.futures
import csv
import datetime
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINKE = ROOT / "build/minke"
RECIPES = ("mla", "gqa", "mqa", "mha", "moe", "mtp", "aux", "unbalanced")
# what is asked, the recipe that has it and the one that has not
QUESTIONS = (
    ("latent attention, not multi-head", "mla", "mha"),
    ("latent attention, not grouped queries", "mla", "gqa"),
    ("latent attention, not one shared key", "mla", "mqa"),
    ("experts, not dense, at equal compute", "moe", "mla"),
    ("multi-token prediction as well", "mtp", "moe"),
    ("balance by bias, not by V2's loss", "moe", "aux"),
    ("balance by bias, not left alone", "moe", "unbalanced"),
)
LAST_STEPS = 20  # whose load counts
STEP = 2000  # tokens, about


def checkpoint(out):
    return max(out.glob("checkpoints/step-*"), default=None)


def command(o, name, out, *sets):
    line = [MINKE, "train", ROOT / f"recipes/ablate-{name}.yaml", "--quiet"]
    for s in (f"out={out}", "threads=1", *o.set, *sets):
        line += ["--set", s]
    return line + (["--resume"] if out.exists() else [])


def train(o, name, seed):
    """A run that is there and finished is taken as it is."""
    out = o.work / f"{name}-{seed}"
    if not checkpoint(out):
        subprocess.run(command(o, name, out, f"seed={seed}"), check=True,
                       stdout=subprocess.DEVNULL)
        print(f"{name}, seed {seed}: done", file=sys.stderr, flush=True)


def seconds(line):
    """Of the processor, for one command."""
    before = os.times()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return sum(getattr(after, t) - getattr(before, t) for t in ("children_user", "children_system"))


def speed(o, name):
    """Tokens a second of the processor: what more steps cost beside one, so that all around them
    (vocabulary, evaluation, checkpoint) drops out."""
    path = o.work / f"{name}-speed.json"
    if not path.exists():
        cost, tokens = [], []
        for n in (1, 6):
            with tempfile.TemporaryDirectory() as folder:
                out = pathlib.Path(folder) / "run"
                cost.append(seconds(command(o, name, out, f"train.tokens={n * STEP}",
                                            "eval.sequences=1")))
                tokens.append(read(out / "metrics.jsonl")[-1]["tokens"])
        path.write_text(json.dumps((tokens[1] - tokens[0]) / (cost[1] - cost[0])))
    return json.loads(path.read_text())


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def outcome(out):
    """What a finished run says of itself. busiest: load of the busiest expert in multiples of the
    mean, of all layers and the last steps; None without experts."""
    steps = read(out / "metrics.jsonl")
    load = [layer["most"] for s in steps[-LAST_STEPS:] for layer in s.get("experts", ())]
    return {"valid": steps[-1]["valid_loss"], "busiest": statistics.fmean(load) if load else None}


def sizes(folder):
    """Bytes a token of bf16 cache, parameters, those that a token uses."""
    r = subprocess.run([MINKE, "inspect", folder, "--json", "--kv", "bf16"], check=True, text=True,
                       stdout=subprocess.PIPE)
    model = json.loads(r.stdout)
    return {"kv_bytes": model["cache"]["bytes_per_token"],
            "params": model["parameters"]["total"], "active": model["parameters"]["active"]}


def rows_of(outcomes, size, speeds):
    """outcomes: {recipe: [outcome of each seed]}; size: {recipe: sizes}; speeds: {recipe: tokens a
    second}."""
    rows = []
    for name, runs in outcomes.items():
        valid = [r["valid"] for r in runs]
        busiest = [r["busiest"] for r in runs if r["busiest"] is not None]
        rows.append({"recipe": name, **size[name], "seeds": len(runs),
                     "valid_loss": statistics.fmean(valid), "lowest": min(valid),
                     "highest": max(valid),
                     "busiest": statistics.fmean(busiest) if busiest else None,
                     "tokens_per_s": speeds[name]})
    return rows


def deviation(outcomes):
    """Standard deviation between seeds, pooled over the recipes; None with one seed of each."""
    squares = freedom = 0
    for runs in outcomes.values():
        valid = [r["valid"] for r in runs]
        squares += sum((v - statistics.fmean(valid)) ** 2 for v in valid)
        freedom += len(valid) - 1
    return math.sqrt(squares / freedom) if freedom else None


def answers(outcomes):
    """One line a question whose two recipes were trained."""
    noise = deviation(outcomes)
    for question, with_it, without in QUESTIONS:
        if with_it not in outcomes or without not in outcomes:
            continue
        a, b = ([r["valid"] for r in outcomes[n]] for n in (with_it, without))
        change = statistics.fmean(a) - statistics.fmean(b)
        if noise is None:
            verdict = "one seed: noise unknown"
        else:
            bound = 2 * noise * math.sqrt(1 / len(a) + 1 / len(b))
            verdict = ("noise" if abs(change) < bound else "better" if change < 0 else "worse")
            verdict += f" (noise: below {bound:.3f})"
        yield f"{question:<38} {change:+.3f}  {verdict}"


def table(rows):
    yield (f"{'recipe':<11}{'KV B/token':>10}{'params':>9}{'active':>8}{'valid loss':>12}"
           f"{'seeds lie in':>15}{'busiest':>8}{'tok/s':>7}")
    for r in rows:
        span = f"{r['lowest']:.3f}-{r['highest']:.3f}" if r["seeds"] > 1 else "one seed"
        busiest = f"{r['busiest']:.2f}" if r["busiest"] else "-"
        yield (f"{r['recipe']:<11}{r['kv_bytes']:>10}{r['params'] / 1e6:>8.2f}M"
               f"{r['active'] / 1e6:>7.2f}M{r['valid_loss']:>12.3f}{span:>15}{busiest:>8}"
               f"{r['tokens_per_s']:>7.0f}")


def write(path, head, rows):
    with open(path, "w", newline="") as f:
        f.writelines(f"# {line}\n" for line in head)
        writer = csv.DictWriter(f, rows[0], lineterminator="\n")
        writer.writeheader()
        for r in rows:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in r.items()})


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--set", action="append", default=[], help="over the recipes: KEY=VALUE")
    p.add_argument("--work", type=pathlib.Path, default=ROOT / "build/ablations")
    p.add_argument("--commit", default=subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE,
        text=True).stdout.strip(), help="that the runs are of")
    p.add_argument("--finished", action="store_true", help="train nothing, take what is there")
    o = p.parse_args()
    o.work = o.work.resolve()
    o.work.mkdir(parents=True, exist_ok=True)
    os.nice(5)
    wanted = [(name, seed) for seed in range(o.seeds) for name in RECIPES]
    if not o.finished:
        with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
            list(pool.map(lambda run: train(o, *run), wanted))
    outcomes, size, speeds = {}, {}, {}
    for name in RECIPES:
        runs = [o.work / f"{name}-{seed}" for seed in range(o.seeds)]
        runs = [r for r in runs if checkpoint(r)]
        if runs:
            outcomes[name], size[name] = [outcome(r) for r in runs], sizes(checkpoint(runs[0]))
            speeds[name] = speed(o, name)
    if not outcomes:
        sys.exit(f"ablations: no finished run in {o.work}")
    rows, verdicts = rows_of(outcomes, size, speeds), list(answers(outcomes))
    print("\n".join([*table(rows), "", *verdicts]))
    machine = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    name = machine.group(1).strip() if machine else "unknown"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = ROOT / f"bench/results/{slug}-ablations.csv"
    write(path, [f"recipes/ablate-*.yaml, {' '.join(o.set)}; minke {o.commit}, {name}, "
                 f"{datetime.date.today()}; KV in bf16; tokens a second of one thread",
                 *verdicts], rows)
    print(f"\nwritten to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
