"""minke pipeline: R1's four stages in one file, killed in every stage and resumed to the same bytes."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import MINKE, ROOT, Minke, failed, refused
from test_rl import DENSE, TAGS, files_of as run_files_of, metrics_of, ok

TASKS = "[{name: compare}, {name: parity}]"
THOUGHTS = "[{name: compare, scratchpad: 1}, {name: parity, scratchpad: 1}]"
CHAT = "chat_template: deepseek-v3, sequence: 160, drop_copies: false, specials: true"
STEADY = "optimizer: {lr: 2e-3, weight_decay: 0}\n  schedule: {kind: constant}\n  eval: {every: 4, sequences: 8}"
R1 = f"""\
out: run
seed: 3
stages:
- name: texts
  kind: corpus
  tasks: {THOUGHTS}
  corpus: {{documents: 2000, form: text}}
- name: base
  kind: pretrain
  model: {{config: config.json}}
  tokenizer: {{path: tokenizer}}
  data: {{sequence: 96, drop_copies: false, specials: true, sources: [{{path: stage:texts}}]}}
  train: {{tokens: 200K, batch: 16}}
  optimizer: {{lr: 5e-3, weight_decay: 0}}
  eval: {{every: 0, sequences: 8}}
  save: {{every: 20}}

# 1: cold start
- name: talks
  kind: corpus
  tasks: {THOUGHTS}
  corpus: {{documents: 300}}
- name: cold-start
  kind: sft
  model: {{from: stage:base}}
  data: {{{CHAT}, sources: [{{path: stage:talks}}]}}
  train: {{tokens: 12K, batch: 8}}
  {STEADY}
  save: {{every: 3}}

# 2: reasoning
- name: reasoning
  kind: rl
  model: {{from: stage:cold-start}}
  tasks: {TASKS}
  {STEADY}
  rl: {{steps: 6, questions: 4, samples: 4, language_reward: 0.1, format_reward: 0.1, clip_high: 10, kl: 0.001}}
  rollout: {{tokens: 40}}
  save: {{every: 2}}

# 3: rejection sampling, and from the base again
- name: rejection
  kind: sample
  model: {{from: stage:reasoning}}
  tasks: {TASKS}
  answers: {{questions: 300, samples: 4, keep: best, tags: answer}}
  rollout: {{tokens: 40}}
- name: again
  kind: sft
  model: {{from: stage:base}}
  data: {{{CHAT}, sources: [{{path: stage:rejection}}]}}
  train: {{tokens: 12K, batch: 8}}
  {STEADY}
  save: {{every: 3}}

# 4: all scenarios
- name: pairs
  kind: sample
  model: {{from: stage:again}}
  tasks: {TASKS}
  answers: {{questions: 200, samples: 4, keep: pairs, tags: answer}}
  rollout: {{tokens: 40}}
- name: judge
  kind: reward
  model: {{from: stage:again}}
  data: {{{CHAT}, sources: [{{path: stage:pairs}}]}}
  train: {{tokens: 6K, batch: 4}}
  {STEADY}
  save: {{every: 2}}
- name: all
  kind: rl
  model: {{from: stage:again}}
  tasks: {TASKS}
  {STEADY}
  rl: {{steps: 6, questions: 4, samples: 4, reward_model: stage:judge, reward_model_weight: 0.5, reward_model_last: 4}}
  rollout: {{tokens: 40}}
  save: {{every: 2}}
"""
STAGES = re.findall(r"^- name: ([\w-]+)\n  kind: (\w+)", R1, re.M)


def files_of(run):
    """All that may not depend on the clock, nor on who was asked from which folder."""
    return {name: data for name, data in run_files_of(run).items() if not name.endswith(".state")}


def write_recipe(home, minke):
    corpus = home / "some.jsonl"
    ok(minke("tasks", "corpus", "compare,scratchpad=1", "parity,scratchpad=1", "-n", 300, "-o", corpus))
    tags = [x for tag in TAGS for x in ("--special", tag)]
    ok(minke("tokenizer", "train", corpus, "--vocab", 272, "--out", home / "tokenizer", *tags))
    (home / "config.json").write_text(json.dumps(DENSE))
    (home / "r1.yaml").write_text(R1)
    return home / "r1.yaml"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pipeline that nobody disturbed: its recipe and its folder."""
    home = tmp_path_factory.mktemp("pipeline")
    minke = Minke(home / "data")
    recipe = write_recipe(home, minke)
    r = ok(minke("pipeline", recipe, "--set", f"out={home / 'whole'}"))
    return recipe, home / "whole", r


