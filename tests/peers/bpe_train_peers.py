"""What `minke tokenizer train` learns and writes, against Python `tokenizers`: the same merges from
the same text, and the same ids for text that was not seen.

Needs build/minke; the text is made from a seed."""
import json
import pathlib
import subprocess

import pytest
import tokenizer_corpus
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINKE = ROOT / "build/minke"
N_VOCAB = 3000


@pytest.fixture(scope="module", params=[[], ["--no-split-digits"]], ids=["digits", "threes"])
def learned(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    text = tokenizer_corpus.text(1, 2_000_000)
    (folder / "text.txt").write_bytes(text.encode())
    subprocess.run([MINKE, "tokenizer", "train", "--out", folder, "--vocab", str(N_VOCAB), *request.param,
                    folder / "text.txt"], check=True, stdout=subprocess.DEVNULL)
    return folder, text


def test_python_loads_the_file_and_finds_the_same_ids(learned):
    folder, _ = learned
    peer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = tokenizer_corpus.text(2, 2_000_000) + "<｜User｜>12345<think>a</think>"
    out = subprocess.run([MINKE, "tokenize", folder, "--json", "--special"], input=text.encode(),
                         stdout=subprocess.PIPE, check=True).stdout
    assert json.loads(out)["ids"] == peer.encode(text, add_special_tokens=False).ids


def test_python_learns_the_same_vocabulary(learned):
    folder, text = learned
    ours = json.loads((folder / "tokenizer.json").read_text())
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json")).pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=N_VOCAB, min_frequency=2, show_progress=False,
                                  special_tokens=[a["content"] for a in ours["added_tokens"]],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    peer.train_from_iterator([text], trainer)
    theirs = json.loads(peer.to_str())["model"]
    assert [m.split(" ") for m in ours["model"]["merges"]] == [list(m) for m in theirs["merges"]]
    assert ours["model"]["vocab"] == theirs["vocab"]
