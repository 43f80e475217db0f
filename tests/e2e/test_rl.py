"""minke rl: runs that are exact, resumed to the byte, and what can go wrong."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from conftest import MINKE, ROOT, failed

TAGS = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>",
        "</think>", "<answer>", "</answer>"]
MLA_MOE = {
    "model_type": "deepseek_v3", "vocab_size": 272, "hidden_size": 32, "num_hidden_layers": 2,
    "num_nextn_predict_layers": 1, "first_k_dense_replace": 1, "moe_layer_freq": 1,
    "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2,
    "q_lora_rank": None, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8,
    "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "moe_intermediate_size": 16, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
    "routed_scaling_factor": 1.0, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "bos_token_id": 0,
    "eos_token_id": 1, "max_position_embeddings": 256, "tie_word_embeddings": False,
    "attention_bias": False,
}
DENSE = {
    "model_type": "llama", "vocab_size": 272, "hidden_size": 32, "num_hidden_layers": 2,
    "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "bos_token_id": 0,
    "eos_token_id": 1, "max_position_embeddings": 256, "tie_word_embeddings": True,
}
MLA = MLA_MOE | {"first_k_dense_replace": 2}
# A model that knows nothing learns from the length of its answers alone.
RECIPE = """\
out: {out}
seed: 3
model: {{config: config.json}}
tokenizer: {{path: tokenizer}}
tasks:
- {{name: parity, level_max: 2}}
- {{name: digit-sum, weight: 0.5}}
optimizer: {{lr: 3e-3}}
schedule: {{kind: constant}}
rl: {{steps: 6, questions: 3, samples: 4, soft_tokens: 12}}
rollout: {{tokens: 12, slots: 5}}
eval: {{every: 3, sequences: 4}}
save: {{every: 2, keep: 9}}
sample: {{every: 3}}
"""


@pytest.fixture
def recipe(minke, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("parity 0110 sum mod 10 of 1234\n" * 20)
    tags = [x for tag in TAGS for x in ("--special", tag)]
    r = minke("tokenizer", "train", text, "--out", tmp_path / "tokenizer", "--vocab", 264, *tags)
    assert r.returncode == 0, r.stderr
    (tmp_path / "config.json").write_text(json.dumps(MLA_MOE))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(out=tmp_path / "run"))
    return path


def files_of(run):
    """All that may not depend on the clock, nor on how often the run was told another end."""
    timed = ("timing.jsonl", "report.html", "events.out.tfevents.0.minke", "lock")
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*"))
            if p.is_file() and p.name not in timed and not p.name.startswith("recipe.")}


def ok(result):
    assert result.returncode == 0, result.stderr
    return result


def metrics_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("config", [DENSE, MLA, MLA_MOE], ids=["dense", "mla", "moe"])
def test_sampler_and_trainer_agree_to_the_bit(minke, recipe, tmp_path, config):
    """Every step compares every token (update.c); a run that ends well has proved it."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    ok(minke("rl", recipe, "-q"))
    steps = metrics_of(tmp_path / "run")
    assert len(steps) == 6
    assert sum(s["updates"] for s in steps) > 0 and "mismatch" not in steps[0]
    assert {s["step"] for s in steps if "test" in s} == {3, 6}


@pytest.mark.parametrize("sets", [
    ("rl.epochs=2", "rl.batches=2"),
    ("rl.kl=0.1", "rl.reference_every=2", "rl.kl_form=unbiased", "rl.loss=gspo"),
    ("rollout.top_k=20", "rl.replay_experts=true", "rl.loss=dapo", "rl.epochs=2"),
    ("rollout.think_budget=3", "rl.loss=cispo", "train.compute=bf16"),
], ids=["epochs", "kl", "replay", "budget"])
def test_every_kind_of_run_is_exact_and_resumes(minke, recipe, tmp_path, sets):
    options = [x for s in sets for x in ("--set", s)]
    ok(minke("rl", recipe, "-q", *options, "--set", f"out={tmp_path / 'whole'}"))
    ok(minke("rl", recipe, "-q", *options, "--set", "rl.steps=3"))
    more = ("--set", "threads=3", "--set", "rollout.slots=2", "--set", "train.pass_tokens=60")
    ok(minke("rl", recipe, "-q", "--resume", *options, *more))
    whole, run = files_of(tmp_path / "whole"), files_of(tmp_path / "run")
    assert [k for k in whole if whole[k] != run.get(k)] == []


