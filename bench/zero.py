"""R1-Zero from the shipped base, again and again: how far accuracy and length of thought rise.

    bench/zero.py [--seeds 3] [--recipe recipes/zero/demo.yaml] [--set KEY=VALUE] [--csv FILE]

Runs `minke rl RECIPE` once a seed and prints a table: accuracy and mean length of the sampled answers
in the first step and in the last five, greedy accuracy on test questions at the end, tries in an
answer (checks, `;0` or `;1`), wall-clock seconds. The numbers but the last are the same on every run.
"""
import argparse
import csv
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = ["recipe", "seed", "steps", "accuracy_first", "accuracy_last", "length_first", "length_last",
           "tries_first", "tries_last", "test", "seconds"]


def lines(path):
    return [json.loads(x) for x in path.read_text().splitlines()]


def tries(samples):
    """Mean number of checks in the answers that one step kept."""
    return statistics.mean(x["response"].count(";") for x in samples)


def run(recipe, seed, sets):
    out = ROOT / "build/zero" / f"{recipe.stem}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    begun = time.monotonic()
    command = [ROOT / "build/minke", "rl", recipe, "-q", "--set", f"out={out}", "--set", f"seed={seed}"]
    subprocess.run(command + [x for s in sets for x in ("--set", s)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begun
    steps = lines(out / "metrics.jsonl")
    samples = [lines(p) for p in sorted((out / "samples").glob("*.jsonl"))]
    mean = lambda part, key: statistics.mean(s[key] for s in part)
    return {"recipe": recipe.stem, "seed": seed, "steps": len(steps),
            "accuracy_first": steps[0]["pass"], "accuracy_last": mean(steps[-5:], "pass"),
            "length_first": steps[0]["length"], "length_last": mean(steps[-5:], "length"),
            "tries_first": tries(samples[0]), "tries_last": tries(samples[-1]),
            "test": [s for s in steps if "test" in s][-1]["test"]["pass"], "seconds": seconds}


def show(row):
    print("  ".join(f"{row[c]:.3f}" if isinstance(row[c], float) else str(row[c]) for c in COLUMNS), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", type=pathlib.Path, default=ROOT / "recipes/zero/demo.yaml")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--set", action="append", default=[], dest="sets")
    p.add_argument("--csv", type=pathlib.Path)
    o = p.parse_args()
    if not (ROOT / "build/minke").exists():
        sys.exit("bench/zero.py: there is no build/minke: make")
    print("  ".join(COLUMNS))
    rows = []
    for seed in range(1, o.seeds + 1):
        rows.append(run(o.recipe.resolve(), seed, o.sets))
        show(rows[-1])
    if o.csv:
        new = not o.csv.exists()
        with o.csv.open("a", newline="") as f:
            w = csv.DictWriter(f, COLUMNS)
            if new:
                w.writeheader()
            w.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in r.items()} for r in rows)


if __name__ == "__main__":
    main()
