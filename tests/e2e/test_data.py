"""minke data build and show: texts become shards and texts again, and what was dropped is told."""

import gzip
import json
import random
import re

import pytest

from conftest import ROOT, failed, refused

WORDS = [f"word{i}" for i in range(300)]


def text_of(seed, n=40):
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(n)) + "."


@pytest.fixture
def tokenizer(minke, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(text_of(i) for i in range(20)))
    r = minke("tokenizer", "train", "--out", tmp_path / "tokenizer", "--vocab", 400, corpus)
    assert r.returncode == 0, r.stderr
    return tmp_path / "tokenizer"


@pytest.fixture
def corpus(tmp_path):
    """Ten documents, the third as a copy of the first, the fifth too short."""
    texts = [text_of(i) for i in range(10)]
    texts[2], texts[4] = texts[0], "short"
    path = tmp_path / "web.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps({"text": t}) + "\n" for t in texts).encode()))
    return path, texts


def test_no_vocabulary_is_learned_of_what_is_no_text(minke, tmp_path):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes("crème brûlée, à la carte. ".encode("latin-1") * 20)
    (tmp_path / "sound.txt").write_text("crème brûlée, à la carte. " * 20)
    train = ("tokenizer", "train", "--out", tmp_path / "t", "--vocab", 300)
    failed(minke(*train, tmp_path / "empty.txt"), "empty.txt: there is no text in it")
    failed(minke(*train, tmp_path / "latin.txt"), "latin.txt: there is no text in it that is UTF-8")
    assert not (tmp_path / "t").exists()
    (tmp_path / "body.jsonl").write_text('{"body": "Once upon a time"}\n')
    failed(minke(*train, tmp_path / "body.jsonl"), 'line 1: no text in a field "text"', "--field names it")
    (tmp_path / "t").touch()  # the names of files half written are nobody's business
    failed(minke(*train, tmp_path / "sound.txt"), "t/tokenizer_config.json: cannot be written: Not a directory")
    failed(minke("tasks", "corpus", "add", "-n", 1, "-o", tmp_path / "t/c"), "t/c: cannot be written: Not a directory")
    (tmp_path / "t").unlink()
    r = minke(*train, tmp_path / "latin.txt", tmp_path / "sound.txt")
    assert r.returncode == 0 and "1 document not UTF-8 left out\n" in r.stdout


def build(minke, tokenizer, out, *args):
    r = minke("data", "build", "-t", tokenizer, "-o", out, "--json", *args)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def test_what_is_dropped_is_counted_and_the_rest_comes_back_as_text(minke, tokenizer, corpus, tmp_path):
    path, texts = corpus
    report = build(minke, tokenizer, tmp_path / "out", path)
    assert report["read"]["documents"] == 10
    assert report["dropped"]["exact copy"] == {"documents": 1, "bytes": len(texts[0])}
    assert report["dropped"]["too short"] == {"documents": 1, "bytes": 5}
    assert report["written"]["documents"] == 8
    assert report["shards"] == [str(tmp_path / "out/web-00000.tokens")]
    shown = minke("data", "show", "-t", tokenizer, report["shards"][0]).stdout
    bare = shown.replace("<｜begin▁of▁sentence｜>", "").replace("<｜end▁of▁sentence｜>", "")
    kept = [t for i, t in enumerate(texts) if i not in (2, 4)]
    assert [line for line in bare.splitlines() if not line.startswith("---")] == kept
    ids = minke("data", "show", "--ids", "-n", 99, report["shards"][0]).stdout
    assert sum(len(line.split()) for line in ids.splitlines()[1::2]) == report["written"]["tokens"]


def test_the_report_for_people_says_the_same(minke, tokenizer, corpus, tmp_path):
    r = minke("data", "build", "-t", tokenizer, "-o", tmp_path / "out", corpus[0])
    assert r.returncode == 0 and r.stderr == ""
    lines = [line.split() for line in r.stdout.splitlines()]
    assert lines[0][:2] == ["read", "10"]
    assert ["dropped", "1", "exact", "copy", "10.0", "%"] == lines[2][:6]
    assert ["wrote", "8", "documents"] in lines


RECIPE = """\
model: {{config: {root}/recipes/shakespeare/config.json}}
data:
  filter: true
  sequence: 16
  validation: 0
  sources:
  - {{path: web.jsonl.gz, name: web}}
  - {{path: corpus.txt, name: web-more}}
train: {{tokens: 64, batch: 2}}
tokenizer: {{vocab: 300}}
out: {out}
"""