def test_every_stage_has_a_run_folder_and_a_result(whole):
    recipe, run, r = whole
    assert r.stdout == f"{run}/all/checkpoints/step-000006\n"
    for name, kind in STAGES:
        result = run / name / json.loads((run / name / "result.json").read_text())["result"]
        assert result.exists() and (run / name / "recipe.yaml").exists()
        assert (result.suffix == ".jsonl") == (kind in ("corpus", "sample"))
    assert "stage:" not in "".join((run / name / "recipe.yaml").read_text() for name, _ in STAGES)
    assert f"from: \"{run}/base/checkpoints/" in (run / "again/recipe.yaml").read_text()
    assert f"reward_model: \"{run}/judge/checkpoints/" in (run / "all/recipe.yaml").read_text()
    assert all(x["correct"] for x in map(json.loads, (run / "rejection/answers.jsonl").read_text().splitlines()))
    assert ["score" in step for step in metrics_of(run / "all")] == [False] * 2 + [True] * 4
    assert "kl" in metrics_of(run / "reasoning")[0] and "reward" in metrics_of(run / "judge")[0]


def test_the_list_of_stages_says_where_it_is(whole):
    lists = re.findall(r"^\S+: (\d+) of 10 stages done\n((?:  (?:done|now|next) .*\n){10})", whole[2].stderr, re.M)
    assert [int(n) for n, _ in lists] == list(range(11))
    for n, lines in lists:
        words = [line.split() for line in lines.splitlines()]
        assert [tuple(w[1:3]) for w in words] == STAGES
        states = [w[0] for w in words]
        assert states == (["done"] * int(n) + ["now"] + ["next"] * 9)[:10]
    assert "\033" not in whole[2].stderr and max(map(len, lists[0][1].splitlines())) <= 79


