"""What a student of a fifth of its teacher's size learns from it: answers, probabilities, both, its own
answers graded. Sorting of four and five digits, greedy answers to 400 test questions of each.

    bench/distill.py FOLDER [--tokens N]        a minute of processor time; docs/reasoning.md has the figures
"""

import argparse
import json
import pathlib
import subprocess

MINKE = pathlib.Path(__file__).resolve().parents[1] / "build/minke"
FORM = "<｜User｜>{question}<｜Assistant｜>"
SPECIALS = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>",
            "</think>", "<answer>", "</answer>"]
SHAPE = {
    "model_type": "llama", "vocab_size": 272, "hidden_act": "silu", "rms_norm_eps": 1e-6, "head_dim": 16,
    "rope_theta": 10000.0, "bos_token_id": 0, "eos_token_id": 1, "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
TEACHER = SHAPE | {"hidden_size": 64, "intermediate_size": 192, "num_attention_heads": 4,
                   "num_key_value_heads": 4, "num_hidden_layers": 3}
STUDENT = SHAPE | {"hidden_size": 32, "intermediate_size": 96, "num_attention_heads": 2,
                   "num_key_value_heads": 2, "num_hidden_layers": 2}
RECIPE = """\
model: {{config: {name}.json}}
tokenizer: {{path: tokenizer}}
data: {{format: text, specials: true, sequence: 96, drop_copies: false, validation: 0,
       sources: [{{path: {source}}}]}}
train: {{tokens: {tokens}, batch: {batch}}}
optimizer: {{lr: {lr}, weight_decay: 0}}
schedule: {{warmup_tokens: {warmup}}}
save: {{every: 0}}
"""
LOGITS = "distill: {{teachers: [{{path: {teacher}}}], top_k: 32, cache: rows, weight: {weight}}}\n"
ON_POLICY = """\
model: {{from: {student}}}
tasks: [{{name: sort, level: 1}}]
optimizer: {{lr: 1e-3, weight_decay: 0}}
rl: {{steps: {steps}, questions: 16, samples: 2}}
rollout: {{tokens: 48}}
distill: {{teachers: [{{path: {teacher}}}], kl: reverse, top_k: 32}}
eval: {{every: 0}}
save: {{every: 0}}
"""


def run(folder, *args):
    r = subprocess.run([str(MINKE), *map(str, args)], cwd=folder, capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(r.stderr)
    return r.stdout.strip()


def train(folder, name, text, command="train"):
    (folder / f"{name}.yaml").write_text(text)
    return run(folder, command, f"{name}.yaml", "-q", "--set", f"out={name}")


def row(folder, name, model):
    run(folder, "eval", model, "--suite", "sort:0,sort:1", "--prompt", FORM, "--limit", 400, "--max-tokens", 60,
        "-o", f"eval-{name}")
    results = json.loads((folder / f"eval-{name}/results.json").read_text())["results"]
    cells = [f"{100 * r['pass@1,none']:6.1f} +- {100 * r['pass@1_stderr,none']:.1f}" for r in results.values()]
    print(f"{name:28}", *cells, flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--tokens", type=int, default=1_600_000, help="of each training")
    a = p.parse_args()
    a.folder.mkdir(parents=True)
    for name, config in (("teacher", TEACHER), ("student", STUDENT)):
        (a.folder / f"{name}.json").write_text(json.dumps(config))
    run(a.folder, "tasks", "corpus", "compare,level=0-3,scratchpad=1", "sort,level=0-1,scratchpad=1", "-n", 20000,
        "-s", 5, "--form", "text", "-o", "corpus.jsonl")
    specials = [x for s in SPECIALS for x in ("--special", s)]
    run(a.folder, "tokenizer", "train", "corpus.jsonl", "--vocab", 264, "--out", "tokenizer", *specials)
    teacher = train(a.folder, "teacher", RECIPE.format(name="teacher", source="corpus.jsonl", tokens=a.tokens,
                                                       batch=32, lr=4e-3, warmup=50000))
    run(a.folder, "sample", teacher, "sort,level=0-1", "-n", 4000, "-k", 2, "--keep", "best", "--form", "text",
        "--max-tokens", 48, "-o", "answers.jsonl", "-q")
    student = RECIPE.format(name="student", source="answers.jsonl", tokens=a.tokens, batch=16, lr=6e-3, warmup=20000)
    row(a.folder, "teacher", teacher)
    row(a.folder, "answers", train(a.folder, "answers", student))
    for name, weight in (("both", 0.5), ("probabilities", 1)):
        last = train(a.folder, name, student + LOGITS.format(teacher=teacher, weight=weight))
        row(a.folder, name, last)
    row(a.folder, "probabilities, then graded",
        train(a.folder, "graded", ON_POLICY.format(student=last, teacher=teacher, steps=max(2, a.tokens // 13333)), "rl"))


if __name__ == "__main__":
    main()
