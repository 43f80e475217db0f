"""minke sample: a teacher's answers, kept by a verifier, in a file that recipes read."""

import json
import os
import random
import re
import signal
import subprocess
import time

import pytest

from conftest import MINKE, ROOT, Minke, failed, refused
from test_rl import DENSE, MLA_MOE, TAGS, ok

TEACHER = """\
out: {home}/run
model: {{config: config.json}}
tokenizer: {{path: tokenizer}}
data: {{format: chat, chat_template: deepseek-v3, sequence: 64, drop_copies: false, validation: 0,
       sources: [{{path: corpus.jsonl}}]}}
train: {{tokens: 200000, batch: 16}}
optimizer: {{lr: 5e-3, weight_decay: 0}}
"""
SPECS = ("compare,level=0", "parity,level=0,weight=0.5")
SHORT = ("--max-tokens", 48, "-q")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A tiny model that has learned the form of answers: some are right, some are not."""
    home = tmp_path_factory.mktemp("teacher")
    minke = Minke(home / "data")
    ok(minke("tasks", "corpus", "compare,level=0,scratchpad=0.5", "parity,level=0,scratchpad=0.5",
             "-n", 4000, "-o", home / "corpus.jsonl"))
    tags = [x for tag in TAGS for x in ("--special", tag)]
    ok(minke("tokenizer", "train", home / "corpus.jsonl", "--vocab", 264, "--out",
             home / "tokenizer", *tags))
    (home / "config.json").write_text(json.dumps(DENSE))
    (home / "recipe.yaml").write_text(TEACHER.format(home=home))
    return ok(minke("train", home / "recipe.yaml", "-q")).stdout.strip()


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_kept_is_right_and_told_in_full(minke, teacher, tmp_path):
    out = tmp_path / "a.jsonl"
    r = ok(minke("sample", teacher, *SPECS, "-n", 60, "-k", 3, "-o", out, *SHORT))
    lines = lines_of(out)
    assert 10 < len(lines) < 180 and f"{len(lines)} of 180 answers kept" in r.stdout
    for line in lines:
        asked, said = line["messages"]
        assert (asked["role"], said["role"]) == ("user", "assistant")
        assert f"<answer>{line['reference']}</answer>" in said["content"]
        assert line["correct"] and line["stopped"] and line["task"] in ("compare", "parity")
        assert len(line["logprobs"]) == len(line["ids"]) == line["tokens"]
        assert max(line["logprobs"]) <= 0 and line["prompt_ids"]
    assert sorted(line["question"] for line in lines) == [line["question"] for line in lines]


def test_keep_says_which(minke, teacher, tmp_path):
    kept = {}
    for keep in ("all", "correct", "best"):
        out = tmp_path / f"{keep}.jsonl"
        ok(minke("sample", teacher, *SPECS, "-n", 40, "-k", 4, "--keep", keep, "-o", out, *SHORT))
        kept[keep] = [(x["question"], x["sample"], x["correct"], sum(x["logprobs"]) / x["tokens"])
                      for x in lines_of(out)]
    assert len(kept["all"]) == 160
    assert kept["correct"] == [x for x in kept["all"] if x[2]]
    by_question = {}
    for x in kept["correct"]:
        by_question.setdefault(x[0], []).append(x)
    best = [max(group, key=lambda x: x[3]) for group in by_question.values()]
    assert kept["best"] == best and len(best) < len(kept["correct"])


def test_pairs_are_a_good_answer_and_one_that_is_not(minke, teacher, tmp_path):
    options = (*SPECS, "-n", 40, "-k", 4, *SHORT)
    ok(minke("sample", teacher, *options, "--keep", "all", "-o", tmp_path / "all.jsonl"))
    r = ok(minke("sample", teacher, *options, "--keep", "pairs", "-o", tmp_path / "pairs.jsonl"))
    pairs, groups = lines_of(tmp_path / "pairs.jsonl"), {}
    assert f"{len(pairs)} pairs of 160 answers kept" in r.stdout
    for x in lines_of(tmp_path / "all.jsonl"):
        groups.setdefault(x["question"], []).append(x)
    want = []
    for question, group in groups.items():
        text = [x["messages"][1]["content"] for x in group]
        good = [i for i, x in enumerate(group) if x["correct"]]
        bad = [i for i, x in enumerate(group) if x["stopped"] and not x["correct"] and text[i]]
        want += [(question, group[0]["messages"][0]["content"], text[i], text[j], [i, j])
                 for i, j in zip(good, bad)]
    assert [(x["question"], x["prompt"], x["chosen"], x["rejected"], x["sample"]) for x in pairs] == want
    assert len(want) > 10
    (tmp_path / "dpo.yaml").write_text(
        f"out: {tmp_path}/run\nmodel: {{from: {ROOT / teacher}}}\n"
        "data: {format: pairs, chat_template: deepseek-v3, specials: true, sequence: 160, drop_copies: false,\n"
        "       sources: [{path: pairs.jsonl}]}\ntrain: {tokens: 500, batch: 2}\n")
    ok(minke("train", tmp_path / "dpo.yaml", "-q"))


def test_filters_leave_out_what_cannot_be_read(minke, teacher, tmp_path):
    def count(*options):
        out = tmp_path / "f.jsonl"
        for path in (out, tmp_path / "f.jsonl.state"):
            path.unlink(missing_ok=True)
        r = ok(minke("sample", teacher, *SPECS, "-n", 40, "-k", 2, "-o", out, *SHORT, *options))
        return lines_of(out), r.stdout

    lines, said = count("--tags", "think")
    assert lines and all("<think>" in x["messages"][1]["content"] for x in lines)
    assert re.search(r"tags +\d+ answers", said)
    lines, said = count("--max-characters", 20)
    assert all(len(x["messages"][1]["content"]) <= 20 for x in lines)
    assert re.search(r"long +\d+ answers", said)


@pytest.mark.parametrize("sets", [("--form", "messages"), ("--form", "text", "--max-repetition", 1)],
                         ids=["messages", "text"])
def test_killed_and_resumed_it_writes_the_same_bytes(minke, teacher, tmp_path, sets):
    options = (*SPECS, "-n", 300, "-k", 2, *sets, "--max-tokens", 48, "-q")
    whole, out = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    ok(minke("sample", teacher, *options, "-o", whole, "--threads", 1))
    dice = random.Random(2)
    for _ in range(6):
        p = subprocess.Popen([str(x) for x in (MINKE, "sample", teacher, *options, "-o", out,
                                               "--slots", 4, "--resume")],
                             env=minke.env, cwd=ROOT, stdout=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.05, 0.3))
        p.send_signal(signal.SIGKILL)
        p.wait()
    ok(minke("sample", teacher, *options, "-o", out, "--slots", 7, "--resume"))
    assert out.read_bytes() == whole.read_bytes() and lines_of(out)


def test_more_questions_go_behind_and_other_options_do_not(minke, teacher, tmp_path):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    ok(minke("sample", teacher, *SPECS, "-n", 50, "-o", whole, *SHORT))
    ok(minke("sample", teacher, *SPECS, "-n", 20, "-o", out, *SHORT))
    failed(minke("sample", teacher, *SPECS, "-n", 50, "-o", out, *SHORT), "--resume")
    failed(minke("sample", teacher, *SPECS, "-n", 50, "-o", out, *SHORT, "-r", "-s", 1), "seed")
    ok(minke("sample", teacher, *SPECS, "-n", 50, "-o", out, *SHORT, "-r"))
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("form", ["messages", "text"])
def test_a_student_of_another_kind_reads_the_file(minke, teacher, tmp_path, form):
    out, recipe = tmp_path / "c.jsonl", tmp_path / "student.yaml"
    ok(minke("sample", teacher, *SPECS, "-n", 200, "-k", 2, "--form", form, "-o", out, *SHORT))
    (tmp_path / "config.json").write_text(json.dumps(MLA_MOE))
    kind = "format: chat, chat_template: deepseek-v3" if form == "messages" else "specials: true"
    recipe.write_text(f"""out: {tmp_path}/run
