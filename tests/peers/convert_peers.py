"""What minke convert writes, read by the programs it is written for: GGUF by llama.cpp, folders by
transformers. Needs build/minke and what `make test-peers` installs."""
import json
import pathlib
import subprocess

import llama_cpp
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from model_peers import MINKE, MODEL, ROOT, TEXT, log_softmax

MODELS = ROOT / "tests/golden/models"
N = 200  # tokens of the real model


def minke_logits(model, ids, tmp_path):
    (tmp_path / "ids.txt").write_text(" ".join(map(str, ids)))
    subprocess.run([MINKE, "score", model, "--ids-file", tmp_path / "ids.txt", "--logits",
                    tmp_path / "logits.npy"], check=True, stdout=subprocess.DEVNULL)
    return np.load(tmp_path / "logits.npy")


def convert(model, out, kind):
    subprocess.run([MINKE, "convert", model, out, "--to", kind, "--quiet"], check=True)


def llama_cpp_logits(path, ids):
    llm = llama_cpp.Llama(str(path), n_ctx=512, logits_all=True, n_threads=2, verbose=False)
    llm.eval(ids)
    return np.array(llm.scores[:len(ids)])


def close(ours, theirs, bound, what):
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(f"{what}: {error:.2e} of the largest logit")
    assert error <= bound


@pytest.fixture(scope="module")
def ids():
    llm = llama_cpp.Llama(str(MODEL), vocab_only=True, verbose=False)
    return llm.tokenize(TEXT, add_bos=False)[:N]


def mean_kl(p, q):
    return (np.exp(p) * (p - q)).sum(axis=1).mean()


@pytest.mark.parametrize("kind", ["f16", "q8_0", "q6_K", "q4_K", "q4_1", "q4_0"])
def test_llama_cpp_reads_every_gguf_type(ids, tmp_path, kind):
    """Both round activations of quantised weights to 8 bits, llama.cpp those of K types in blocks of
    256 and minke in blocks of 32: so the two are apart, and ours must not be farther from what the
    same weights give in f32."""
    convert(MODEL, tmp_path / "out.gguf", kind)
    convert(tmp_path / "out.gguf", tmp_path / "wide", "f32")
    theirs = log_softmax(llama_cpp_logits(tmp_path / "out.gguf", ids))
    ours, truth = (log_softmax(minke_logits(tmp_path / m, ids, tmp_path))
                   for m in ("out.gguf", "wide"))
    print(f"{kind}: mean KL {mean_kl(theirs, ours):.2e}; to the weights in f32: "
          f"ours {mean_kl(truth, ours):.2e}, theirs {mean_kl(truth, theirs):.2e}")
    assert mean_kl(theirs, ours) < 0.01
    assert mean_kl(truth, ours) < max(1e-4, 1.2 * mean_kl(truth, theirs))


# Not v2-lite and v3-noq: llama.cpp takes a deepseek2 without q_lora only when it has 26 or 27 layers.
# Not v2-groups: it chooses other experts there, and transformers (below) chooses ours.
@pytest.mark.parametrize("name", ["v3", "llama3", "qwen2-tied", "qwen2-untied", "qwen3",
                                  "mistral"])
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_llama_cpp_reads_every_kind_of_model(tmp_path, name, kind):
    # 16 tokens: llama.cpp forgets the window of a Mistral, which is that long here
    prompt = [int(x) for x in (MODELS / name / "expected/ids_29.txt").read_text().split()][:16]
    convert(MODELS / name, tmp_path / "out.gguf", kind)
    theirs = llama_cpp_logits(tmp_path / "out.gguf", prompt)
    # llama.cpp keeps the cache in f16 and multiplies f16 weights in f16
    close(minke_logits(tmp_path / "out.gguf", prompt, tmp_path), theirs, 1e-2, f"{name} {kind}")


def transformers_logits(folder, ids, dtype):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager",
        experts_implementation="eager").eval()  # the grouped one wants widths of 16 bytes
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def test_transformers_reads_a_gguf_made_a_folder(ids, tmp_path):
    """Dequantised values in f32, heads back in HF's order: the same model."""
    convert(MODEL, tmp_path / "wide", "f32")
    theirs = transformers_logits(tmp_path / "wide", ids, torch.float32)
    close(minke_logits(tmp_path / "wide", ids, tmp_path), theirs, 1e-4, "SmolLM2 f32")


@pytest.mark.parametrize("name", sorted(p.name for p in MODELS.iterdir() if p.is_dir()))
@pytest.mark.parametrize("kind", ["f32", "bf16"])
def test_transformers_reads_every_kind_of_model(tmp_path, name, kind):
    prompt = [int(x) for x in (MODELS / name / "expected/ids_29.txt").read_text().split()]
    convert(MODELS / name, tmp_path / "out", kind)
    theirs = transformers_logits(tmp_path / "out", prompt, torch.float32)  # widened: exact
    close(minke_logits(tmp_path / "out", prompt, tmp_path), theirs, 1e-4, f"{name} {kind}")


def dequantised(folder, out):
    """FP8 blocks to f32 by the official formula: value times the scale of its 128 x 128 block."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= safetensors.torch.load_file(path)
    wide = {}
    for name, t in tensors.items():
        if name.endswith("_scale_inv"):
            continue
        wide[name] = t.float()
        if t.dtype == torch.float8_e4m3fn:
            scale = tensors[name + "_scale_inv"]
            spread = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)
            wide[name] = t.float() * spread[:t.shape[0], :t.shape[1]]
    out.mkdir()
    config = json.loads((folder / "config.json").read_text())
    assert config["quantization_config"]["weight_block_size"] == [128, 128]
    del config["quantization_config"]
    (out / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(wide, out / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("name", ["v3", "qwen3"])
def test_fp8_blocks_are_those_of_the_official_formula(tmp_path, name):
    prompt = [int(x) for x in (MODELS / name / "expected/ids_29.txt").read_text().split()]
    convert(MODELS / name, tmp_path / "fp8", "fp8")
    dequantised(pathlib.Path(tmp_path / "fp8"), tmp_path / "wide")
    theirs = transformers_logits(tmp_path / "wide", prompt, torch.float32)
    close(minke_logits(tmp_path / "fp8", prompt, tmp_path), theirs, 1e-4, f"{name} fp8")
