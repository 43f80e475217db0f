"""Learning from teachers' probabilities: students of other kinds, exact resume, the file of what
teachers said, and mistakes that are named."""

import json
import random
import re
import signal
import subprocess
import time

import pytest

from conftest import MINKE, ROOT, failed
from test_rl import DENSE, MLA_MOE, TAGS, files_of, metrics_of, ok
from test_sample import teacher  # noqa: F401: a fixture

SMALLER = DENSE | {"hidden_size": 24, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 24}
RECIPE = """\
out: {out}
seed: 5
model: {{config: config.json}}
tokenizer: {{path: {teacher}}}
data: {{format: chat, chat_template: deepseek-v3, sequence: 64, drop_copies: false, validation: 0.1,
       sources: [{{path: corpus.jsonl, name: c}}]}}
train: {{tokens: 40000, batch: 8}}
optimizer: {{lr: 5e-3, weight_decay: 0}}
distill: {{teachers: [{{path: {teacher}}}], top_k: 16}}
save: {{every: 40, keep: 99}}
eval: {{every: 20, sequences: 8}}
"""


@pytest.fixture
def recipe(minke, teacher, tmp_path):  # noqa: F811
    ok(minke("tasks", "corpus", "compare,level=0,scratchpad=0.5", "parity,level=0,scratchpad=0.5",
             "-n", 120, "-s", 9, "-o", tmp_path / "corpus.jsonl"))
    (tmp_path / "config.json").write_text(json.dumps(SMALLER))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(out=tmp_path / "run", teacher=ROOT / teacher))
    return path


def same(run, other):
    """All but the file of what teachers said, which may hold more after a kill."""
    a, b = ({k: v for k, v in files_of(x).items() if not k.endswith(".rows")} for x in (run, other))
    assert [k for k in a | b if a.get(k) != b.get(k)] == []


