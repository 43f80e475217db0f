#!/usr/bin/env python3
"""How fast answers are written and learned from. Writes bench/results/MACHINE-rl-speed.csv:

- rollouts: tokens a second with 64 answers at a time against one (rl_bench.c), beside what the
  matrix products alone would allow: a model whose weights lie in the cache gains less.
- a step, with 32 answers at a time and passes of 512 tokens, which is fastest here: rollout and
  update beside the matrix products of the two alone, of the same shapes.
- TRL's GRPOTrainer on the same model, prompts and number of answers, a few steps in turns, both
  sides with products of f32 and of bf16 (TRL's autocast); who waits is stopped, so that it takes no
  core by spinning. TRL is taken from --python (a Python with trl: python3 -m venv V;
  V/bin/pip install trl); without it the rest is measured.

--clock cpu (the default) counts processor seconds with one thread: what others do on the machine
meanwhile does not count. On a quiet machine --clock wall --threads 2."""
import argparse
import csv
import datetime
import json
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINKE, BENCH = ROOT / "build/minke", ROOT / "build/bench/rl_bench"
TAGS = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>",
        "<answer>", "</answer>"]
PASS = 512  # rows computed together
COMPUTES = ("f32", "bf16")
RECIPE = """\
out: {out}
model: {{{model}}}
tokenizer: {{path: tokenizer}}
tasks: [{{name: parity, level: 4}}]
optimizer: {{lr: 1e-6, weight_decay: 0}}
schedule: {{kind: constant}}
balance: {{gamma: 0, sequence: 0}}
rl: {{steps: {steps}, questions: {o.questions}, samples: {o.samples}, loss: dapo, std: no, filter: false, soft_tokens: {o.tokens}}}
rollout: {{tokens: {o.tokens}, slots: 32}}
train: {{pass_tokens: {passes}, compute: {compute}}}
eval: {{every: 0, sequences: 1}}
save: {{every: 0}}
sample: {{every: 1}}
threads: {o.threads}
"""


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--steps", type=int, default=2, help="of each side in a round")
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    a.add_argument("--questions", type=int, default=16)
    a.add_argument("--samples", type=int, default=16)
    a.add_argument("--tokens", type=int, default=26, help="of an answer: a thought of 20 bits and its tags")
    a.add_argument("--python", type=pathlib.Path, help="one that has trl")
    a.add_argument("--machine", default="machine", help="beginning of the CSV's name")
    return a.parse_args()


def spread(x, digits=3):
    return [f"{v:.{digits}g}" for v in (statistics.median(x), min(x), max(x))]


def table(o, compute, *words):
    options = ["--bf16"] * (compute == "bf16") + ["--wall", o.threads] * (o.clock == "wall")
    out = subprocess.run([str(w) for w in (BENCH, *options, *words)], check=True, capture_output=True, text=True, cwd=ROOT)
    return list(csv.DictReader(out.stdout.splitlines()))


def products(o, config, rounds, *counts):
    row = table(o, "f32", config, rounds, *counts)[0]
    return float(row["rollout_ms"]), float(row["update_ms"])


