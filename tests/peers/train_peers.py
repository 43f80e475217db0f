"""What minke's training steps leave of a model, against PyTorch (tools/twin): same weights at the
start, same order of data, same losses after the same steps. Needs build/minke; the text is made
from a seed."""
import json
import os
import pathlib
import subprocess
import sys

import pytest
import tokenizer_corpus

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINKE = ROOT / "build/minke"
BOUND = 1e-4  # relative; losses differ by 1e-7. In longer runs a token whose experts are nearly even may go another way
MODEL = {
    "vocab_size": 384, "hidden_size": 48, "num_hidden_layers": 2, "num_nextn_predict_layers": 1,
    "first_k_dense_replace": 1, "moe_layer_freq": 1, "intermediate_size": 96,
    "num_attention_heads": 2, "num_key_value_heads": 2, "q_lora_rank": None, "kv_lora_rank": 32,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "n_routed_experts": 8,
    "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 24, "n_group": 1,
    "topk_group": 1, "norm_topk_prob": True, "routed_scaling_factor": 1.5,
    "scoring_func": "sigmoid", "topk_method": "noaux_tc", "model_type": "deepseek_v3",
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "max_position_embeddings": 256, "tie_word_embeddings": False, "attention_bias": False,
}
LLAMA = {
    "model_type": "llama", "vocab_size": 384, "hidden_size": 48, "num_hidden_layers": 2,
    "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "max_position_embeddings": 256, "tie_word_embeddings": True, "attention_bias": False,
}
RECIPE = """\
model: {config: config.json, mtp_late_tokens: 3000}
data:
  sequence: 64
  validation: 0.2
  sources: [{path: text.txt}]
train: {tokens: 7680, batch: 6}
optimizer: {lr: 3e-3, clip: 0.9}
schedule: {kind: cosine, warmup_tokens: 1500, final_lr: 3e-4}
balance: {sequence: 0.01, gamma: 0.01, gamma_until_tokens: 5000}
eval: {every: 5, sequences: 9}
"""


def minke(folder, out, *sets):
    command = [MINKE, "train", folder / "recipe.yaml", "--quiet", "--set", f"out={out}"]
    for s in sets:
        command += ["--set", s]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def lines(text):
    return [json.loads(x) for x in text.splitlines()]


@pytest.mark.parametrize("config", [MODEL, LLAMA], ids=["mla-moe-mtp", "gqa-tied"])
def test_twenty_steps_of_training_have_the_losses_of_pytorch(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "text.txt").write_text(tokenizer_corpus.text(3, 60_000))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    minke(tmp_path, tmp_path / "run")
    minke(tmp_path, tmp_path / "start", "train.tokens=1", "optimizer.lr=0", "balance.gamma=0")
    twin = subprocess.run([sys.executable, ROOT / "tools/twin/train.py", tmp_path / "run",
                           tmp_path / "start/checkpoints/step-000001"], check=True,
                          stdout=subprocess.PIPE, text=True, env=os.environ)
    ours, theirs = lines((tmp_path / "run/metrics.jsonl").read_text()), lines(twin.stdout)
    assert len(ours) == len(theirs) >= 20
    assert ours[-1]["loss"] < 0.95 * ours[0]["loss"]
    for a, b in zip(ours, theirs):
        assert a["tokens"] == b["tokens"]
        for key in ("loss", "valid_loss", "lr", "norm", "mtp_loss"):
            if key in a:
                assert a[key] == pytest.approx(b[key], rel=BOUND), (a["step"], key)
