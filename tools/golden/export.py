"""Makes the tiny random checkpoints of tests/golden/models and what transformers says of them.

    python tools/golden/export.py [NAME ...]        # all models when no name is given

Weights are drawn with numpy from (seed of the model, name of the tensor), so the files do not
depend on the order of tensors. transformers then loads the written files (FP8: their dequantised
values) and gives the expected logits in float32, eager attention, one thread. For MLA models
reference.py computes the same logits in float64; a difference above 1e-4 stops the export.
"""

import json
import math
import pathlib
import sys
import tempfile
import zlib

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

import reference
import shapes

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/models"
PROMPTS = (1, 29, 150)
TAIL = 8  # rows of logits stored for the longest prompt
N_GREEDY = 32


def weight(seed, name, shape, tied):
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    x = rng.standard_normal(shape)
    if name.endswith("e_score_correction_bias"):
        # Wide enough to change which experts win; positive, so that both published ways of
        # masking a group (0.0 and -inf) agree.
        x = rng.uniform(0.02, 0.35, shape)
    elif "norm" in name.rsplit(".", 2)[-2]:
        x = 1 + 0.15 * x
    elif name.endswith(".bias"):
        x = 0.4 * x
    elif "embed_tokens" in name:
        x = (0.12 if tied else 0.6) * x  # tied: small, or every token would predict itself
    elif name.endswith("mlp.gate.weight"):
        x = 0.16 * x
    else:
        x = 1.15 / math.sqrt(shape[-1]) * x  # between 0.08 and 0.2: activations keep their size
    return torch.from_numpy(x.astype(np.float32))


def quantised(name):
    """Whether an FP8 release stores a scale for this tensor: the blocks' linears, not the gate."""
    return name.endswith("_proj.weight") or name.endswith("kv_a_proj_with_mqa.weight")


def to_fp8(w):
    """E4M3 values and a float32 scale for each 128 x 128 block, and W = W8 * scale.

    Source: deepseek-ai/DeepSeek-V3 README_WEIGHTS.md.
    """
    rows, cols = w.shape
    scale = torch.empty((rows + 127) // 128, (cols + 127) // 128)
    w8 = torch.empty(rows, cols, dtype=torch.float8_e4m3fn)
    back = torch.empty(rows, cols)
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            r, k = slice(128 * i, 128 * i + 128), slice(128 * j, 128 * j + 128)
            s = w[r, k].abs().max() / 448.0
            w8[r, k] = (w[r, k] / s).to(torch.float8_e4m3fn)
            scale[i, j] = s
            back[r, k] = w8[r, k].float() * s
    return w8, scale, back


def make_weights(model_type, seed, c, store):
    """The tensors as stored, and the float32 values they stand for."""
    stored, exact = {}, {}
    for name, shape in shapes.tensors(model_type, c).items():
        source = name
        if ".embed_tokens." in name:
            source = "model.embed_tokens.weight"  # the MTP module's copies equal the originals
        elif name.endswith("shared_head.head.weight"):
            source = "lm_head.weight"
        w = weight(seed, source, shape, c["tie_word_embeddings"])
        if store == "fp8" and quantised(name):
            stored[name], stored[name + "_scale_inv"], exact[name] = to_fp8(w)
        elif store and not name.endswith("e_score_correction_bias"):
            stored[name] = w.to(torch.bfloat16)
            exact[name] = stored[name].float()
        else:
            stored[name] = exact[name] = w
    return stored, exact


def save(tensors, path):
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)


