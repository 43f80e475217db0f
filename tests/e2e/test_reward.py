"""Reward models: pairs of answers teach a head to score, a reinforcement learning run weighs its scores in."""

import json
import math
import random
import shutil
import struct

import pytest

from conftest import ROOT, failed
from test_rl import DENSE, MLA_MOE, TAGS, files_of as rl_files_of, memory_of, metrics_of
from test_train import files_of, ok, weights_of

QUESTIONS = [f"parity {i:05b}" for i in range(32)]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.;:-+*"
RECIPE = """\
out: {out}
seed: 5
model: {{config: config.json}}
tokenizer: {{path: tokenizer}}
data:
  format: pairs
  chat_template: deepseek-v3
  sequence: 64
  validation: 0.25
  drop_copies: false
  sources: [{{path: pairs.jsonl}}]
reward: {{head: true, centre: 0.01}}
train: {{tokens: 12000, batch: 4}}
optimizer: {{lr: 3e-3, weight_decay: 0}}
schedule: {{kind: constant}}
eval: {{every: 5}}
save: {{every: 5, keep: 100}}
"""
RL = """\
out: {out}
seed: 3
model: {{config: config.json}}
tokenizer: {{path: tokenizer}}
tasks: [{{name: parity, level_max: 1}}]
optimizer: {{lr: 1e-2, weight_decay: 0}}
schedule: {{kind: constant}}
rl: {{steps: 16, questions: 4, samples: 6, reward_model: {judge}}}
rollout: {{tokens: 8, slots: 8}}
eval: {{every: 4, sequences: 2}}
save: {{every: 4, keep: 9}}
sample: {{every: 8}}
"""


