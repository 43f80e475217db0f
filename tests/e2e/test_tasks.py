"""`minke tasks`: the list, samples, corpora, and what is said about files that are wrong."""

import json
import re

import pytest

from conftest import ROOT, failed, refused

GSM8K = ROOT.parent / "shared/data/gsm8k/test.jsonl"


def names(minke):
    return [json.loads(line)["name"] for line in minke("tasks", "--json").stdout.splitlines()]


def test_the_list_fits_a_terminal_and_names_every_task(minke):
    r = minke("tasks")
    assert r.returncode == 0 and r.stderr == ""
    assert max(map(len, r.stdout.splitlines())) <= 80
    assert set(names(minke)) <= {line.split()[0] for line in r.stdout.splitlines()}
    assert {"parity", "digit-sum", "countdown", "maze", "knights", "unknown"} <= set(names(minke))


def test_every_task_shows_samples_and_says_the_same_again(minke):
    for name in names(minke):
        r = minke("tasks", name, "--json", "-n", 4, "--seed", 3, "--split", "test")
        samples = [json.loads(line) for line in r.stdout.splitlines()]
        assert r.returncode == 0 and len(samples) == 4
        for s in samples:
            assert s["split"] == "test" and s["question"] and s["answer"]
            assert s["traces"]["direct"] == f"<answer>{s['answer']}</answer>"
        assert minke("tasks", name, "--json", "-n", 4, "--seed", 3, "--split", "test").stdout == r.stdout


def test_samples_for_people_name_question_and_traces(minke):
    r = minke("tasks", "maze", "--level", 2, "-n", 1)
    assert r.returncode == 0
    for word in ("level 2", "question", "direct", "scratchpad", "search", "impatient", "Maze"):
        assert word in r.stdout


@pytest.mark.parametrize("form", ["messages", "text"])
def test_a_corpus_is_the_same_file_again(minke, tmp_path, form):
    specs = ["parity,level=4,scratchpad=0.15,weight=2", "countdown,impatient=0.5", "unknown"]
    for out in ("a.jsonl", "b.jsonl"):
        r = minke("tasks", "corpus", *specs, "-n", 2000, "--form", form, "--out", tmp_path / out)
        assert r.returncode == 0 and "2000 documents" in r.stdout
    text = (tmp_path / "a.jsonl").read_text()
    assert text == (tmp_path / "b.jsonl").read_text() and text.count("\n") == 2000
    assert all(form in json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize("template, learned", [
    ("deepseek-v3", "<think>01100101</think><answer>1</answer>"),
    ("deepseek-r1", "<answer>1</answer>")])  # R1's template drops thoughts: docs/reasoning.md
def test_a_corpus_is_what_fine_tuning_learns_from(minke, tmp_path, template, learned):
    corpus, recipe, out = tmp_path / "c.jsonl", tmp_path / "r.yaml", tmp_path / "run"
    minke("tasks", "corpus", "parity,level=1,scratchpad=1", "-n", 300, "--out", corpus)
    assert "parity 01010111" in corpus.read_text().splitlines()[0]
    minke("tokenizer", "train", corpus, "--vocab", 300, "--out", tmp_path / "tok")
    recipe.write_text(f"""out: {out}
model: {{config: {ROOT}/recipes/talks/config.json}}
tokenizer: {{path: {tmp_path}/tok}}
data: {{format: chat, chat_template: {template}, drop_copies: false, sequence: 128,
       sources: [{{path: {corpus}, name: c}}]}}
""")
    r = minke("data", "build", recipe)
    assert r.returncode == 0, r.stderr
    r = minke("data", "show", "-t", tmp_path / "tok", "-n", 1, out / "data/c/c-00000.tokens")
    assert f"⟦{learned}" in r.stdout


def test_mistakes_are_told_in_one_line(minke, tmp_path):
    failed(minke("tasks", "purity"), "purity", "minke tasks")
    failed(minke("tasks", "parity", "--level", 9, "--json"), "levels are 0 to 7")
    failed(minke("tasks", f"gsm8k:{tmp_path}/none.jsonl"), "none.jsonl")
    refused(minke("tasks", "corpus", "parity"), "--out")
    failed(minke("tasks", "corpus", "parity,level=9", "--out", tmp_path / "x"), "level=9")
    failed(minke("tasks", "corpus", "parity", "--out", tmp_path / "no/such/folder/x"), "folder")
    assert not list(tmp_path.iterdir())


def test_a_bad_line_of_a_file_is_named_or_skipped(minke, tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "a", "answer": "1"}\n{"question": "b"}\n{"quest\n')
    failed(minke("tasks", f"jsonl:{path}"), "q.jsonl", "line 2", "no reference")
    r = minke("tasks", f"jsonl:{path}", "--skip-bad", "--split", "all", "-n", 1, "--json")
    assert r.returncode == 0 and json.loads(r.stdout)["answer"] == "1"
    assert "2 lines were skipped" in r.stderr


def test_the_samples_of_the_documentation_are_what_it_prints(minke):
    rows = re.findall(r"^\| `([a-z-]+)` \| 0-(\d+) \| (\d+) \| (.*) \| (.*) \| (.*) \|$",
                      (ROOT / "docs/reasoning.md").read_text(), re.M)
    assert [row[0] for row in rows] == names(minke)
    for name, top, level, *cells in rows:
        question, thought, answer = ["\n".join(re.findall("`([^`]*)`", c)) for c in cells]
        s = json.loads(minke("tasks", name, "-l", level, "-s", 7, "-n", 1, "--json").stdout)
        response = f"<think>{thought}</think>" * bool(thought) + f"<answer>{answer}</answer>"
        assert s["question"] == question and response in s["traces"].values(), name
        failed(minke("tasks", name, "-l", int(top) + 1), f"levels are 0 to {top}")


@pytest.mark.skipif(not GSM8K.exists(), reason=f"{GSM8K} is not here")
def test_the_whole_of_gsm8k_is_read(minke):
    r = minke("tasks", f"gsm8k:{GSM8K}", "--split", "all", "-n", 1319, "--json")
    samples = [json.loads(line) for line in r.stdout.splitlines()]
    assert len({s["question"] for s in samples}) == 1319
    assert not any("<<" in s["traces"]["scratchpad"] for s in samples)