def test_adapters_learn_from_rewards_beside_a_reference(minke, recipe, tmp_path):
    ok(minke("rl", recipe, "-q", "--set", "rl.steps=1", "--set", f"out={tmp_path / 'base'}"))
    options = [x for s in ("model.config=", f"model.from={tmp_path / 'base'}", "lora.rank=2",
                           "rl.kl=0.1", "rl.reference_every=2") for x in ("--set", s)]
    ok(minke("rl", recipe, "-q", *options, "--set", f"out={tmp_path / 'whole'}"))
    ok(minke("rl", recipe, "-q", *options, "--set", "rl.steps=3"))
    ok(minke("rl", recipe, "-q", *options, "--resume"))
    whole, run = files_of(tmp_path / "whole"), files_of(tmp_path / "run")
    assert [k for k in whole if whole[k] != run.get(k)] == []
    assert any(s["kl"] > 0 for s in metrics_of(tmp_path / "run"))


def test_a_run_killed_at_any_moment_is_the_run_that_was_not(minke, recipe, tmp_path):
    ok(minke("rl", recipe, "-q", "--set", f"out={tmp_path / 'whole'}", "--set", "save.every=1"))
    dice = random.Random(5)
    for _ in range(10):
        p = subprocess.Popen([MINKE, "rl", recipe, "-q", "--resume", "--set", "save.every=1"],
                             env=minke.env, cwd=ROOT, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.02, 0.25))
        p.send_signal(signal.SIGKILL)
        p.wait()
    ok(minke("rl", recipe, "-q", "--resume", "--set", "save.every=1"))
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


def test_other_numerics_are_measured_and_weighed(minke, recipe, tmp_path):
    ok(minke("rl", recipe, "-q", "--set", "rollout.kv=int8", "--set", "rl.mask_delta=0.5"))
    steps = metrics_of(tmp_path / "run")
    assert all(s["mismatch"] > 0 for s in steps if s["updates"])
    ok(minke("rl", recipe, "-q", "--set", "rollout.numerics=fast", "--set", f"out={tmp_path / 'fast'}"))
    assert all("mismatch" in s for s in metrics_of(tmp_path / "fast"))


def test_a_checkpoint_answers(minke, recipe, tmp_path):
    last = ok(minke("rl", recipe, "-q")).stdout.strip()
    ok(minke("inspect", last))
    sample = json.loads((tmp_path / "run/samples/step-000003.jsonl").read_text().splitlines()[0])
    assert {"question", "reference", "response", "reward", "correct"} <= set(sample)


def test_a_dry_run_says_what_would_be_done(minke, recipe, tmp_path):
    r = ok(minke("rl", recipe, "--dry-run"))
    assert "# task     parity, level 0 to 2, weight 1\n" in r.stdout
    assert "# steps    6 of 3 questions, 4 answers each of up to 12 tokens\n" in r.stdout
    assert "\nrl:\n" in r.stdout and "  soft_tokens: 12\n" in r.stdout and r.stderr == ""
    assert not (tmp_path / "run").exists()
    recipe.write_text(recipe.read_text().replace("name: digit-sum", "name: gsm8k"))
    failed(minke("rl", recipe, "--dry-run"), "gsm8k:FILE")


def test_what_is_done_is_told(minke, recipe):
    ok(minke("rl", recipe, "-q", "--set", "rl.steps=1"))
    r = ok(minke("rl", recipe, "--resume", "--set", "rl.steps=1"))
    assert "nothing is left to do after step 1: a larger rl.steps goes on\n" in r.stderr


def test_no_live_group_is_no_update(minke, recipe, tmp_path):
    ok(minke("rl", recipe, "-q", "--set", "rl.soft_tokens=0"))
    steps = metrics_of(tmp_path / "run")
    assert all(s["live"] == 0 and s["updates"] == 0 for s in steps)
    assert all(s["asked"] == 6 for s in steps)  # refilled once, then given up
    r = ok(minke("rl", recipe, "--set", "rl.soft_tokens=0", "--set", f"out={tmp_path / 'told'}"))
    assert "step 5: no live group in 5 steps" in r.stderr and "too hard" in r.stderr