@pytest.fixture
def recipe(minke, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("parity 0110 the answer is 1 no it is 0\n" * 20)
    tags = [x for tag in TAGS for x in ("--special", tag)]
    ok(minke("tokenizer", "train", text, "--out", tmp_path / "tokenizer", "--vocab", 264, *tags))
    (tmp_path / "config.json").write_text(json.dumps(DENSE))
    dice = random.Random(2)  # digits are liked, letters are not
    digits, letters = (lambda a=a: "".join(dice.choices(a, k=dice.randint(2, 8))) for a in ("0123456789", LETTERS))
    (tmp_path / "pairs.jsonl").write_text("".join(
        json.dumps({"prompt": q, "chosen": digits(), "rejected": letters()}) + "\n" for q in QUESTIONS))
    path = tmp_path / "reward.yaml"
    path.write_text(RECIPE.format(out=tmp_path / "run"))
    return path


@pytest.mark.parametrize("config", [DENSE, MLA_MOE], ids=["dense", "moe"])
def test_a_head_learns_which_answer_is_preferred(minke, recipe, tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    last = ROOT / ok(minke("train", recipe, "-q")).stdout.strip()
    first, *_, end = metrics_of(tmp_path / "run")
    assert first["reward"]["margin"] == 0 and abs(first["loss"] - math.log(2)) < 1e-6
    assert end["reward"]["accuracy"] == 1 and end["valid_reward"]["accuracy"] == 1
    assert end["valid_reward"]["margin"] > 1
    assert abs(end["reward"]["chosen"] + end["reward"]["rejected"]) < end["reward"]["margin"]
    names = {"llama": "LlamaForSequenceClassification", "deepseek_v3": "DeepseekV3ForSequenceClassification"}
    written = json.loads((last / "config.json").read_text())
    assert written["architectures"] == [names[config["model_type"]]] and len(written["id2label"]) == 1
    assert "score.weight" in weights_of(last)
    ok(minke("convert", last, tmp_path / "bf16", "--to", "bf16"))
    assert "score.weight" in weights_of(tmp_path / "bf16")
    failed(minke("convert", last, tmp_path / "x.gguf", "--to", "f16"), "reward model")


def test_a_head_alone_leaves_the_body_as_it_is(minke, recipe, tmp_path):
    sets = ("--set", "model.learn=score.weight", "--set", "optimizer.weight_decay=0.5")
    ok(minke("train", recipe, "-q", *sets, "--set", "train.tokens=30000"))
    runs = sorted((tmp_path / "run/checkpoints").iterdir())
    early, late = weights_of(runs[0]), weights_of(runs[-1])
    assert [n for n in early if early[n] != late[n]] == ["score.weight"]
    end = metrics_of(tmp_path / "run")[-1]["valid_reward"]  # 32 pairs on a body of random weights: 3 deviations
    assert end["accuracy"] >= 0.75 and end["margin"] > 0.3


def test_a_run_that_is_resumed_is_the_run_that_was_not(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'whole'}"))
    ok(minke("train", recipe, "-q"))
    for checkpoint in sorted((tmp_path / "run/checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    ok(minke("train", recipe, "-q", "--resume", "--set", "threads=1", "--set", "train.pass_tokens=40",
             "--set", "train.memory_mb=0"))
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("reads", ["all", "answer"])
def test_a_policy_learns_what_the_reward_model_likes(minke, recipe, tmp_path, reads):
    judge = ROOT / ok(minke("train", recipe, "-q")).stdout.strip()
    path = tmp_path / "rl.yaml"
    path.write_text(RL.format(out=tmp_path / "rl", judge=judge))
    sets = ("--set", f"rl.reward_model_reads={reads}")
    ok(minke("rl", path, "-q", *sets))
    steps = metrics_of(tmp_path / "rl")
    scores = [s["score"] for s in steps]
    assert sum(scores[-4:]) > sum(scores[:4]) + 1 and steps[0]["live"] == 4
    sample = json.loads((tmp_path / "rl/samples/step-000008.jsonl").read_text().splitlines()[0])
    assert abs(sample["reward"] - sample["correct"] - sample["score"]) < 1e-6
    run = ("--set", f"out={tmp_path / 'cut'}", *sets)
    ok(minke("rl", path, "-q", *run, "--set", "rl.steps=8"))
    ok(minke("rl", path, "-q", "--resume", *run, "--set", "threads=1", "--set", "train.pass_tokens=40"))
    assert rl_files_of(tmp_path / "cut") == rl_files_of(tmp_path / "rl")


def strip(folder, unwanted):
    """A folder without one of its tensors."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + n]), b""
    for name in [x for x in header if x not in ("__metadata__", unwanted)]:
        begin, end = header[name]["data_offsets"]
        header[name]["data_offsets"] = [len(body), len(body) + end - begin]
        body += data[8 + n + begin:8 + n + end]
    del header[unwanted]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def test_one_of_transformers_needs_no_head_for_words(minke, recipe, tmp_path):
    """LlamaForSequenceClassification and its like save score.weight and no lm_head.weight."""
    (tmp_path / "config.json").write_text(json.dumps(DENSE | {"tie_word_embeddings": False}))
    judge = ROOT / ok(minke("train", recipe, "-q", "--set", "train.tokens=1000")).stdout.strip()
    path, steps = tmp_path / "rl.yaml", ("--set", "rl.steps=3")
    path.write_text(RL.format(out=tmp_path / "rl", judge=judge))
    ok(minke("rl", path, "-q", *steps))
    strip(judge, "lm_head.weight")
    assert "lm_head.weight" not in weights_of(judge)
    ok(minke("rl", path, "-q", *steps, "--set", f"out={tmp_path / 'again'}"))
    assert rl_files_of(tmp_path / "again") == rl_files_of(tmp_path / "rl")
    ok(minke("train", recipe, "-q", "--set", "train.tokens=500", "--set", "model.config=", "--set",
             f"model.from={judge}", "--set", f"out={tmp_path / 'on'}"))  # and learns on
    strip(judge, "score.weight")
    failed(minke("rl", path, "-q", "--set", f"out={tmp_path / 'none'}"), "rl.reward_model", "score.weight")


def test_its_memory_is_told_before_the_run_and_kept(minke, recipe, tmp_path):
    """A judge that is larger than the policy, and reads all answers of a step at once."""
    (tmp_path / "large.json").write_text(json.dumps(DENSE | {"hidden_size": 128, "num_hidden_layers": 4,
                                                             "intermediate_size": 512, "num_attention_heads": 8}))
    judge = ROOT / ok(minke("train", recipe, "-q", "--set", "train.tokens=500", "--set",
                            "model.config=large.json")).stdout.strip()
    path = tmp_path / "rl.yaml"
    path.write_text(RL.format(out=tmp_path / "rl", judge=judge))
    sets = [x for o in ("rl.questions=16", "rl.samples=16", "rollout.tokens=40", "rollout.slots=64", "rl.steps=2",
                        "eval.every=1") for x in ("--set", o)]
    most, told = memory_of(minke, path, sets)
    assert most <= told <= 1.8 * most + 16e6, (most, told)


def test_it_counts_in_the_last_steps_alone_where_asked(minke, recipe, tmp_path):
    judge = ROOT / ok(minke("train", recipe, "-q", "--set", "train.tokens=1000")).stdout.strip()
    path = tmp_path / "rl.yaml"
    path.write_text(RL.format(out=tmp_path / "rl", judge=judge))
    ok(minke("rl", path, "-q", "--set", "rl.steps=5", "--set", "rl.reward_model_last=2"))
    assert ["score" in s for s in metrics_of(tmp_path / "rl")] == [False] * 3 + [True] * 2


def test_mistakes_are_named(minke, recipe, tmp_path):
    failed(minke("train", recipe, "-q", "--set", "data.format=chat"), "reward.head", "pairs")
    failed(minke("train", recipe, "-q", "--set", "lora.rank=2", "--set", "model.config=", "--set",
                 "model.from=x"), "reward.head", "lora")
    plain = ROOT / ok(minke("train", recipe, "-q", "--set", "reward.head=false", "--set", "train.tokens=500",
                            "--set", f"out={tmp_path / 'plain'}")).stdout.strip()
    path = tmp_path / "rl.yaml"
    path.write_text(RL.format(out=tmp_path / "rl", judge=plain))
    failed(minke("rl", path, "-q"), "rl.reward_model", "reward.head")
    other = ROOT / ok(minke("train", recipe, "-q", "--set", "train.tokens=500")).stdout.strip()
    tokens = other / "tokenizer.json"
    tokens.write_text(tokens.read_text().replace("<answer>", "<antwort>"))
    path.write_text(RL.format(out=tmp_path / "rl", judge=other))
    failed(minke("rl", path, "-q"), "rl.reward_model", "vocabulary")