def test_killed_in_every_stage_it_writes_the_same_bytes(minke, whole, tmp_path):
    """Where a stage has checkpoints it is killed behind the first of them."""
    recipe, run, _ = whole
    killed = []
    for name, kind in STAGES:
        p = subprocess.Popen([MINKE, "pipeline", recipe, "-q", "--resume", "--set", f"out={tmp_path / 'run'}"],
                             env=minke.env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        stage = tmp_path / "run" / name
        while p.poll() is None and not (stage.exists() if kind in ("corpus", "sample")
                                        else any(stage.glob("checkpoints/step-??????"))):
            time.sleep(0.002)
        p.send_signal(signal.SIGKILL)
        killed += [name] if p.wait() == -signal.SIGKILL and not (stage / "result.json").exists() else []
        assert b"minke:" not in p.stderr.read()
        p.stderr.close()
    assert {"base", "cold-start", "reasoning", "again", "judge", "all"} & set(killed)
    ok(minke("pipeline", recipe, "-q", "--resume", "--set", f"out={tmp_path / 'run'}", "--set", "threads=1"))
    want, got = files_of(run), files_of(tmp_path / "run")
    assert want.keys() == got.keys() and [name for name in want if want[name] != got[name]] == []


def test_a_pipeline_that_is_done_does_nothing(minke, whole):
    recipe, run, first = whole
    before = files_of(run)
    r = ok(minke("pipeline", recipe, "--resume", "--set", f"out={run}"))
    assert r.stdout == first.stdout and files_of(run) == before and "now" not in r.stderr.split()
    assert "another recipe" not in r.stderr
    r = ok(minke("pipeline", recipe, "--resume", "--set", f"out={run}", "--set", "again.optimizer.lr=1", "--set",
                 "threads=7"))
    assert re.findall("stage (.*) was done with another recipe", r.stderr) == ["again"]
    assert f"remove {run}/again" in r.stderr and files_of(run) == before
    (run / "all/result.json").unlink()  # as if it had been killed between the last checkpoint and this
    ok(minke("pipeline", recipe, "-q", "--resume", "--set", f"out={run}"))
    assert files_of(run) == before
    failed(minke("pipeline", recipe, "--set", f"out={run}"), "there is a pipeline already", "--resume")


def test_stages_are_the_commands_they_stand_for(minke, whole, tmp_path):
    recipe, run, _ = whole
    specs = ("compare,level=0,scratchpad=1", "parity,level=0,scratchpad=1")
    ok(minke("tasks", "corpus", *specs, "-n", 300, "-s", 3, "-o", tmp_path / "talks.jsonl"))
    assert (tmp_path / "talks.jsonl").read_bytes() == (run / "talks/corpus.jsonl").read_bytes()
    model = run / "reasoning/checkpoints/step-000006"
    ok(minke("sample", model, "compare,level=0", "parity,level=0", "-n", 300, "-k", 4, "--keep", "best", "--tags",
             "answer", "--max-tokens", 40, "-s", 3, "-p", "<｜User｜>{question}<｜Assistant｜>", "-q", "-o",
             tmp_path / "answers.jsonl"))
    assert (tmp_path / "answers.jsonl").read_bytes() == (run / "rejection/answers.jsonl").read_bytes()
    for command, stage in (("train", "cold-start"), ("rl", "all")):
        alone = recipe.with_name(f"{stage}.yaml")
        shutil.copy(run / stage / "recipe.yaml", alone)
        ok(minke(command, alone, "-q", "--set", f"out={tmp_path / stage}"))
        want = files_of(run / stage)
        del want["result.json"]
        assert files_of(tmp_path / stage) == want


def test_what_is_to_be_done_again_is_removed_with_what_follows(minke, whole, tmp_path):
    recipe, run, _ = whole
    part = tmp_path / "part"
    shutil.copytree(run, part)
    shutil.rmtree(part / "pairs")
    resume = ("pipeline", recipe, "-q", "--resume", "--set", f"out={part}", "--set", "all.rl.steps=2")
    failed(minke(*resume), "stage judge is done", "pairs before it is not", f"remove {part}/judge")
    shutil.rmtree(part / "judge")
    shutil.rmtree(part / "all")
    ok(minke(*resume, "--until", "judge"))
    assert not (part / "all").exists()
    assert (part / "pairs/answers.jsonl").read_bytes() == (run / "pairs/answers.jsonl").read_bytes()
    ok(minke(*resume))
    assert metrics_of(part / "all")[-1]["step"] == 2
    shutil.rmtree(part / "base/checkpoints")
    failed(minke(*resume), "base/checkpoints", "is not there any more", f"remove {part}/base")


def test_a_stage_of_rl_that_was_good_enough_stays_so(minke, whole, tmp_path):
    """rl.stop_at ends a run; killed behind its last checkpoint it has no more to do."""
    recipe, run, _ = whole
    good = recipe.with_name("good.yaml")
    shutil.copy(run / "all/recipe.yaml", good)
    sets = ("--set", f"out={tmp_path / 'good'}", "--set", "rl.stop_at=0.01", "--set", "eval.every=1")
    ok(minke("rl", good, "-q", *sets))
    before = run_files_of(tmp_path / "good")
    assert len(metrics_of(tmp_path / "good")) < 6
    ok(minke("rl", good, "-q", *sets, "--resume"))
    assert run_files_of(tmp_path / "good") == before


def test_a_dry_run_prints_and_makes_nothing(minke, whole, tmp_path):
    recipe, _, _ = whole
    r = ok(minke("pipeline", recipe, "--dry-run", "--set", f"out={tmp_path / 'none'}", "--set",
                 "cold-start.train.tokens=77K", "--set", "seed=9", "--set", "all.seed=10"))
    assert not (tmp_path / "none").exists() and r.stdout.count("\n---\n") == len(STAGES)
    recipes = r.stdout.split("\n---\n")[1:]
    assert re.findall(r"^# stage ([\w-]+), of kind (\w+)$", r.stdout, re.M) == STAGES
    assert "tokens: 77000\n" in recipes[3] and "format: chat\n" in recipes[3]
    assert "format: pairs\n" in recipes[8] and "head: true\n" in recipes[8]
    assert ["\nseed: 9\n" in x for x in recipes] == [True] * 9 + [False] and "\nseed: 10\n" in recipes[9]


def test_mistakes_are_named_before_anything_runs(minke, tmp_path):
    recipe = tmp_path / "r1.yaml"
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer").mkdir()
    for old, new, words in [
            ("kind: sft", "kind: stf", ["stage cold-start", "kind", "stf", "sft"]),
            ("from: stage:cold-start", "from: stage:cold", ["stage reasoning", "model.from", "stage:cold"]),
            ("from: stage:cold-start", "from: stage:again", ["stage reasoning", "stage:again", "before"]),
            ("from: stage:cold-start", "from: stage:talks", ["stage reasoning", "talks makes texts"]),
            ("path: stage:pairs", "path: stage:again", ["stage judge", "again makes a model"]),
            ("reward_model: stage:judge", "reward_model: stage:again", ["stage all", "rl.reward_model", "reward"]),
            ("name: talks", "name: texts", ["stage texts", "earlier"]),
            ("name: talks", "name: ta/lks", ["ta/lks", "name"]),
            ("  corpus: {documents: 300}", "  corpus: {documants: 300}", ["r1.yaml:22", "documants", "documents"]),
            ("tasks: " + TASKS, "tasks: []", ["stage reasoning", "no tasks"]),
            ("scratchpad: 1}", "scratchpad: 1, search: 1}", ["stage texts", "shares"]),
            ("tasks: " + TASKS, "tasks: [{name: parrity}]", ["r1.yaml:34: stage reasoning", "parrity", "mean parity"]),
            ("tasks: " + TASKS, "tasks: [{name: parity, level_max: 9}]", ["stage reasoning", "levels 0 to 7"]),
            ("scratchpad: 1}", "search: 1}", ["stage texts", "compare has no search"]),
            ("tags: answer}\n  rollout: {tokens: 40}", "tags: answer}\n  rollout: {tokens: 40, prompt: hole}",
             ["r1.yaml:46: stage rejection", "rollout.prompt", "{question}"]),
            ("path: stage:pairs", "path: pears.jsonl", ["stage judge", "data.sources: pears.jsonl", "not there"]),
            ("model: {from: stage:again}", "model: {from: agian}", ["stage pairs", "model.from", "agian"]),
            ("language_reward: 0.1", "language: latn, language_reward: 0.1", ["stage reasoning", "latn", "latin, han"]),
            ("- name: cold-start\n", "- name: cold-start\n  out: here\n", ["stage cold-start", "out"])]:
        assert old in R1
        recipe.write_text(R1.replace(old, new, 1))
        failed(minke("pipeline", recipe, "-q"), *words)
    recipe.write_text(R1)
    for value, words in [("nothing.rl.steps=1", ["nothing.rl.steps"]), ("all.rl.stepz=1", ["rl.stepz"]),
                         ("all.rl.steps", ["all", "rl.steps"])]:
        failed(minke("pipeline", recipe, "-q", "--set", value), *words)
    failed(minke("pipeline", recipe, "-q", "--until", "nowhere"), "--until", "nowhere")
    refused(minke("pipeline"), "--help")
    assert not (ROOT / "run").exists() and not (tmp_path / "run").exists()


def interrupted(minke, recipe, out, options, folder, name):
    """What the pipeline says when Ctrl-C comes as soon as `name` is in a folder of its run."""
    p = subprocess.Popen([MINKE, "pipeline", recipe, "--set", f"out={out}", *options], env=minke.env, cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while p.poll() is None and not any((out / folder).glob(name)):
        time.sleep(0.002)
    p.send_signal(signal.SIGINT)
    _, said = p.communicate()
    assert p.returncode == 130
    return said


def test_ctrl_c_saves_and_says_how_to_go_on(minke, whole, tmp_path):
    recipe, run, _ = whole
    for stage in ("texts", "base", "talks"):
        shutil.copytree(run / stage, tmp_path / "run" / stage)
    said = interrupted(minke, recipe, tmp_path / "run", ["--resume", "--set", "cold-start.train.tokens=1B"],
                       "cold-start/checkpoints", "step-*")
    assert "stage cold-start: stopped after step" in said
    assert "minke pipeline with --resume goes on" in said
    assert not (tmp_path / "run/cold-start/result.json").exists()


def test_ctrl_c_stops_a_stage_of_texts_too(minke, whole, tmp_path):
    said = interrupted(minke, whole[0], tmp_path / "run", ["--set", "texts.corpus.documents=1B"], "texts", "*.part")
    assert "stage texts: stopped, minke pipeline with --resume goes on" in said
    assert not any((tmp_path / "run/texts").glob("*.part"))


@pytest.mark.parametrize("plain", [False, True])
def test_on_a_terminal_the_stage_at_work_stands_out(minke, whole, tmp_path, plain):
    master, slave = pty.openpty()
    env = minke.env | {"TERM": "xterm"} | ({"NO_COLOR": "1"} if plain else {})
    p = subprocess.Popen([MINKE, "pipeline", whole[0], "--until", "texts", "--set", f"out={tmp_path / 'run'}"], env=env,
                         cwd=ROOT, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    said = b""
    while True:
        try:
            got = os.read(master, 4096)
        except OSError:
            break
        if not got:
            break
        said += got
    os.close(master)
    assert p.wait() == 0 and b"now   texts" in said
    assert (b"\033[1m" in said) == (not plain)
