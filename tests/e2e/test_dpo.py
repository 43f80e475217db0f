"""Preference optimisation: from pairs of answers a tiny model learns which one is wanted, from a
reference that is computed once; a run that is resumed is the run that was not."""

import json
import math
import re
import shutil

import pytest

from conftest import ROOT, failed
from test_sft import RECIPE as SFT, MODEL, answer, lines_of
from test_train import MODEL as MTP_MODEL, files_of, ok, weights_of

QUESTIONS = [f"What is {a} and {b}?" for a in ("red", "blue", "green") for b in ("one", "two", "three", "four")]
RECIPE = """\
out: {out}
model: {{from: {start}}}
tokenizer: {{path: tok}}
data:
  format: pairs
  chat_template: deepseek-v2
  sequence: 128
  validation: 0.2
  sources: [{{path: pairs.jsonl}}]
dpo: {{beta: 0.5, sft: 0.1}}
train: {{tokens: 16000, batch: 4}}
optimizer: {{lr: 1e-3, weight_decay: 0}}
schedule: {{kind: constant}}
eval: {{every: 10}}
save: {{every: 10, keep: 100}}
"""


def metrics(run):
    return [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def recipe(minke, tmp_path):
    """A model that answers 'Yes it is.' or 'No.', as it was drawn; wanted is 'No.'"""
    (tmp_path / "config.json").write_text(json.dumps(MODEL))
    (tmp_path / "talks.jsonl").write_text(lines_of(
        [[("user", q), ("assistant", a)] for q in QUESTIONS for a in ("Yes it is.", "No.")]))
    (tmp_path / "pairs.jsonl").write_text("".join(
        json.dumps({"prompt": q, "chosen": "No.", "rejected": "Yes it is."}) + "\n" for q in QUESTIONS))
    ok(minke("tokenizer", "train", "--vocab", 400, "--out", tmp_path / "tok", tmp_path / "talks.jsonl"))
    sft = tmp_path / "sft.yaml"
    sft.write_text(SFT.format(out=tmp_path / "sft"))
    start = ok(minke("train", sft, "-q", "--set", f"tokenizer.path={tmp_path / 'tok'}",
                     "--set", "train.tokens=12000")).stdout.strip()
    path = tmp_path / "dpo.yaml"
    path.write_text(RECIPE.format(out=tmp_path / "run", start=ROOT / start))
    return path


def test_it_learns_what_is_preferred(minke, recipe, tmp_path):
    r = ok(minke("train", recipe))
    assert "computing the reference of 12 pairs" in r.stderr
    first, *_, last = metrics(tmp_path / "run")
    dpo = first["dpo"]  # the model is its reference: margins are 0, to the bit
    assert dpo["margin"] == 0 and dpo["accuracy"] == 0 and dpo["pairs"] >= 4
    assert abs(first["loss"] - math.log(2)) < 0.3  # and the chosen answers' own loss
    assert last["dpo"]["accuracy"] == 1 and last["dpo"]["margin"] > 2
    assert last["valid_dpo"]["accuracy"] == 1 and last["valid_loss"] < first["loss"]
    assert last["dpo"]["chosen"] > last["dpo"]["rejected"]
    shown = re.findall(r"loss [\d.]+  margin ([\d.-]+)  right (\d+) %", r.stderr)
    assert shown[0] == ("0.000", "0") and float(shown[-1][0]) > 2 and shown[-1][1] == "100"
    assert re.search(r"validation pairs  margin [\d.]+, 100.0 % in the right order", r.stderr)
    shown = minke.on_a_terminal("train", recipe, "--set", f"out={tmp_path / 'watched'}", NO_COLOR="1")
    assert re.search(r"\[#+\.*\] 100 %  loss [\d.]+  right 100 %  \d+ tok/s  util \d+ %  took", shown)
    page = (tmp_path / "run/report.html").read_text()
    for title in ("Loss of a pair", "Margin of chosen over rejected answers", "Pairs in the right order, share",
                  "Answers: log-probability or score"):
        assert title in page
    assert all("validation<" in figure for figure in re.findall("<figure>.*?Margin of.*?</figure>", page, re.S))
    table = ok(minke("report", tmp_path / "run")).stdout.splitlines()
    assert dict(zip(table[0].split(), table[1].split()))["right"] == "1.0000"
    for q in QUESTIONS[:4]:
        got = answer(minke, r.stdout.strip(), q)
        assert got["text"].strip() == "No." and got["finish_reason"] == "stop"
    shard = next((tmp_path / "run/data").rglob("*.tokens"))
    shown = ok(minke("data", "show", "-t", tmp_path / "tok", "-n", 2, shard)).stdout
    assert re.findall("pair 0 (chosen|rejected)", shown) == ["chosen", "rejected"]
    assert re.findall("⟦ (.*?)<", shown) == ["No.", "Yes it is."]


def test_a_run_that_is_resumed_is_the_run_that_was_not(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'whole'}"))
    whole = files_of(tmp_path / "whole")
    ok(minke("train", recipe, "-q"))
    steps = sorted((tmp_path / "run/checkpoints").iterdir())
    for checkpoint in steps[2:]:
        shutil.rmtree(checkpoint)
    r = ok(minke("train", recipe, "--resume"))
    assert "computing the reference" not in r.stderr  # the weights are others by now
    assert files_of(tmp_path / "run") == whole
    ok(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'cut'}", "--set", "threads=1",
             "--set", "train.pass_tokens=60", "--set", "train.memory_mb=0"))
    assert files_of(tmp_path / "cut") == whole


