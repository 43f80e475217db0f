"""Adapters in PEFT's format, and what PyTorch autograd says of them.

    python tools/golden/lora.py

Writes tests/golden/lora/NAME: adapter_config.json, adapter_model.safetensors with random A and B
for every linear layer but the router, and gradients.txt: loss and gradients of A and B for ids_29,
kept as tools/golden/gradients.py keeps them. W + alpha / rank B A is written out here; where the
package `peft` is there, its model of the folder must have the same loss (llama and qwen; the
experts that transformers keeps in one tensor are beyond it).
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

from gradients import ROOT, load, separate, write

OUT = ROOT.parent / "lora"
MODELS = ("qwen2-tied", "v3")
RANK, ALPHA = 2, 6.0


def targets(model):
    """name -> matrix of every linear layer; experts one by one."""
    for full, p in model.named_parameters():
        for name, w in separate(full, p.detach()):
            linear = w.ndim == 2 and "embed_tokens" not in name and not name.endswith("mlp.gate.weight")
            if linear and not (model.config.tie_word_embeddings and name == "lm_head.weight"):
                yield name, w


def pairs(model):
    random = np.random.default_rng(4)
    uniform = lambda *shape: torch.from_numpy(random.uniform(-1, 1, shape).astype(np.float32))
    return {
        name: (
            (uniform(RANK, w.shape[1]) / w.shape[1] ** 0.5).requires_grad_(),
            (0.1 * uniform(w.shape[0], RANK)).requires_grad_(),
        )
        for name, w in targets(model)
    }


def merged(model, low):
    """full name -> weight with its adapters."""
    out = {}
    for full, p in model.named_parameters():
        parts = {
            name: w + ALPHA / RANK * low[name][1] @ low[name][0] if name in low else w
            for name, w in separate(full, p.detach())
        }
        if full.endswith("gate_up_proj"):
            rows = list(parts.values())
            out[full] = torch.stack(
                [torch.cat(rows[i : i + 2]) for i in range(0, len(rows), 2)]
            )
        elif full.endswith("experts.down_proj"):
            out[full] = torch.stack(list(parts.values()))
        else:
            out[full] = parts[full]
    return out


def tensor_name(weight, part):
    return f"base_model.model.{weight.removesuffix('.weight')}.lora_{part}.weight"


def save(folder, name, low):
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": f"tests/golden/models/{name}",
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [n.removesuffix(".weight") for n in low],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(
        {
            tensor_name(n, part): x.detach().contiguous()
            for n, pair in low.items()
            for part, x in zip("AB", pair)
        },
        folder / "adapter_model.safetensors",
    )


def check_peft(name, ids, loss):
    try:
        import peft
    except ImportError:
        return
    model = peft.PeftModel.from_pretrained(load(ROOT / name), OUT / name)
    with torch.no_grad():
        theirs = model(ids, labels=ids, use_cache=False).loss
    assert abs(theirs - loss) < 1e-5, (name, float(theirs), float(loss))
    print(f"{name}: PEFT agrees")


def main():
    torch.set_num_threads(1)
    for name in MODELS:
        ids = torch.tensor([[int(x) for x in (ROOT / name / "expected/ids_29.txt").read_text().split()]])
        model = load(ROOT / name)
        low = pairs(model)
        kwargs = {"labels": ids, "use_cache": False}
        loss = torch.func.functional_call(model, merged(model, low), (ids,), kwargs).loss
        loss.backward()
        save(OUT / name, name, low)
        write(
            OUT / name / "gradients.txt",
            loss,
            [(tensor_name(n, part), x.grad) for n, pair in low.items() for part, x in zip("AB", pair)],
        )
        if name != "v3":
            check_peft(name, ids, loss.detach())
        print(name, len(low), "adapters")


if __name__ == "__main__":
    main()