model: {{config: config.json}}
tokenizer: {{path: {teacher}}}
data: {{{kind}, drop_copies: false, validation: 0, sequence: 64, sources: [{{path: c.jsonl}}]}}
train: {{tokens: 4000, batch: 8}}
""".replace(str(teacher), str(ROOT / teacher)))
    ok(minke("train", recipe, "-q"))
    shard = next((tmp_path / "run/data").rglob("*.tokens"))
    shown = ok(minke("data", "show", "-t", ROOT / teacher, "-n", 1, shard)).stdout
    assert "<｜User｜>" in shown and "<answer>" in shown


def test_a_file_of_questions_is_asked_too(minke, teacher, tmp_path):
    file, out = tmp_path / "q.jsonl", tmp_path / "a.jsonl"
    file.write_text("".join(f'{{"question":"Which is larger, {i} or {i + 1}?","answer":"{i + 1}"}}\n'
                            for i in range(40)))
    ok(minke("sample", teacher, f"jsonl:{file}", "-n", 30, "--keep", "all", "-o", out, *SHORT))
    lines = lines_of(out)
    assert lines and all(x["messages"][0]["content"].startswith("Which is") for x in lines)


def test_mistakes_are_named(minke, teacher, tmp_path):
    out = ("-o", tmp_path / "x.jsonl")
    failed(minke("sample", teacher, "purity", *out), "purity")
    failed(minke("sample", teacher, "parity,scratchpad=1", *out), "scratchpad=1", "shares")
    failed(minke("sample", teacher, "parity", "-p", "hello", *out), "{question}")
    failed(minke("sample", teacher, "parity", "-o", tmp_path / "no/such/x"), "no/such/x")
    refused(minke("sample", teacher, "parity"), "--out")
    refused(minke("sample", teacher, "parity", "--script", "klingon", *out), "klingon")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "a", "answer": "1"}\n{"question": "b"}\n')
    failed(minke("sample", teacher, f"jsonl:{bad}", *out), "bad.jsonl", "line 2")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_keeps_whole_lines(minke, teacher, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk]).returncode:
        pytest.skip("no tmpfs here")
    try:
        options = (*SPECS, "-n", 2000, "-k", 2, "--slots", 4, *SHORT)
        failed(minke("sample", teacher, *options, "-o", disk / "a.jsonl"), "a.jsonl", "written")
        state = json.loads((disk / "a.jsonl.state").read_text())
        whole = (disk / "a.jsonl").read_bytes()[:state["bytes"]]
        assert whole.endswith(b"\n") and len(whole.splitlines()) == state["counts"]["kept"]
    finally:
        subprocess.run(["umount", disk])
