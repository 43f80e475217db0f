"""Peak memory of the command: the weights once, the cache, and little else."""

import json
import os
import struct
import subprocess
import tempfile

import pytest

from conftest import MINKE, ROOT

MB = 1 << 20
D, FF, LAYERS, VOCAB, HEADS = 1024, 4096, 8, 8192, 8  # about 150 million parameters
CONTEXT, IDS = 512, 64


def tensors():
    yield "model.embed_tokens.weight", (VOCAB, D)
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        for name in "qkvo":
            yield f"{at}self_attn.{name}_proj.weight", (D, D)
        yield at + "mlp.gate_proj.weight", (FF, D)
        yield at + "mlp.up_proj.weight", (FF, D)
        yield at + "mlp.down_proj.weight", (D, FF)
        yield at + "input_layernorm.weight", (D,)
        yield at + "post_attention_layernorm.weight", (D,)
    yield "model.norm.weight", (D,)
    yield "lm_head.weight", (VOCAB, D)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Llama of bf16 zeros but for a few bytes: memory does not ask what the numbers are, and the
    hole in the file takes no room on the disk."""
    folder = tmp_path_factory.mktemp("model")
    header, at = {}, 0
    for name, shape in tensors():
        n = 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with open(folder / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(raw)) + raw)
        f.truncate(8 + len(raw) + at)
    (folder / "config.json").write_text(json.dumps({
        "model_type": "llama", "hidden_size": D, "intermediate_size": FF, "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": False}))
    (folder / "ids.txt").write_text(" ".join(str(i) for i in range(IDS)))
    return folder


def peak(*args):
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen([MINKE, *map(str, args)], stdout=out, stderr=out)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        assert p.returncode == 0, out.read()
    return usage.ru_maxrss * 1024


def allowed(model):
    weights = (model / "model.safetensors").stat().st_size
    cache = CONTEXT * LAYERS * 2 * D * 4  # keys and values of every token in f32
    return 1.15 * weights + cache + 200 * MB


@pytest.mark.parametrize("command", ["generate", "score"])
def test_weights_are_in_memory_once(model, command):
    args = ["--max-tokens", 2] if command == "generate" else []
    got = peak(command, model, "--ids-file", model / "ids.txt", "--context", CONTEXT, *args)
    weights = (model / "model.safetensors").stat().st_size
    assert got <= allowed(model)
    assert got > weights  # the measurement sees the weights at all


def test_converting_holds_a_few_rows(model, tmp_path):
    """The file is mapped; what is resident beyond its own pages is little."""
    got = peak("convert", model, tmp_path / "out.gguf", "--to", "q8_0", "--quiet")
    assert got <= 1.15 * (model / "model.safetensors").stat().st_size + 200 * MB
