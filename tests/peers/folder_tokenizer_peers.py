"""The tokenizer of a folder that minke convert made of a GGUF file, read by Python: the ids of the
GGUF. Needs build/minke and what `make test-peers` installs."""
import json
import shutil
import subprocess

import pytest
import tokenizer_corpus
import torch
import transformers
from tokenizers import Tokenizer

from tokenizer_peers import MINKE, MODELS, assert_same, folder, ids_of, smollm2

TEXT = tokenizer_corpus.text(2711, 300_000)


def convert(model, out, kind="bf16"):
    return subprocess.run([MINKE, "convert", model, out, "--to", kind], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def make_gguf(name, tmp_path):
    """The tokenizer in front of a model of one small layer."""
    n = Tokenizer.from_file(str(folder(name) / "tokenizer.json")).get_vocab_size()
    config = transformers.LlamaConfig(vocab_size=n, hidden_size=32, intermediate_size=32,
                                      num_hidden_layers=1, num_attention_heads=1,
                                      bos_token_id=None, eos_token_id=None)
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "model")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder(name) / file, tmp_path / "model" / file)
    convert(tmp_path / "model", tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


def special_text(peer):
    names = [t.content for t in peer.get_added_tokens_decoder().values()]
    return "".join(f"a{n} b {n}{n}\n{n}" for n in names[:200])


def spelled(fast, text):
    """Without characters that hold a byte for which there is no token (SmolLM2 lacks some): what
    stands beside it merges in tokenizer.json and does not in llama.cpp."""
    missing = [c for c in set(text) if fast.decode(fast.encode(c).ids) != c]
    return text.translate({ord(c): None for c in missing})


def check(gguf, out, lacks_bytes=False):
    """Both libraries and minke itself, over ordinary text and over special tokens."""
    report = convert(gguf, out)
    assert "left out" not in report and "[PAD" not in report
    fast = Tokenizer.from_file(str(out / "tokenizer.json"))
    auto = transformers.AutoTokenizer.from_pretrained(out)
    for text in (spelled(fast, TEXT) if lacks_bytes else TEXT, special_text(fast)):
        ours = ids_of(gguf, text, "--special")
        assert_same(ids_of(out, text, "--special"), ours, fast.decode)
        assert_same(fast.encode(text, add_special_tokens=False).ids, ours, fast.decode)
        assert_same(auto(text, add_special_tokens=False).input_ids, ours, fast.decode)
    return fast, auto


@pytest.mark.parametrize("name", MODELS)
def test_python_finds_the_ids_of_the_gguf(name, tmp_path):
    original = Tokenizer.from_file(str(folder(name) / "tokenizer.json"))
    fast, auto = check(make_gguf(name, tmp_path), tmp_path / "out")
    config = json.loads((tmp_path / "out/tokenizer_config.json").read_text())
    assert fast.get_vocab_size() == original.get_vocab_size()
    begins = [auto.bos_token_id] if config["add_bos_token"] else []
    assert auto("x").input_ids == begins + fast.encode("x", add_special_tokens=False).ids
    ids = original.encode(TEXT, add_special_tokens=False).ids
    assert_same(fast.encode(TEXT, add_special_tokens=False).ids, ids, fast.decode)
    assert fast.decode(ids) == original.decode(ids)


def test_a_real_gguf_becomes_a_folder_that_transformers_chats_with(tmp_path):
    _, auto = check(smollm2(), tmp_path / "out", lacks_bytes=True)
    chat = auto.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False,
                                    add_generation_prompt=True)
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert auto.eos_token == "<|im_end|>"