def rollouts(o, name, compute):
    """Rows of the table, and what the products alone gain from 64 rows."""
    config = ROOT / f"bench/models/{name}.json"
    rounds = o.rounds if name == "demo" else min(o.rounds, 3)
    rows = table(o, compute, config, rounds)
    for r in rows:
        yield [f"{name} {compute}: tokens/s, {r['slots']} at a time", r["tokens_per_s"], r["low"], r["high"], ""]
    alone = ""
    if compute == "f32":
        one, many = (products(o, config, rounds, 64 // n, n, 0, 1, 1, 1)[0] for n in (1, 64))
        alone = f"products alone {one / many:.1f}; "
    yield [f"{name} {compute}: 64 against 1", rows[-1]["times_one"], "", "", alone + "wanted 8"]


class Run:
    """A run of minke rl that goes on by a few steps at a time."""

    def __init__(self, o, work, compute):
        self.o, self.work, self.compute, self.n = o, work, compute, 0
        work.mkdir()
        text = work / "text.txt"
        text.write_text("parity 0110100110\n")
        subprocess.run([MINKE, "tokenizer", "train", text, "--out", work / "tokenizer", "--vocab", "264"]
                       + [x for tag in TAGS for x in ("--special", tag)], check=True, stdout=subprocess.DEVNULL)

    def steps(self, n):
        self.n += n
        recipe = self.work / "recipe.yaml"
        recipe.write_text(RECIPE.format(out=self.work / "run", steps=self.n, o=self.o, passes=PASS, compute=self.compute,
                                        model=f"config: {ROOT / 'bench/models/demo.json'}"))
        subprocess.run([MINKE, "rl", recipe, "-q", "--resume"], check=True, stdout=subprocess.DEVNULL)
        timing, metrics = ([json.loads(x) for x in (self.work / f"run/{f}.jsonl").read_text().splitlines()][-n:]
                           for f in ("timing", "metrics"))
        answers = self.o.questions * self.o.samples
        kind = "_cpu_ms" if self.o.clock == "cpu" else "_ms"
        return [{"rollout": t["rollout" + kind], "update": t["update" + kind], "decodes": t["decodes"],
                 "prompt": t["prompt_tokens"], "tokens": m["length"] * answers} for t, m in zip(timing, metrics)]

    def model(self):
        return sorted((self.work / "run/checkpoints").iterdir())[-1]


class Trl:
    def __init__(self, o, run):
        self.p = subprocess.Popen(
            [str(o.python), str(ROOT / "bench/rl_trl.py"), str(run.model()),
             str(run.work / "run/samples/step-000001.jsonl"), "--questions", str(o.questions), "--samples",
             str(o.samples), "--tokens", str(o.tokens), "--threads", str(o.threads), "--clock", o.clock]
            + ["--bf16"] * (run.compute == "bf16"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.p.stdout:
            if line.startswith("ready "):
                self.version = line.strip()[6:]
                self.p.send_signal(signal.SIGSTOP)
                return
        sys.exit(f"TRL ended with status {self.p.wait()}: {' '.join(self.p.args)}")

    def steps(self, n):
        self.p.send_signal(signal.SIGCONT)
        for _ in range(n):
            self.p.stdin.write("\n")
            self.p.stdin.flush()
            line = self.p.stdout.readline().split()
            while line and not re.fullmatch(r"[\d.]+", line[0]):
                line = self.p.stdout.readline().split()
            yield float(line[0]) * 1000, int(line[1])
        self.p.send_signal(signal.SIGSTOP)

    def close(self):
        self.p.send_signal(signal.SIGCONT)
        self.p.stdin.close()
        self.p.wait()


def step_rows(o, compute, steps):
    """A step beside its products: the sampler's passes have as many rows as answers are under way."""
    s = {k: statistics.median(x[k] for x in steps) for k in steps[0]}
    rows = max(1, round(s["tokens"] / s["decodes"]))
    update = round(s["tokens"] + s["prompt"] - o.questions)
    whole = [x["rollout"] + x["update"] for x in steps]
    table = [[f"step {compute}: ms", *spread(whole), f"{s['tokens']:.0f} tokens written, {update} rows learned"],
             [f"step {compute}: rollout ms", *spread([x["rollout"] for x in steps]), ""],
             [f"step {compute}: update ms", *spread([x["update"] for x in steps]), ""]]
    if compute == "f32":
        forward, learned = products(o, ROOT / "bench/models/demo.json", o.rounds, round(s["decodes"]), rows, o.questions,
                                    round(s["prompt"] / o.questions), update, PASS)
        table[1][-1], table[2][-1] = f"products alone {forward:.0f}", f"products alone {learned:.0f}"
        table += [["step f32 against its products", *spread([w / (forward + learned) for w in whole]), "wanted at most 3"]]
    return table


def trl_rows(ours, theirs):
    """ours, theirs: of f32 and bf16, ms a token of steps."""
    for name, side in (("minke", ours), ("TRL", theirs)):
        for compute, ms in side.items():
            yield [f"{name} {compute}: ms a token of a step", *spread(ms), ""]
    best = [min(side.values(), key=statistics.median) for side in (ours, theirs)]
    for what, (mine, other) in {"f32": (ours["f32"], theirs["f32"]), "best of f32 and bf16": best}.items():
        yield [f"TRL against minke, {what}", f"{statistics.median(other) / statistics.median(mine):.2f}",
               f"{min(other) / max(mine):.2f}", f"{max(other) / min(mine):.2f}", "wanted at least 5"]


def steps_in_turns(o, work):
    """Of minke and of TRL, each by number type: steps as Run and Trl tell them; and TRL's version."""
    runs = {c: Run(o, work / c, c) for c in COMPUTES}
    for run in runs.values():
        run.steps(1)  # what is touched for the first time
    trls = {c: Trl(o, run) for c, run in runs.items()} if o.python else {}
    for trl in trls.values():
        list(trl.steps(1))
    ours, theirs = {c: [] for c in runs}, {c: [] for c in trls}
    for _ in range(o.rounds):
        for c, run in runs.items():
            ours[c] += run.steps(o.steps)
            theirs.get(c, []).extend(trls[c].steps(o.steps) if trls else [])
    for trl in trls.values():
        trl.close()
    return ours, theirs, "".join(f"; {trl.version}" for trl in list(trls.values())[:1])


def main():
    o = arguments()
    rows = [r for compute in COMPUTES for name in ("demo", "dense") for r in rollouts(o, name, compute)]
    with tempfile.TemporaryDirectory() as work:
        ours, theirs, version = steps_in_turns(o, pathlib.Path(work))
    for compute, steps in ours.items():
        rows += step_rows(o, compute, steps)
    if theirs:
        rows += trl_rows({c: [(x["rollout"] + x["update"]) / x["tokens"] for x in steps] for c, steps in ours.items()},
                         {c: [ms / tokens for ms, tokens in steps] for c, steps in theirs.items()})
    out = ROOT / f"bench/results/{o.machine}-rl-speed.csv"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    with open(out, "w", newline="") as f:
        f.write(f"# {o.machine}, {o.threads} thread(s), {o.clock} time, {datetime.date.today()}, minke {commit.strip()}; "
                f"steps of {o.questions} x {o.samples} answers of at most {o.tokens} tokens, bench/models/demo.json{version}\n")
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["what", "median", "low", "high", "beside"])
        w.writerows(rows)
    print(out.read_text(), end="")


if __name__ == "__main__":
    main()
