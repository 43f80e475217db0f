"""minke convert from outside: what it writes runs, and what it must not touch stays."""

import json
import shutil
import struct

import pytest

from conftest import ROOT, failed, refused

MODELS = ROOT / "tests/golden/models"
V3 = MODELS / "v3"
PROMPT = V3 / "expected/ids_29.txt"
GREEDY = [int(x) for x in (V3 / "expected/greedy_29.txt").read_text().split()]


def greedy(minke, model):
    out = minke("generate", model, "--ids-file", PROMPT, "--max-tokens", 32, "--temperature", 0,
                "--json")
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)["ids"]


@pytest.mark.parametrize("out", ["v3.gguf", "v3"])
def test_a_model_converted_in_f32_says_the_same(minke, tmp_path, out):
    done = minke("convert", V3, tmp_path / out, "--to", "f32")
    assert done.returncode == 0 and done.stderr == ""
    assert "f32" in done.stdout and "tensors" in done.stdout
    assert greedy(minke, tmp_path / out) == GREEDY
    there = {p.name for p in tmp_path.iterdir()}
    assert there == {out}, "nothing is left beside the result"


def test_there_and_back_says_the_same(minke, tmp_path):
    assert minke("convert", V3, tmp_path / "a.gguf", "--to", "f32").returncode == 0
    assert minke("convert", tmp_path / "a.gguf", tmp_path / "b", "--to", "f32").returncode == 0
    assert greedy(minke, tmp_path / "b") == GREEDY


def ids_of(minke, model, text):
    out = minke("tokenize", model, "--special", "--json", stdin=text)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)["ids"]


@pytest.mark.parametrize("name", ["v3-mla", "llama3", "qwen2"])
def test_a_gguf_becomes_a_folder_with_its_tokenizer(minke, tmp_path, name):
    gguf, folder = ROOT / f"tests/golden/gguf/{name}.gguf", tmp_path / "folder"
    done = minke("convert", gguf, folder)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stdout and "[PAD" not in done.stdout
    text = "<bos>Hello,  world 1984! \u00e9\u4f60 \U0001f99c\n<eos>"
    ids = ids_of(minke, gguf, text)
    assert len(ids) > 10 and ids_of(minke, folder, text) == ids


def test_a_token_that_json_cannot_hold_is_said(minke, tmp_path):
    """One token of two bytes becomes two that are no UTF-8."""
    data = (ROOT / "tests/golden/gguf/llama3.gguf").read_bytes()
    token = struct.pack("<Q", 2) + "\u0122".encode()
    assert data.count(token) == 1
    broken, folder = tmp_path / "broken.gguf", tmp_path / "folder"
    broken.write_bytes(data.replace(token, struct.pack("<Q", 2) + b"\xff\xfe"))
    done = minke("convert", broken, folder)
    assert done.returncode == 0, done.stderr
    assert "[PADn]" in done.stdout and ": 1." in done.stdout
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (name,) = [name for name in vocab if name.startswith("[PAD")]
    assert name == f"[PAD{vocab[name]}]"
    assert ids_of(minke, folder, "<bos>Hello") == ids_of(minke, ROOT / "tests/golden/gguf/llama3.gguf",
                                                         "<bos>Hello")


def test_a_folder_is_bf16_unless_asked(minke, tmp_path):
    done = minke("convert", MODELS / "llama3", tmp_path / "x")
    assert done.returncode == 0, done.stderr
    assert "bf16" in done.stdout
    assert minke("inspect", tmp_path / "x").returncode == 0


def test_a_gguf_is_q4_k_unless_asked_and_says_what_could_not_be(minke, tmp_path):
    done = minke("convert", MODELS / "llama3", tmp_path / "x.gguf")
    assert done.returncode == 0, done.stderr
    assert "rows of 72 values do not divide into blocks of 256" in done.stdout.replace("\n", " ")
    assert minke("inspect", tmp_path / "x.gguf").returncode == 0


def test_nothing_is_overwritten_unasked(minke, tmp_path):
    out = tmp_path / "x.gguf"
    out.write_bytes(b"mine")
    failed(minke("convert", V3, out), str(out), "--force")
    assert out.read_bytes() == b"mine"
    assert minke("convert", V3, out, "--force", "--quiet").stdout == ""
    assert out.read_bytes()[:4] == b"GGUF"


def test_a_model_is_not_overwritten_by_itself(minke, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(V3, model)
    before = {p.name: p.read_bytes() for p in model.iterdir() if p.is_file()}
    failed(minke("convert", model, model, "--to", "bf16", "--force"), str(model))
    assert before == {p.name: p.read_bytes() for p in model.iterdir() if p.is_file()}


def test_wrong_command_lines_are_explained(minke, tmp_path):
    refused(minke("convert", V3, tmp_path / "x.gguf", "--to", "q3"), "q3", "q4_K")
    refused(minke("convert", V3))
    failed(minke("convert", V3, tmp_path / "x.gguf", "--to", "fp8"), "fp8")
    failed(minke("convert", V3, tmp_path / "x", "--to", "q4_0"), "q4_0")
    failed(minke("convert", tmp_path / "none", tmp_path / "x.gguf"), "none")
    failed(minke("convert", V3, tmp_path / "no/such/x.gguf"), "no/such")
    assert list(tmp_path.iterdir()) == []