def test_a_recipe_builds_what_its_run_then_finds(minke, corpus, tokenizer, tmp_path):
    recipe, out = tmp_path / "r.yaml", tmp_path / "run"
    recipe.write_text(RECIPE.format(root=ROOT, out=out))
    r = minke("data", "build", recipe, "--json")
    assert r.returncode == 0 and r.stderr == "", r.stderr
    web, more = map(json.loads, r.stdout.splitlines())
    assert web["dropped"]["exact copy"]["documents"] == 1 and web["written"]["documents"] == 8
    assert more["shards"] == [str(out / "data/web-more/web-more-00000.tokens")]
    kept = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    r = minke("train", recipe)
    assert r.returncode == 0 and "tokenising" not in r.stderr and "learning" not in r.stderr
    assert all(p.read_bytes() == b for p, b in kept.items())
    counted = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["sources"]
    assert set(counted) == {"web", "web-more"}
    r = minke("train", recipe, "--set", f"out={tmp_path / 'again'}")  # tells the same on its way
    assert r.returncode == 0 and re.search(r"dropped +1  exact copy +10.0 %", r.stderr)
    for p, b in kept.items():
        if p.suffix == ".tokens":
            assert (tmp_path / "again" / p.relative_to(out)).read_bytes() == b
    refused(minke("data", "build", recipe, "-o", "x"), "--out", "recipe")
    assert "nothing is left to build" in minke("data", "build", recipe).stderr
    recipe.write_text("model: {from: x}\ntasks: [{name: parity}]\n")
    failed(minke("data", "build", recipe), "no data.sources")
    failed(minke("data", "build", tmp_path / "none.yaml"), "none.yaml")


def test_half_of_a_source_is_no_source(minke, corpus, tokenizer, tmp_path):
    recipe, out = tmp_path / "r.yaml", tmp_path / "run"
    recipe.write_text(RECIPE.format(root=ROOT, out=out))
    (out / "data/.part").mkdir(parents=True)  # as a process that was killed would leave it
    (out / "data/.part/web-00000.tokens").write_bytes(b"half")
    assert minke("train", recipe, "-q").returncode == 0
    assert sorted(p.name for p in (out / "data").iterdir()) == ["web", "web-more"]


def test_threads_and_options_change_what_they_say(minke, tokenizer, corpus, tmp_path):
    path, texts = corpus
    for threads in (1, 3):
        build(minke, tokenizer, tmp_path / f"t{threads}", "--threads", threads, path)
    assert ((tmp_path / "t1/web-00000.tokens").read_bytes()
            == (tmp_path / "t3/web-00000.tokens").read_bytes())
    all_of_it = build(minke, tokenizer, tmp_path / "all", "--no-filter", "--keep-copies", "--name", "x",
                      "--shard-tokens", 100, path)
    assert all_of_it["written"]["documents"] == 10 and len(all_of_it["shards"]) > 1


def test_colours_are_for_terminals_alone(minke, tokenizer, corpus, tmp_path):
    shard = build(minke, tokenizer, tmp_path / "out", corpus[0])["shards"][0]
    args = ("data", "show", "-t", tokenizer, "-n", 1, shard)
    assert "\x1b" not in minke(*args).stdout
    assert "\x1b[35m<｜begin▁of▁sentence｜>\x1b[0m" in minke.on_a_terminal(*args, TERM="xterm")
    assert "\x1b" not in minke.on_a_terminal(*args, TERM="xterm", NO_COLOR="1")


def test_mistakes_are_named(minke, tokenizer, corpus, tmp_path):
    out, path = tmp_path / "out", corpus[0]
    shard = build(minke, tokenizer, out, path)["shards"][0]
    to = ("data", "build", "-t", tokenizer, "-o", out)
    failed(minke(*to, path), "web-00000.tokens", "--name")  # nothing is overwritten
    failed(minke(*to, "--name", "x", path, tmp_path / "nix"), "nix")
    assert not (out / "x-00000.tokens").exists()
    (tmp_path / "short.txt").write_text("short")
    failed(minke(*to, tmp_path / "short.txt"), "short.txt", "too short")
    (tmp_path / "empty.txt").write_text("")
    failed(minke(*to, tmp_path / "empty.txt"), "empty.txt", "no text")
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"tex\n')
    failed(minke(*to, tmp_path / "bad.jsonl"), "bad.jsonl", "line 2")
    failed(minke(*to, "--name", "a/b", path), "--name")
    refused(minke("data", "build", path), "--tokenizer")
    refused(minke("data", "show", shard), "--tokenizer")
    refused(minke("data", "buidl"), "buidl")
    failed(minke("data", "show", "--ids", "--first", 8, shard), "there are 8")
    data = bytearray((out / "web-00000.tokens").read_bytes())
    data[-40] ^= 1
    (tmp_path / "damaged.tokens").write_bytes(data)
    failed(minke("data", "show", "--ids", tmp_path / "damaged.tokens"), "damaged.tokens")


def test_a_shard_of_another_vocabulary_is_refused(minke, tokenizer, corpus, tmp_path):
    shard = build(minke, tokenizer, tmp_path / "out", corpus[0])["shards"][0]
    minke("tokenizer", "train", "--out", tmp_path / "other", "--vocab", 268, tmp_path / "corpus.txt")
    failed(minke("data", "show", "-t", tmp_path / "other", shard), "another tokenizer")


def test_a_folder_that_cannot_be_made_is_named(minke, tokenizer, corpus, tmp_path):
    failed(minke("data", "build", "-t", tokenizer, "-o", tmp_path / "below/it", corpus[0]), "below/it")
