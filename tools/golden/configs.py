"""Counts the parameters of tests/golden/configs by listing every tensor of every model.

    python tools/golden/configs.py

The numbers of official_configs_test.c: minke has formulas, here each tensor is written down with
its shape (shapes.py) and summed. Needs nothing but Python.
"""

import json
import math
import pathlib
import re

import shapes

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/configs"
COPIES = r"embed_tokens|shared_head\.head"  # what an MTP module shares with the model


def count(c):
    """Parameters in all, those a token is multiplied with, and those of MTP without its copies."""
    total = active = mtp = 0
    for name, shape in shapes.tensors(c["model_type"], c).items():
        n = math.prod(shape)
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        expert = re.search(r"\.experts\.(\d+)\.", name)
        if layer and int(layer[1]) >= c["num_hidden_layers"]:
            mtp += 0 if re.search(COPIES, name) else n
            continue
        total += n
        active += n if not expert or int(expert[1]) < c["num_experts_per_tok"] else 0
    return total, active, mtp


def cache_values(c):
    """Numbers a token leaves in all layers: the latent and its rotated key, or keys and values."""
    if "kv_lora_rank" in c:
        return c["num_hidden_layers"] * (c["kv_lora_rank"] + c["qk_rope_head_dim"])
    width = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    return c["num_hidden_layers"] * 2 * c["num_key_value_heads"] * width


for folder in sorted(ROOT.iterdir()):
    if folder.is_dir():
        config = json.loads((folder / "config.json").read_text())
        print(f"{folder.name:22} {count(config)} bytes a token in bf16: {2 * cache_values(config)}")