@pytest.mark.parametrize("kl, nearer", [("forward", 4), ("reverse", 1.5), ("generalised", 2)])
@pytest.mark.parametrize("config", [SMALLER, MLA_MOE], ids=["dense", "moe"])
def test_a_student_comes_near_its_teacher(minke, recipe, tmp_path, kl, nearer, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    ok(minke("train", recipe, "-q", "--set", f"distill.kl={kl}"))
    steps = metrics_of(tmp_path / "run")
    first, last = (sum(s["divergence"] for s in part) / 5 for part in (steps[:5], steps[-5:]))
    assert last < first / nearer
    assert all(s["loss"] == pytest.approx(s["divergence"], rel=1e-6) for s in steps)
    assert "Divergence from the teachers" in (tmp_path / "run/report.html").read_text()


def test_teachers_are_asked_once_for_all_epochs_and_runs(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=8000"))
    rows = tmp_path / "run/data/teachers.rows"
    size = rows.stat().st_size
    more = ("--set", "train.tokens=16000", "--set", f"distill.cache={rows}")
    assert metrics_of(tmp_path / "run")[-1]["sources"]["c"]["epochs"] > 1
    ok(minke("train", recipe, "-q", *more, "--set", f"out={tmp_path / 'other'}"))
    assert rows.stat().st_size == size
    assert not (tmp_path / "other/data/teachers.rows").exists()
    # what was read is what would be computed
    ok(minke("train", recipe, "-q", "--set", "train.tokens=16000", "--set", f"out={tmp_path / 'anew'}"))
    a, b = ((tmp_path / x / "metrics.jsonl").read_bytes() for x in ("other", "anew"))
    assert a == b


@pytest.mark.parametrize("sets", [
    ("distill.kl=reverse", "distill.temperature=2"),
    ("distill.kl=generalised", "distill.beta=0.2", "distill.weight=0.5", "model.mtp_weight=0.3"),
    ("distill.top_k=0", "train.compute=bf16"),
], ids=["reverse", "generalised", "all"])
def test_every_kind_of_run_is_exact_and_resumes(minke, recipe, tmp_path, sets):
    (tmp_path / "config.json").write_text(json.dumps(MLA_MOE))
    options = [x for s in (*sets, "train.tokens=6000", "save.every=3") for x in ("--set", s)]
    ok(minke("train", recipe, "-q", *options, "--set", f"out={tmp_path / 'whole'}"))
    dice = random.Random(4)
    for _ in range(4):
        p = subprocess.Popen([str(x) for x in (MINKE, "train", recipe, "-q", "--resume", *options)],
                             env=minke.env, cwd=ROOT, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.05, 0.3))
        p.send_signal(signal.SIGKILL)
        p.wait()
    ok(minke("train", recipe, "-q", "--resume", *options, "--set", "threads=3", "--set",
             "train.pass_tokens=100"))
    same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("harm", ["removed", "cut off", "damaged"])
def test_a_file_that_is_harmed_is_made_again(minke, recipe, tmp_path, harm):
    options = ("-q", "--set", "train.tokens=9000")
    ok(minke("train", recipe, *options, "--set", f"out={tmp_path / 'whole'}"))
    rows = tmp_path / "whole/data/teachers.rows"
    data = bytearray(rows.read_bytes())
    for at in range(2000, len(data), 7001):
        data[at] ^= 0x40
    rows.write_bytes({"removed": b"", "cut off": data[:3000], "damaged": data}[harm])
    ok(minke("train", recipe, *options, "--set", f"distill.cache={rows}"))
    a, b = ((tmp_path / x / "metrics.jsonl").read_bytes() for x in ("whole", "run"))
    assert a == b


def test_several_teachers_of_other_kinds_and_formats(minke, recipe, teacher, tmp_path):  # noqa: F811
    ok(minke("convert", teacher, tmp_path / "small", "--to", "bf16"))
    ok(minke("train", recipe, "-q", "--set", "train.tokens=10000"))
    first = metrics_of(tmp_path / "run")
    student = sorted((tmp_path / "run/checkpoints").iterdir())[-1]
    (tmp_path / "config.json").write_text(json.dumps(MLA_MOE))
    teachers = f"teachers: [{{path: small, weight: 3}}, {{path: {student}}}]"
    recipe.write_text(re.sub(r"teachers: \[.*?\]", teachers, recipe.read_text()))
    ok(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'second'}"))
    second = metrics_of(tmp_path / "second")
    assert second[-1]["divergence"] < second[0]["divergence"] / 4
    assert second[0]["divergence"] != first[0]["divergence"]
    resolved = (tmp_path / "second/recipe.yaml").read_text()
    assert "weight: 3" in resolved and "small" in resolved


def test_mistakes_are_named(minke, recipe, teacher, tmp_path):  # noqa: F811
    text = recipe.read_text()
    tags = [x for tag in TAGS[::-1] for x in ("--special", tag)]
    ok(minke("tokenizer", "train", tmp_path / "corpus.jsonl", "--vocab", 264, "--out",
             tmp_path / "other", *tags))
    recipe.write_text(text.replace(f"tokenizer: {{path: {ROOT / teacher}}}", "tokenizer: {path: other}"))
    failed(minke("train", recipe, "-q"), "another tokenizer", "token 0", "</answer>",
           "begin", "minke sample")
    recipe.write_text(re.sub(r"teachers: \[.*?\]", "teachers: [{path: none}]", text))
    failed(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'a'}"), "distill.teachers", "none")
    recipe.write_text(re.sub(r"path: (\S+)}\], top_k", r"path: \1, weight: -1}], top_k", text))
    failed(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'b'}"), "distill.teachers.weight")
    recipe.write_text(text.replace("format: chat, chat_template: deepseek-v3", "format: pairs"))
    failed(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'c'}"), "pairs")
    recipe.write_text(text)
    ok(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'd'}", "--set", "train.tokens=2000"))
    rows = tmp_path / "d/data/teachers.rows"
    for key, value in (("top_k", 8), ("temperature", 3)):
        failed(minke("train", recipe, "-q", "--set", f"out={tmp_path / key}", "--set",
                     f"distill.cache={rows}", "--set", f"distill.{key}={value}"), "teachers.rows", "top_k")
    rows.write_bytes(b"something else" * 20)
    failed(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'e'}", "--set",
                 f"distill.cache={rows}"), "teachers.rows")


# ---- The student writes, the teachers grade -------------------------------------------------------

