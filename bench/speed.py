#!/usr/bin/env python3
"""Prefill and decode beside llama.cpp, interleaved in the same minutes, with the hardware's limit
beside each number. Writes bench/results/MACHINE-KERNELS.csv. Run by `make bench`.

The peer needs llama-cpp-python in build/peers-venv (`make test-peers` installs it); without it the
peer's columns stay empty. The limit of decode is the measured memory bandwidth over the bytes of
the weights; that of prefill the measured peak of int8 products in registers over two operations a
weight, embedding and head left out: only the last token of a prompt meets the head."""
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

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINKE = ROOT / "build/minke"
PYTHON = ROOT / "build/peers-venv/bin/python"
LIMITS = ROOT / "build/bench/matmul_bench"


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE,
                          text=True).stdout


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    return name.group(1).strip() if name else os.uname().machine


def limits(threads, cpu):
    """Name of the kernels, operations a second of int8 products out of registers with their
    instructions, bytes a second from memory."""
    text = run(LIMITS, cpu, "i8")  # i8 is no weight type: only the limits are measured
    ops = float(re.search(r"int8 (\d+) GOP/s", text).group(1)) * 1e9
    one, two = re.search(r"([\d.]+) GB/s by one thread, ([\d.]+) by two", text).groups()
    return text.split(";")[0], ops * threads, float(one if threads == 1 else two) * 1e9


def default_model():
    home = pathlib.Path(os.environ.get("XDG_DATA_HOME", pathlib.Path.home() / ".local/share"))
    for path in (home / "minke/models/smollm2").glob("*.gguf"):
        return path
    sys.exit("speed.py: no model smollm2 in the store: run build/minke pull smollm2")


def minke(model, o, depth):
    out = run(MINKE, "bench", model, "--prompt", o.prompt, "--gen", o.gen, "--depth", depth,
              "--repeat", 1, "--threads", o.threads, "--cpu", o.kernels, "--json")
    return json.loads(out)["results"][0]


def peer(model, o, depth):
    if not PYTHON.exists():
        return None
    return json.loads(run(PYTHON, ROOT / "bench/peer_llama.py", model, o.threads, o.prompt, o.gen,
                          depth))


def spread(values):
    return f"{min(values):.1f}-{max(values):.1f}"


def rows(o, model):
    weights = os.path.getsize(model)
    for depth in o.depths:
        ours, theirs = [], []
        for i in range(o.rounds):
            print(f"\rdepth {depth}, round {i + 1} of {o.rounds} ", end="", file=sys.stderr)
            ours.append(minke(model, o, depth))
            theirs.append(peer(model, o, depth))
        for what, limit in (("prefill", o.ops / (2 * o.params)), ("decode", o.bytes / weights)):
            a = [r[what + "_tps"] for r in ours]
            b = [r[what + "_tps"] for r in theirs if r]
            yield {"what": what, "depth": depth,
                   "tokens": o.prompt if what == "prefill" else o.gen, "threads": o.threads,
                   "minke": round(statistics.median(a), 1), "minke_spread": spread(a),
                   "llama_cpp": round(statistics.median(b), 1) if b else "",
                   "llama_cpp_spread": spread(b) if b else "",
                   "ratio": round(statistics.median(a) / statistics.median(b), 2) if b else "",
                   "limit": round(limit, 1)}
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("model", nargs="?", help="a .gguf file (default: the store's smollm2)")
    p.add_argument("--prompt", type=int, default=512)
    p.add_argument("--gen", type=int, default=64)
    p.add_argument("--depths", type=lambda s: [int(d) for d in s.split(",")], default=[0, 2048])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--cpu", default="", help="lower the machine: avx2, ref")
    o = p.parse_args()
    model = o.model or default_model()
    info = json.loads(run(MINKE, "inspect", model, "--json"))
    ends = info["dimensions"]["vocabulary"] * info["dimensions"]["d_model"]
    o.params = info["parameters"]["active"] - ends * (1 if info["tied_embeddings"] else 2)
    o.kernels, o.ops, o.bytes = limits(o.threads, o.cpu)
    table = list(rows(o, model))
    name = re.sub(r"[^a-z0-9]+", "-", f"{machine()} {o.kernels}".lower()).strip("-")
    path = ROOT / "bench/results" / (name + ".csv")
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="") as f:
        f.write(f"# {machine()}, {o.kernels} kernels, {o.threads} threads, {datetime.date.today()}, "
                f"{pathlib.Path(model).name}; tokens/s, medians of {o.rounds} interleaved rounds\n")
        f.write(f"# measured limits: {o.ops / 1e9:.0f} G operations/s of int8 products, "
                f"{o.bytes / 1e9:.1f} GB/s from memory\n")
        writer = csv.DictWriter(f, table[0])
        writer.writeheader()
        writer.writerows(table)
    print(f"{'':8} depth   minke  llama.cpp  ratio   limit")
    for r in table:
        print(f"{r['what']:8} {r['depth']:5} {r['minke']:7} {r['llama_cpp']:>10} {r['ratio']:>6} "
              f"{r['limit']:7}")
    print(f"written to {path.relative_to(ROOT)}")


main()