def write_weights(folder, tensors, shards):
    for old in folder.glob("*.safetensors*"):
        old.unlink()
    if shards == 1:
        save(tensors, folder / "model.safetensors")
        return
    total = sum(t.nbytes for t in tensors.values())
    weight_map, parts, at = {}, [{} for _ in range(shards)], 0
    for name, t in tensors.items():
        i = min(shards - 1, at * shards // total)
        parts[i][name] = t
        weight_map[name] = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        at += t.nbytes
    for i, part in enumerate(parts):
        save(part, folder / f"model-{i + 1:05d}-of-{shards:05d}.safetensors")
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def old_spelling(j, dtype):
    """config.json as releases up to 2025 wrote it: rope_theta, rope_scaling, torch_dtype."""
    j = dict(j)
    rope = dict(j.pop("rope_parameters"))
    j["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    # DeepSeek's files say "type", Llama's say "rope_type".
    j["rope_scaling"] = (
        None if kind == "default" else {"rope_type" if kind == "llama3" else "type": kind, **rope}
    )
    for key in ("dtype", "head_dim", "qk_head_dim", "output_router_logits", "pad_token_id"):
        j.pop(key, None)  # written by transformers 5 only; the MLA releases have none of them
    j["torch_dtype"] = dtype
    j["transformers_version"] = "4.46.3"
    return dict(sorted(j.items()))


def write_config(folder, model_type, c, options):
    config = transformers.AutoConfig.for_model(model_type, **c)
    cls = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    config.architectures = [cls]
    dtype = "bfloat16" if options.get("store") else "float32"
    config.dtype = dtype
    if options.get("store") == "fp8":
        config.quantization_config = shapes.FP8_QUANT
    config.save_pretrained(folder)
    path = folder / "config.json"
    if options.get("spelling") == "old":
        path.write_text(
            json.dumps(old_spelling(json.loads(path.read_text()), dtype), indent=2) + "\n"
        )
    transformers.GenerationConfig(
        bos_token_id=0, eos_token_id=1, do_sample=True, temperature=0.6, top_p=0.95
    ).save_pretrained(folder)


def load(folder, c, exact, store):
    """The model as transformers reads it; for FP8 the dequantised values, unquantised."""
    # transformers names layer 61 of the released model; here the MTP module is another layer.
    transformers.DeepseekV3ForCausalLM._keys_to_ignore_on_load_unexpected = [
        rf"model\.layers\.{c['num_hidden_layers']}\."
    ]
    with tempfile.TemporaryDirectory() as tmp:
        if store == "fp8":
            tmp = pathlib.Path(tmp)
            j = json.loads((folder / "config.json").read_text())
            del j["quantization_config"]
            (tmp / "config.json").write_text(json.dumps(j))
            save_file(exact, tmp / "model.safetensors", metadata={"format": "pt"})
            folder = tmp
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            experts_implementation="eager",
            output_loading_info=True,
        )
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    return model.eval()


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


@torch.no_grad()
def mtp_logits(model, ids):
    """transformers' MTP module: hidden state i (after the final norm) with token i + 1."""
    from transformers.modeling_layers import MtpModel

    mtp = MtpModel.from_pretrained(model).eval()
    main = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state
    e = mtp.embed_tokens(torch.tensor([ids[1:]]))
    position = torch.arange(e.shape[1])[None]
    n = e.shape[1]
    mask = torch.full((n, n), float("-inf")).triu(1)[None, None]
    h = mtp.layers[0](
        inputs_embeds=e,
        previous_hidden_state=main[:, :-1],
        attention_mask=mask,
        position_ids=position,
        position_embeddings=mtp.rotary_emb(e, position),
        past_key_values=None,
    )
    return mtp._project_to_logits(h)[0].numpy()


def export(name):
    model_type, seed, c, options = shapes.MODELS[name]
    folder, store = ROOT / name, options.get("store")
    (folder / "expected").mkdir(parents=True, exist_ok=True)
    stored, exact = make_weights(model_type, seed, c, store)
    write_config(folder, model_type, c, options)
    write_weights(folder, stored, options.get("shards", 1))
    model = load(folder, c, exact, store)

    out = folder / "expected"
    rng = np.random.Generator(np.random.PCG64(seed + 1000))
    prompts = {n: [int(i) for i in rng.integers(2, shapes.VOCAB, n)] for n in PROMPTS}
    note = {"seed": seed}
    wide = {k: v.double().numpy() for k, v in exact.items()}
    for n, ids in prompts.items():
        logits = logits_of(model, ids)
        assert logits.dtype == np.float32 and np.isfinite(logits).all()
        (out / f"ids_{n}.txt").write_text(" ".join(map(str, ids)) + "\n")
        if n == max(PROMPTS):
            np.save(out / f"logits_{n}_last{TAIL}.npy", logits[-TAIL:])
        else:
            np.save(out / f"logits_{n}.npy", logits)
        note["logit_std"] = round(float(logits.std()), 3)
        if model_type.startswith("deepseek"):
            ref, hidden, stats = reference.forward(wide, c, ids)
            diff = float(np.abs(ref - logits).max())
            assert diff < 1e-4, (name, n, diff)
            note["reference_max_diff"] = max(
                note.get("reference_max_diff", 0), float(f"{diff:.2g}")
            )
            margin = min(stats["margin"])
            note["min_routing_margin"] = min(
                note.get("min_routing_margin", 1), float(f"{margin:.2g}")
            )
            note["experts_used"] = stats["used"]
            note["choice_moved"] = [round(float(m), 2) for m in stats["moved"]]
            if n == 29 and c.get("num_nextn_predict_layers"):
                draft = mtp_logits(model, ids)
                d = float(np.abs(draft - reference.mtp(wide, c, ids, hidden)).max())
                assert d < 1e-4, (name, "mtp", d)
                note["mtp_reference_max_diff"] = float(f"{d:.2g}")
                np.save(out / f"mtp_logits_{n}.npy", draft)

    ids, greedy, gap = list(prompts[29]), [], math.inf
    for _ in range(N_GREEDY):  # the whole sequence again for each token: no cache takes part
        row = logits_of(model, ids)[-1]
        greedy.append(int(row.argmax()))  # numpy gives the first of equals
        top2 = np.sort(row)[-2:]
        gap = min(gap, float(top2[1] - top2[0]))
        ids.append(greedy[-1])
    (out / "greedy_29.txt").write_text(" ".join(map(str, greedy)) + "\n")
    if model_type.startswith("deepseek"):  # routing margins along the greedy path count as well
        stats = reference.forward(wide, c, ids)[2]
        note["min_routing_margin"] = min(
            note["min_routing_margin"], float(f"{min(stats['margin']):.2g}")
        )
    # Another order of summation must not be able to change an expert or a token.
    assert gap > 2e-3 and note.get("min_routing_margin", 1) > 2e-5 and len(set(greedy)) > 8, (
        name,
        gap,
        note,
    )
    note |= {
        "greedy_distinct": len(set(greedy)),
        "greedy_min_gap": float(f"{gap:.2g}"),
        "bytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
    }
    return note


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    path = ROOT / "notes.json"
    notes = json.loads(path.read_text()) if path.exists() else {}
    for name in sys.argv[1:] or shapes.MODELS:
        notes[name] = export(name)
        print(name, json.dumps(notes[name]), flush=True)
    path.write_text(json.dumps({k: notes[k] for k in shapes.MODELS if k in notes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