def test_mistakes_are_named(minke, recipe, tmp_path):
    text = recipe.read_text()
    for old, new, words in [
            ("name: parity, level_max: 2", "name: parrity", ["parrity"]),
            ("level_max: 2", "level_max: 99", ["levels 0 to 7"]),
            ("slots: 5", "slots: 5, prompt: hello", ["rollout.prompt", "{question}"]),
            ("name: digit-sum, weight: 0.5", "name: 'jsonl:none.jsonl'", ["none.jsonl"]),
            ("slots: 5", "slots: 5, numerics: fast}\ntrain: {compute: fp8",
             ["rollout.numerics", "train.compute"]),
            ("questions: 3", "question: 3", ["question", "questions"])]:
        assert old in text
        recipe.write_text(text.replace(old, new))
        failed(minke("rl", recipe, "-q"), *words)
    recipe.write_text(text)
    failed(minke("train", recipe, "-q"), "minke rl")
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in MLA_MOE.items()
                                                      if k != "eos_token_id"}))
    failed(minke("rl", recipe, "-q"), "eos_token_id")


@pytest.mark.parametrize("line", ['{"question":"2+2"}', '{"question":"2+2","answer":', "[]",
                                  '{"question":7,"answer":"4"}'],
                         ids=["no-reference", "cut", "no-object", "no-text"])
def test_a_bad_line_of_a_question_file_is_named(minke, recipe, tmp_path, line):
    (tmp_path / "q.jsonl").write_text('{"question":"1+1","answer":"2"}\n' + line + '\n{"question":"3+3","answer":"6"}\n')
    recipe.write_text(recipe.read_text().replace("name: digit-sum, weight: 0.5", "name: 'jsonl:q.jsonl'"))
    failed(minke("rl", recipe, "-q"), "q.jsonl: line 2")


# The answer of a model that knows nothing stands in a comment, so that it is a program now and then.
ENDLESS = {"task_id": "e/{i}", "prompt": "def f{i}():\n    return {i}\n# ", "canonical_solution": "    return {i}\\n",
           "test": "def check(f):\n    while True:\n        pass\n", "entry_point": "f{i}"}


def test_a_file_without_a_test_question_is_not_tested(minke, recipe, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"question":"1+1","answer":"2"}\n')
    recipe.write_text(recipe.read_text().replace("name: digit-sum, weight: 0.5", "name: 'jsonl:q.jsonl'"))
    ok(minke("rl", recipe, "-q"))
    assert list(metrics_of(tmp_path / "run")[2]["test"]["tasks"]) == ["parity"]
    recipe.write_text(recipe.read_text().replace("- {name: parity, level_max: 2}\n", ""))
    ok(minke("rl", recipe, "--set", f"out={tmp_path / 'alone'}"))
    assert not any("test" in step for step in metrics_of(tmp_path / "alone"))
    (tmp_path / "q.jsonl").write_text("")
    failed(minke("rl", recipe, "-q", "--set", f"out={tmp_path / 'none'}"), "q.jsonl", "no question")


def test_a_program_that_does_not_end_is_wrong_and_the_run_goes_on(minke, recipe, tmp_path):
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({k: v.replace("{i}", str(i)) for k, v in ENDLESS.items()})
                                              + "\n" for i in range(40)))
    (tmp_path / "config.json").write_text(json.dumps(DENSE | {"eos_token_id": [1, 60, 70, 80, 90, 100, 110, 120]}))
    recipe.write_text(recipe.read_text().replace("- {name: digit-sum, weight: 0.5}\n", "")
                      .replace("name: parity, level_max: 2", "name: 'humaneval:p.jsonl'"))
    failed(minke("rl", recipe, "-q"), "rl.allow_code")
    options = ("rl.steps=2", "eval.every=0", "eval.sequences=1", "rollout.tokens=40", "rl.soft_tokens=40", "rl.samples=6",
               "rl.refill=1", "rl.allow_code=true", "rl.code_ms=300")
    r = minke("rl", recipe, *(x for o in options for x in ("--set", o)))
    if "sandbox" in r.stderr or "namespaces" in r.stderr:
        pytest.skip(r.stderr.splitlines()[-1])
    ok(r)
    assert "did not end within rl.code_ms = 300" in r.stderr
    steps = metrics_of(tmp_path / "run")
    assert len(steps) == 2 and sum(s["timed_out"] for s in steps) > 0 and all(s["pass"] == 0 for s in steps)


