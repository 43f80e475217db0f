"""Writes tests/golden/bpe_train/merges.txt: the merges that Python `tokenizers` learns from
tests/golden/text/shakespeare.txt, split by tests/golden/bpe_train/pre_tokenizer.json, which is what
minke writes. usage: bpe_merges.py"""
import json
import pathlib

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests/golden"


def main():
    shell = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []},
             "pre_tokenizer": json.loads((GOLDEN / "bpe_train/pre_tokenizer.json").read_text())}
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = Tokenizer.from_str(json.dumps(shell)).pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=600, min_frequency=2, show_progress=False,
                                  special_tokens=["<s>", "</s>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator([(GOLDEN / "text/shakespeare.txt").read_text()], trainer)
    merges = json.loads(t.to_str())["model"]["merges"]
    (GOLDEN / "bpe_train/merges.txt").write_text("".join(" ".join(m) + "\n" for m in merges))


if __name__ == "__main__":
    main()