def test_adapters_learn_what_is_preferred(minke, recipe, tmp_path):
    adapters = ("--set", "lora.rank=4", "--set", "lora.targets=*_proj.weight", "--set", "optimizer.lr=5e-3")
    end = ok(minke("train", recipe, "-q", *adapters)).stdout.strip()
    first, *_, last = metrics(tmp_path / "run")
    assert first["dpo"]["margin"] == 0  # adapters begin at the base, which is the reference
    assert last["dpo"]["accuracy"] == 1 and last["valid_dpo"]["margin"] > 1
    assert (ROOT / end / "adapter/adapter_model.safetensors").is_file()


def test_a_reference_that_is_lost_or_damaged_is_said(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=8000"))
    reference = next((tmp_path / "run/data").glob("*.reference"))
    data = bytearray(reference.read_bytes())
    data[100] ^= 1
    reference.write_bytes(data)
    failed(minke("train", recipe, "-q", "--resume"), "pairs.jsonl.reference", "checksum", "--set out=")
    reference.unlink()
    failed(minke("train", recipe, "-q", "--resume"), "pairs.jsonl.reference")


def test_what_are_no_pairs_is_said(minke, recipe, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    good = pairs.read_text()
    for line, words in (('{"prompt": "x", "chosen": "y"}', ("line 13", "rejected")),
                        ('{"prompt": "x", "chosen": "y", "rejected": "y"}', ("line 13",)),
                        ('{"prompt": "x", "chosen": "", "rejected": "y"}', ("line 13", "empty"))):
        pairs.write_text(good + line + "\n")
        failed(minke("train", recipe, "-q"), "pairs.jsonl", *words)
    pairs.write_text(good)
    both = recipe.with_name("both.yaml")
    both.write_text(recipe.read_text().replace("[{path: pairs.jsonl}]",
                                               "[{path: pairs.jsonl}, {path: talks.jsonl, format: chat}]"))
    failed(minke("train", both, "-q"), "talks.jsonl", "pairs")
    ok(minke("data", "build", recipe))
    shard = next((tmp_path / "run/data").rglob("*.tokens"))
    text = recipe.with_name("text.yaml")
    text.write_text(recipe.read_text().replace("format: pairs", "format: text").replace("pairs.jsonl", str(shard)))
    failed(minke("train", text, "-q", "--set", f"out={tmp_path / 'other'}"), "format: pairs")


def test_mtp_blocks_take_no_part(minke, recipe, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MTP_MODEL | {"vocab_size": 400}))
    start = ok(minke("train", tmp_path / "sft.yaml", "-q", "--set", f"tokenizer.path={tmp_path / 'tok'}",
                     "--set", f"out={tmp_path / 'mtp'}", "--set", "train.tokens=2000")).stdout.strip()
    end = ok(minke("train", recipe, "-q", "--set", f"model.from={ROOT / start}", "--set", "train.tokens=2000",
                   "--set", "optimizer.weight_decay=0.5")).stdout.strip()
    early, late = weights_of(ROOT / start), weights_of(ROOT / end)
    assert early.keys() == late.keys()
    kept = {n for n in early if early[n] == late[n]}
    assert {n for n in early if n.startswith("model.layers.2.")} <= kept and len(kept) < len(early)