def test_weights_that_blow_up_end_the_run_with_its_last_checkpoint(minke, recipe):
    r = minke("rl", recipe, "-q", "--set", "optimizer.lr=10", "--set", "optimizer.weight_decay=1",
              "--set", "rl.steps=200", "--set", "rl.filter=false")
    failed(r, "step ", "not a number", "last checkpoint is", "lower the learning rate")


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "rl.json",
                                  "reference.safetensors"])
def test_a_damaged_checkpoint_names_the_one_before(minke, recipe, tmp_path, name):
    ok(minke("rl", recipe, "-q", "--set", "rl.kl=0.1"))
    whole, last = files_of(tmp_path / "run"), tmp_path / "run/checkpoints/step-000006"
    (last / name).write_bytes((last / name).read_bytes()[:-20])
    failed(minke("rl", recipe, "-q", "--resume", "--set", "rl.kl=0.1"), f"remove {last} to go on after step 4", name)
    shutil.rmtree(last)
    ok(minke("rl", recipe, "-q", "--resume", "--set", "rl.kl=0.1"))
    assert files_of(tmp_path / "run") == whole


def memory_of(minke, recipe, sets):
    """The most that a run of minke rl took, and what it had told."""
    # a child's peak counts what its parent had at the fork: a small parent of its own starts it
    measure = ("import os, subprocess, sys; p = subprocess.Popen(sys.argv[1:]); "
               "_, status, usage = os.wait4(p.pid, 0); print(status, usage.ru_maxrss * 1024)")
    r = subprocess.run([sys.executable, "-S", "-c", measure, MINKE, "rl", recipe, *sets],
                       env=minke.env, cwd=ROOT, text=True, capture_output=True)
    status, most = map(int, r.stdout.splitlines()[-1].split())
    assert status == 0, r.stderr
    told = int(re.search(r"^memory  about (\d+) MB: weights", r.stderr, re.M)[1]) * 1e6
    assert r.stderr.index("memory  about") < r.stderr.index("step 1 ")
    return most, told


@pytest.mark.parametrize("options", [(), ("rl.kl=0.1", "rl.epochs=2"), ("train.memory_mb=0", "rollout.kv=bf16"),
                                     ("rollout.top_k=20", "rl.replay_experts=true")], ids=" ".join)
def test_memory_is_told_before_the_run_and_kept(minke, recipe, options):
    """A model that knows nothing writes until the limit: the worst case that is told is nearly so."""
    sets = [x for o in ("rl.questions=16", "rl.samples=16", "rollout.tokens=40", "rollout.slots=64", "rl.steps=3",
                        "eval.every=1", "rl.soft_tokens=40", *options) for x in ("--set", o)]
    most, told = memory_of(minke, recipe, sets)
    assert most <= told <= 1.8 * most + 16e6


def test_a_run_that_cannot_fit_is_refused_before_it_begins(minke, recipe, tmp_path):
    failed(minke("rl", recipe, "-q", "--set", "rl.questions=65536", "--set", "rl.samples=4096",
                 "--set", "rollout.tokens=1000000"), "memory", "rl.questions")
    failed(minke("rl", recipe, "-q", "--set", "rl.questions=65536", "--set", "rl.samples=4096",
                 "--set", "rl.refill=100"), "2^31", "rl.refill")
    assert not (tmp_path / "run/metrics.jsonl").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_keeps_the_last_checkpoint(minke, recipe, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", disk]).returncode:
        pytest.skip("no tmpfs here")
    try:
        failed(minke("rl", recipe, "-q", "--set", f"out={disk}/run", "--set", "rl.steps=60"),
               "last checkpoint is")
    finally:
        subprocess.run(["umount", disk])


def test_one_question_is_answered_before_and_after(minke, recipe):
    r = ok(minke("rl", recipe, "--set", "rl.steps=2"))
    lines = r.stderr.splitlines()
    before, after = (next(i for i, x in enumerate(lines) if x.startswith(f"  {when}, "))
                     for when in ("before", "after"))
    assert lines[before - 1].startswith("parity ") and before < after
    assert all(len(x) <= 80 for x in lines if x.startswith("step "))