ON_POLICY = """\
out: {out}
seed: 3
model: {{from: {student}}}
tasks:
- {{name: compare}}
- {{name: parity, weight: 0.5}}
optimizer: {{lr: 5e-3, weight_decay: 0}}
schedule: {{kind: constant}}
rl: {{steps: 12, questions: 4, samples: 4}}
rollout: {{tokens: 40, slots: 9}}
distill: {{teachers: [{{path: {teacher}}}], kl: reverse, top_k: 32}}
eval: {{every: 6, sequences: 4}}
save: {{every: 2, keep: 9}}
sample: {{every: 6}}
"""


@pytest.fixture
def on_policy(minke, recipe, teacher, tmp_path):  # noqa: F811
    """A student that has begun to learn the form."""
    student = ok(minke("train", recipe, "-q", "--set", "train.tokens=24000", "--set",
                       f"out={tmp_path / 'begun'}")).stdout.strip()
    path = tmp_path / "on_policy.yaml"
    path.write_text(ON_POLICY.format(out=tmp_path / "rl", student=ROOT / student, teacher=ROOT / teacher))
    return path


@pytest.mark.parametrize("kl", ["reverse", "generalised"])
def test_graded_by_its_teacher_a_student_comes_nearer(minke, on_policy, tmp_path, kl):
    ok(minke("rl", on_policy, "-q", "--set", "rl.steps=40", "--set", f"distill.kl={kl}"))
    steps = metrics_of(tmp_path / "rl")
    first, last = (sum(s["divergence"] for s in part) / 8 for part in (steps[:8], steps[-8:]))
    assert last < 0.8 * first
    assert all(s["live"] == s["asked"] == 4 and s["updates"] == 1 for s in steps)
    assert all(s["loss"] == pytest.approx(s["divergence"], rel=1e-6) for s in steps)
    assert "Divergence from the teachers" in (tmp_path / "rl/report.html").read_text()


@pytest.mark.parametrize("sets", [
    ("distill.kl=generalised", "distill.temperature=1.5"),
    ("rl.epochs=2", "rl.batches=2", "distill.top_k=0"),
    ("rollout.kv=int8", "rollout.top_k=20", "distill.kl=forward"),
], ids=["generalised", "epochs", "inexact"])
def test_on_policy_runs_resume_to_the_byte(minke, on_policy, tmp_path, sets):
    options = [x for s in sets for x in ("--set", s)]
    ok(minke("rl", on_policy, "-q", *options, "--set", f"out={tmp_path / 'whole'}"))
    ok(minke("rl", on_policy, "-q", *options, "--set", "rl.steps=6"))
    more = ("--set", "threads=3", "--set", "rollout.slots=4", "--set", "train.pass_tokens=90")
    ok(minke("rl", on_policy, "-q", "--resume", *options, *more))
    same(tmp_path / "whole", tmp_path / "rl")


def test_mistakes_of_on_policy_runs_are_named(minke, on_policy, recipe, tmp_path):
    failed(minke("rl", on_policy, "-q", "--set", "distill.weight=0.5"), "distill.weight")
    failed(minke("rl", on_policy, "-q", "--set", "rl.kl=0.1"), "rl.kl")
    tags = [x for tag in TAGS[::-1] for x in ("--special", tag)]
    ok(minke("tokenizer", "train", tmp_path / "corpus.jsonl", "--vocab", 264, "--out",
             tmp_path / "other", *tags))
    (tmp_path / "config.json").write_text(json.dumps(SMALLER))
    text = on_policy.read_text()
    on_policy.write_text(re.sub(r"model: .*", "model: {config: config.json}\ntokenizer: {path: other}", text))
    failed(minke("rl", on_policy, "-q"), "another tokenizer", "token 0")
    (tmp_path / "config.json").write_text(json.dumps(SMALLER | {"vocab_size": 400}))
    tokenizer = re.search(r"model: {from: (.*?)}", text)[1]
    on_policy.write_text(re.sub(r"model: .*", f"model: {{config: config.json}}\ntokenizer: {{path: {tokenizer}}}", text))
    failed(minke("rl", on_policy, "-q"), "distill.teachers", "400 rows", "vocab_size")
