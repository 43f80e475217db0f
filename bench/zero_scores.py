"""The models of recipes/zero beside one another: accuracy a task, on questions that none has seen.

    bench/zero_scores.py [--limit 200] [--csv FILE] [NAME=FOLDER ...]

One answer to each test question (`minke eval`, DeepSeek's temperature 0.6 and top-p 0.95); standard errors
in brackets. Without names: base, zero,
reasoner and student of recipes/zero.
"""
import argparse
import csv
import json
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
SUITES = ["parity:4", "digit-sum:3", "number-parity:2", "letters:3", "countdown:0", "equation:2", "add:1",
          "subtract:1", "sort:2", "maze:1", "unknown:0"]


def scores(name, folder, limit):
    out = ROOT / "build/zero/scores" / name
    shutil.rmtree(out, ignore_errors=True)  # of weights that were there before
    command = [ROOT / "build/minke", "eval", folder, "--suite", ",".join(SUITES), "--limit", str(limit),
               "-t", "0.6", "--top-p", "0.95", "--max-tokens", "220", "-q", "-o", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "results.json").read_text())["results"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", metavar="NAME=FOLDER")
    p.add_argument("--limit", type=int, default=200)
    p.add_argument("--csv", type=pathlib.Path)
    o = p.parse_args()
    names = ["base", "zero", "reasoner", "student"]
    models = dict(m.split("=", 1) for m in o.models) or {n: ROOT / "recipes/zero" / n for n in names}
    results = {n: scores(n, f, o.limit) for n, f in models.items()}
    print("| task | " + " | ".join(models) + " |\n|---|" + "---|" * len(models))
    rows = []
    for s in SUITES:
        key = s.replace(":", "-")
        cells = [(r[key]["pass@1,none"], r[key]["pass@1_stderr,none"]) for r in results.values()]
        print(f"| `{s}` | " + " | ".join(f"{100 * a:.1f} ({100 * e:.1f})" for a, e in cells) + " |")
        rows += [[s, n, round(a, 4), round(e, 4), o.limit] for n, (a, e) in zip(models, cells)]
    if o.csv:
        with o.csv.open("w", newline="") as f:
            csv.writer(f).writerows([["task", "model", "accuracy", "stderr", "questions"], *rows])


if __name__ == "__main__":
    main()
